"""The C{redisproxy} command: checks a configuration, and gives a running proxy its commands.

What only one command needs (Twisted, progress bars) is imported in its function: each such import takes a tenth of a
second, and C{redisproxy pause} is part of operators' scripts.
"""

from __future__ import annotations

import json
import sys
from typing import Any

import click

import redisproxy
from redisproxy.cli import checking, clients, completion, fleet, looking, top
from redisproxy.cli.admin_client import ANSWER_S, call
from redisproxy.cli.asking import AS_JSON, CONFIG, REFUSED, admin_of, answer_of, ask_admin, show
from redisproxy.cli.checking import load


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(redisproxy.__version__, prog_name="redisproxy")
def main() -> None:
    """Check a configuration, and give a running redisproxy its commands.

    The proxy itself is started with: twistd -n redisproxy -c config.json
    """


HERE = click.option("--here", is_flag=True, help="This proxy alone, although it is in a fleet.")

for each in (
    *(checking.check_config, checking.schema, completion.completion, clients.clients, top.top),
    *(fleet.fleet, looking.status, looking.history, looking.metrics, looking.slowlog, looking.hot_keys),
):
    main.add_command(each)


def _command(name: str, text: str) -> None:
    @main.command(name, help=text)
    @ask_admin
    @HERE
    @AS_JSON
    def run(path: str, cacert: str | None, here: bool, as_json: bool) -> None:
        show(*_ordered(path, {"cmd": name, **_of_whom(here)}, cacert, as_json), as_json)


def _of_whom(here: bool) -> dict[str, str]:
    return {"fleet": "0"} if here else {}


def _ordered(path: str, fields: dict[str, str], cacert: str | None, as_json: bool) -> tuple[int, dict[str, Any]]:
    """The answer to a command, however long it takes."""
    return answer_of(path, "/cmd/", fields, cacert, as_json, limit_s=None)


class _Asking:
    """Implements C{switchover.Asking}."""

    def __init__(self, path: str, cacert: str | None, as_json: bool, here: bool = False) -> None:
        self._path = path
        self._as_json = as_json
        self._cacert = cacert
        self._of_whom = _of_whom(here)

    def order(self, fields: dict[str, str]) -> tuple[int, dict[str, Any]]:
        return _ordered(self._path, {**fields, **self._of_whom}, self._cacert, self._as_json)

    def info(self) -> tuple[int, dict[str, Any]]:
        return call(admin_of(self._path), "/info.json", None, self._cacert, ANSWER_S)


_command("pause", "Suspend new commands and return at once.")
_command("unpause", "Let commands through again.")
_command("reload", "Take the configuration file as it is now. The proxy pauses, switches, and unpauses.")


@main.command("pause-and-wait", short_help="Suspend new commands, and wait for those in flight.")
@ask_admin
@HERE
@click.option("--timeout-ms", type=click.IntRange(1, 3_600_000), help="Drop what runs longer than this.")
@AS_JSON
def pause_and_wait(path: str, cacert: str | None, here: bool, timeout_ms: int | None, as_json: bool) -> None:
    """Suspend new commands; return when every client is suspended."""
    limit = {} if timeout_ms is None else {"timeout_ms": str(timeout_ms)}
    show(*_ordered(path, {"cmd": "pause-and-wait", **_of_whom(here), **limit}, cacert, as_json), as_json)


@main.command(short_help="Move data and clients to another server.")
@ask_admin
@click.option("--dry-run", is_flag=True, help="Look whether it could begin, and change nothing.")
@click.option("--abort", is_flag=True, help="Stop the one that runs, before the new server is promoted.")
@click.option("--back", is_flag=True, help="Go to the server before, whatever the file names.")
@click.option("--forget-way-back", "forget", is_flag=True, help="Have the server before follow no more.")
@HERE
@click.option("--json", "as_json", is_flag=True, help="The report as JSON.")
def switchover(
    path: str, cacert: str | None, dry_run: bool, abort: bool, back: bool, forget: bool, here: bool, as_json: bool
) -> None:
    """Move data and clients to the uplink that the configuration names now.

    First point uplink in the configuration at the new Redis server; the running proxy does the rest: it lets the new
    server replicate, holds the clients for a moment, fences the old one, promotes the new one and goes on there.
    Ctrl-C asks whether to abort it.
    """
    from redisproxy.cli import switchover as command

    ask = _Asking(path, cacert, as_json, here)
    if abort + back + forget > 1 or (dry_run and (abort or forget)):
        raise click.UsageError("--abort, --back and --forget-way-back exclude each other; --dry-run goes with --back")
    if forget:
        show(*ask.order({"cmd": "forget-way-back"}), as_json)
        return
    sys.exit(command.abort(ask, as_json) if abort else command.run(ask, dry_run, back, as_json))


@main.command(short_help="Have Sentinel promote a replica, with nothing lost.")
@ask_admin
@click.option("--dry-run", is_flag=True, help="Only check; change nothing.")
@click.option("--abort", is_flag=True, help="Undo the failover that runs, unless the sentinels have been told.")
@HERE
@click.option("--json", "as_json", is_flag=True, help="The report as JSON.")
def failover(path: str, cacert: str | None, dry_run: bool, abort: bool, here: bool, as_json: bool) -> None:
    """Have Redis Sentinel make a replica the primary, with nothing lost, and go on there.

    The running proxy holds the clients for a moment, fences the primary, waits until the replicas have everything, and
    tells the sentinels to fail over. Ctrl-C asks whether to abort it.

    Exit code 0: done. 1: refused or undone, or something has to be looked after, which is said.
    """
    from redisproxy.cli import switchover as command

    ask = _Asking(path, cacert, as_json, here)
    if abort and dry_run:
        raise click.UsageError("--abort and --dry-run exclude each other")
    sys.exit(command.abort(ask, as_json) if abort else command.run(ask, dry_run, False, as_json, "failover"))


@main.command(short_help="Have the program on disk take over.")
@ask_admin
@click.option("--json", "as_json", is_flag=True, help="The answer as JSON.")
def upgrade(path: str, cacert: str | None, as_json: bool) -> None:
    """Have the program as it is on disk now take the place of the running one; clients do not notice.

    Install the new version first. It is started with the command line of the running proxy and reads the configuration
    file anew; if it can't take over, the running proxy goes on.

    Exit code 0: the new process is in charge. 1: it is not, and the running proxy goes on. 2: there was no answer.
    """
    status, answer = _ordered(path, {"cmd": "upgrade"}, cacert, as_json)
    if as_json:
        click.echo(json.dumps(answer, indent=2))
        sys.exit(0 if answer.get("ok") else REFUSED)
    if not answer.get("ok"):
        show(status, answer)
    stayed = f", {answer['stayed']} stay in the old process until they leave" if answer["stayed"] else ""
    click.echo(
        f"upgraded from {answer['from']} to {answer['to']} in {answer['ms'] / 1000:.1f} s:"
        f" process {answer['pid']} is in charge\n{answer['clients']} clients were handed over{stayed}"
    )


@main.command(short_help="Let a server that is fenced take writes again.")
@CONFIG
def unfence(path: str) -> None:
    """Let the Redis server that is the uplink in this configuration take writes again.

    A switchover fences the old server, so that nobody writes there by mistake. Lift the fence only to go back to it.
    The proxy need not run.
    """
    from redisproxy.cli import unfence as command

    sys.exit(command.run(load(path)))


@main.command(short_help="Compare the keys of two Redis servers.")
@click.option("-c", "--config", "path", required=True, help="A configuration whose uplink is the one server.")
@click.option("--with", "other", required=True, help="A configuration whose uplink is the other server.")
@click.option("--sample", type=click.IntRange(1), help="Compare so many keys, taken at random.  [default: 10000]")
@click.option("--all", "whole", is_flag=True, help="Compare all keys.")
@click.option("--counts", is_flag=True, help="Compare only the numbers of keys.")
@click.option("--json", "as_json", is_flag=True, help="The result as JSON, and nothing else.")
def compare(path: str, other: str, sample: int | None, whole: bool, counts: bool, as_json: bool) -> None:
    """Compare the keys of two Redis servers: their types, values and times to live; and their functions.

    Reads from both while they are used, and changes nothing. The proxy need not run.

    Exit code 0: no difference. 1: they differ; the differences are shown. 2: it could not compare all that was asked
    for. 130: interrupted.
    """
    if whole + counts + (sample is not None) > 1:
        raise click.UsageError("--sample, --all and --counts exclude each other")
    from redisproxy.cli import compare as command

    settings = load(path, 2, as_json), load(other, 2, as_json)
    sys.exit(command.run(*settings, command.extent(sample, whole, counts), as_json))


OF_SWITCHOVERS = ("kill", "manual", "back")


@main.command("switch-test", short_help="Test switchovers with servers and clients of its own.")
@click.option("--switchovers", type=click.IntRange(0), default=20, show_default=True, help="How many.")
@click.option(
    "--upgrades", type=click.IntRange(0), default=0, show_default=True,
    help="How often, among the switchovers, the program on disk takes the proxy's place.",
)  # fmt: skip
@click.option(
    "--failovers", type=click.IntRange(0), default=0, show_default=True,
    help="Instead of switchovers, so many failovers by sentinels of its own.",
)  # fmt: skip
@click.option("--workers", type=click.IntRange(1, 64), default=1, show_default=True, help="The proxy's workers.")
@click.option("--seed", type=int, help="Repeats what a run with this seed has decided; else a new one, which is told.")
@click.option("--kill", is_flag=True, help="Kill the old primary as soon as the new one is promoted.")
@click.option("--manual", is_flag=True, help="By hand: pause, catch up, promote, reload, unpause.")
@click.option("--back", is_flag=True, help="Every second time go back to the server before, which has followed.")
@click.option(
    "--mode", type=click.Choice(["replicate", "copy", "auto"]), default="replicate", show_default=True,
    help="How the data moves.",
)  # fmt: skip
@click.option("--program-a", default="", help="The program of the first server, instead of redis-server.")
@click.option("--program-b", default="", help="The program of the second server.")
@click.option("--busy", type=click.IntRange(1), default=20, show_default=True, help="Clients at work.")
@click.option("--blocked", type=click.IntRange(0), default=20, show_default=True, help="Clients blocked in BLPOP.")
@click.option("--idle", type=click.IntRange(0), default=0, show_default=True, help="Clients that rarely do anything.")
@click.option("--value-bytes", type=click.IntRange(0), default=32, show_default=True, help="Usual size of values.")
@click.option("--rate", type=click.IntRange(1), default=2000, show_default=True, help="Rounds of work a second.")
@click.option("--data-mb", type=click.IntRange(0), default=0, show_default=True, help="MiB of data to move along.")
@click.option(
    "--between-s", type=click.FloatRange(0), default=0.1, show_default=True, help="The longest pause before a move."
)
@click.option(
    "--reply-limit-s", type=click.FloatRange(0.1), default=15.0, show_default=True, help="Longer is a fault: it hangs."
)
@click.option("--json", "as_json", is_flag=True, help="The result as JSON, and nothing else.")
def switch_test(as_json: bool, seed: int | None, **fields: Any) -> None:
    """Move live clients between two Redis servers of its own, again and again, and check every reply.

    With --upgrades the proxy hands its clients over to the program on disk in between (or only that, with
    --switchovers 0). With --failovers there are a primary, two replicas and three sentinels, which are told to fail
    over again and again.

    The seed fixes what the test itself decides: each client's commands, keys, sizes and think times in their order, the
    order in which idle clients are asked, and how long after one switchover the next one is asked for. It can't fix how
    long processes and sockets take, and so not how the clients' commands come between each other, nor where in them
    a switchover falls.

    Exit code 0: no client noticed, and no write was lost. 1: the faults are shown, and where the logs are. 2: it could
    not run. 130: interrupted, with no fault until then.
    """
    from redisproxy.switch_test.options import Options, any_seed
    from redisproxy.switch_test.terminal import run

    if fields["failovers"]:
        if how := [each for each in (*OF_SWITCHOVERS, "program-b") if fields[each.replace("-", "_")]]:
            raise click.UsageError(f"--{how[0]} is for switchovers, and --failovers has none")
        fields["switchovers"] = 0
    if fields["back"] and (fields["kill"] or fields["manual"]):
        raise click.UsageError("--back needs the old server alive, and the proxy's own switchovers")
    if not (fields["switchovers"] or fields["upgrades"] or fields["failovers"]):
        raise click.UsageError("--switchovers 0 needs --upgrades: there would be nothing to test")
    if not fields["switchovers"] and (how := [each for each in OF_SWITCHOVERS if fields[each]]):
        raise click.UsageError(f"--{how[0]} says how a switchover goes, and --switchovers 0 has none")
    sys.exit(run(Options(seed=any_seed() if seed is None else seed, **fields), as_json))
