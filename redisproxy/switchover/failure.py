"""How a switchover fails, and the text that tells an operator why."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from twisted.internet.defer import CancelledError, TimeoutError

from redisproxy.dataplane.interface import DataPlaneLost
from redisproxy.net.errors import UplinkError
from redisproxy.switchover.report import Report

if TYPE_CHECKING:
    from redisproxy.dataplane.interface import ClientInFlight

SHOWN = 5


class SwitchoverFailed(Exception):
    """The switchover did not take place; everything is as before, unless C{str()} says what is not.

    @ivar refused: the preflight refused it, and nothing has been changed.
    @ivar late: a deadline was exceeded.
    """

    def __init__(self, message: str, *, refused: bool = False, late: bool = False) -> None:
        super().__init__(message)
        self.refused = refused
        self.late = late


def refuse(faults: Iterable[str]) -> None:
    """Refuse the switchover, if there is a reason.

    @raise SwitchoverFailed: there is; the text has them all.
    """
    if text := "\n".join(faults):
        raise SwitchoverFailed(text, refused=True)


def explain(
    error: BaseException, report: Report, budget_ms: int, stuck: Sequence[ClientInFlight], aborted: bool = False
) -> str:
    """Why a switchover failed.

    @param budget_ms: the setting C{switchover.pause_budget_ms}.
    @param stuck: the clients that had commands in flight when the drain took too long.
    @param aborted: an operator has aborted it.
    """
    step = report["step"]
    if isinstance(error, TimeoutError):
        return f"the pause would have become longer than {budget_ms} ms (switchover.pause_budget_ms)" + (
            f": {who_was_in_flight(stuck)}" if stuck else f" at the step {step} ({_durations(report)})"
        )
    if isinstance(error, CancelledError):
        return f"aborted by an operator while at: {step}" if aborted else f"stopped while at: {step}"
    if isinstance(error, (SwitchoverFailed, UplinkError, DataPlaneLost)):
        return str(error)
    return f"internal error while at: {step}; see the log"


def who_was_in_flight(clients: Sequence[ClientInFlight]) -> str:
    """Some of them by their names, with their commands."""
    names = ", ".join(map(_named, clients[:SHOWN]))
    more = f", and {len(clients) - SHOWN} more" if len(clients) > SHOWN else ""
    return f"{len(clients)} client{'' if len(clients) == 1 else 's'} had commands in flight: {names}{more}"


def _named(client: ClientInFlight) -> str:
    name = f" named {client.name!r}" if client.name else ""
    return f"{client.cmd or 'a command'} of client {client.id} ({client.addr}){name}"


def _durations(report: Report) -> str:
    return ", ".join(f"{each['name']} {each['ms']:.0f} ms" for each in report["steps"][-4:])
