"""Leads one operation of the fleet: has the peers take part, carries it out, and says what came of it.

A leader that has lost its peers when it may not undo anything any more leaves the end to the servers, as they do. Its
answer waits for that, and says where the servers have led to.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any

from twisted.internet.task import deferLater

from redisproxy.config.certificates import TLSFault
from redisproxy.control.answers import Answer, gate_answer
from redisproxy.control.errors import OperationError, WrongState
from redisproxy.dataplane.interface import RELOAD, SWITCHOVER, DataPlaneLost, Rejected
from redisproxy.fleet.party import Party
from redisproxy.fleet.roster import Unreachable
from redisproxy.fleet.server_before import with_server_before
from redisproxy.fleet.side import Side
from redisproxy.net.deferreds import carried_out
from redisproxy.remote.interrupted import MARGIN_S, Arbiter, Verdict

if TYPE_CHECKING:
    from collections.abc import Callable

    from twisted.internet.defer import Deferred

    from redisproxy.config import Settings
    from redisproxy.fleet.all_planes import Assembly
    from redisproxy.fleet.here import Here
    from redisproxy.fleet.roster import Roster
    from redisproxy.fleet.vigil import Vigil

NOTHING: Answer = {}
HERE = "; with fleet=0 (--here) this proxy does it alone"
LEFT_BEHIND = ", and clients of the others can write nothing until those have gone to the new server, too"
LOOK_S = 0.05
DONE, ROLLED_BACK, UNKNOWN = "done", "rolled_back", "unknown"


class Leading:
    """What one proxy does when it leads."""

    def __init__(self, here: Here, assembly: Assembly, roster: Roster, vigil: Vigil) -> None:
        self._here = here
        self._assembly = assembly
        self._roster, self._vigil = roster, vigil

    async def lead(self, operation: str, begin: Callable[[], Deferred[Answer]], back: bool = False) -> Answer:
        """Carry out an operation over all.

        @param begin: begins it, as for this proxy alone. @param back: to the server before.
        @raise OperationError: it was refused or undone.
        """
        here, assembly = self._here, self._assembly
        if assembly.leading:
            raise WrongState(f"a {assembly.leading} of the fleet is running already, led by this proxy")
        assembly.leading, report, answer = operation, NOTHING, NOTHING
        party = Party(operation, back, here.name, Side(here, here.dataplane.gate, self._found_in_force), here.clock)
        try:
            await self._assemble(party)
            answer = await self._carried_out(party, begin)
            report = with_server_before(answer.get("report", {}), here.control.results)
            return {**answer, "peers": party.as_report()}
        except OperationError as error:
            report = error.details.get("report", {})
            error.details |= {"peers": party.as_report()}
            raise
        except Rejected as error:
            raise WrongState(str(error)) from error  # a peer is busy: alone, this proxy would get in its way
        except (Unreachable, DataPlaneLost) as error:
            raise WrongState(f"{error}{HERE}{'' if operation == RELOAD else LEFT_BEHIND}") from error
        finally:
            assembly.party = None
            await carried_out(party.dismiss(report))
            assembly.over(report.get("result", DONE if answer else "refused"), here.clock.seconds())

    async def _assemble(self, party: Party) -> None:
        party.invite(await self._roster.assembled())
        await party.claim([each for each in party.peers if each.instance < self._here.instance])
        self._vigil.stop()
        self._assembly.party = party  # what runs here already is not asked again before it is None again

    async def _carried_out(self, party: Party, begin: Callable[[], Deferred[Answer]]) -> Answer:
        try:
            return await begin()
        except OperationError as error:
            given_up = party.disbanded and party.operation == SWITCHOVER
            if not given_up or error.details.get("report", {}).get("result") != UNKNOWN:
                raise
            return await self._as_the_servers_say(party, error)

    def _found_in_force(self, settings: Settings) -> None:
        """In the end that the servers have decided; else the operation itself sees to it."""
        if self._assembly.settling:
            self._here.configuration.found_in_force(settings)

    # -- when the servers have the last word

    async def _as_the_servers_say(self, party: Party, error: OperationError) -> Answer:
        """The answer to a switchover that was given up, and that the servers have ended.

        @raise OperationError: it did not take place, or nobody knows.
        """
        self._assembly.party = None
        report, found = error.details["report"], await self._found(party)
        if found == UNKNOWN:
            self._look_on(party)
            raise error
        why, report["result"] = report["error"].partition("\n")[0], found
        if found == DONE:
            report["error"] = ""
            report["warnings"] += [_moved(report, why)]
        else:
            report["error"] = f"{why}\n{_stayed(report)}"
        self._here.control.results.amended(report)
        if found == DONE:
            return {**gate_answer(await self._here.dataplane.gate.state()), "report": report}
        raise type(error)(report["error"], **error.details) from error

    async def _found(self, party: Party) -> str:
        here, new = self._here, party.target
        assert new is not None
        ends = here.clock.seconds() + new.switchover.pause_budget_ms / 1000 + here.lease_s + 2 * MARGIN_S
        while self._assembly.settling and here.clock.seconds() < ends:
            await deferLater(here.clock, LOOK_S)
        settings = here.configuration.settings
        if self._assembly.settling:
            return UNKNOWN
        if settings.uplink.address == new.uplink.address:
            return DONE
        said = await Arbiter(here.network, here.clock).look(settings, new)
        return ROLLED_BACK if said is Verdict.STAY else UNKNOWN

    def _look_on(self, party: Party) -> None:
        """As the peers do: a server that can't be asked now may be there again soon."""
        configuration = self._here.configuration
        assert party.target is not None
        with suppress(TLSFault):
            self._vigil.begin(configuration.settings, configuration.of_prepared_move(party.target))


LAST_WORD = "the leader lost its peers and could not know what they had done, so the servers had the last word"


def _moved(report: dict[str, Any], why: str) -> str:
    return (
        f"{why}. {LAST_WORD}: every proxy goes to {report['to']}, which has everything. What comes last in a switchover"
        " was left out: the new server may have masterauth, masteruser and tls-replication of a replica still"
    )


def _stayed(report: dict[str, Any]) -> str:
    return (
        f"{LAST_WORD}: every proxy stays at {report['from']}, which takes writes. {report['to']} may be promoted: make"
        " it a replica before you retry"
    )
