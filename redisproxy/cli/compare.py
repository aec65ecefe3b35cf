"""C{redisproxy compare}: compares two Redis servers, shows how far it is, and what differs; needs no running proxy."""

from __future__ import annotations

import json
from contextlib import ExitStack
from typing import Any

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text
from twisted.internet.defer import Deferred, ensureDeferred
from twisted.internet.task import react

from redisproxy.cli.terminal import shown
from redisproxy.config import Settings
from redisproxy.copying.bulk_connection import open_bulk
from redisproxy.copying.compare import compare
from redisproxy.copying.comparison import DEFAULT_SAMPLE, Comparison, Depth, Extent
from redisproxy.copying.endpoint import Endpoint, endpoint
from redisproxy.net.errors import UplinkError
from redisproxy.net.network import best_network

ANSWER_S = 60.0
SAME, DIFFERENT, COULD_NOT, INTERRUPTED = 0, 1, 2, 130


def extent(sample: int | None, whole: bool, counts: bool) -> Extent:
    """How much to compare, as the options say it."""
    depth = Depth.ALL if whole else Depth.COUNTS if counts else Depth.SAMPLE
    return Extent(depth, sample or DEFAULT_SAMPLE)


def run(here: Settings, there: Settings, extent: Extent, as_json: bool) -> int:
    """Compare the uplinks of two configurations; returns the exit code."""
    codes: list[int] = []

    def main(reactor: Any) -> Deferred[None]:
        done: Deferred[None] = ensureDeferred(_compare(reactor, here, there, extent, as_json)).addCallback(codes.append)
        return done

    try:
        react(main, [])
    except SystemExit as ended:
        if not codes:
            return COULD_NOT if ended.code else INTERRUPTED
    return codes[0]


async def _compare(reactor: Any, here: Settings, there: Settings, extent: Extent, as_json: bool) -> int:
    names = str(here.uplink.address), str(there.uplink.address)
    with ExitStack() as opened:
        try:
            source = await _connected(reactor, here, names[0], opened)
            target = await _connected(reactor, there, names[1], opened)
            comparison = await _watched(source, target, extent, reactor, as_json)
        except UplinkError as error:
            click.echo(json.dumps({"ok": False, "error": str(error)}) if as_json else str(error), err=not as_json)
            return COULD_NOT
    if as_json:
        click.echo(json.dumps(_as_json(names, comparison), indent=2))
    else:
        _tell(names, comparison, extent.depth, Console())
    return DIFFERENT if not comparison.same else COULD_NOT if comparison.unread else SAME


async def _connected(reactor: Any, settings: Settings, name: str, opened: ExitStack) -> Endpoint:
    connection = await open_bulk(settings.uplink, name, best_network(reactor), reactor, ANSWER_S)
    opened.callback(connection.close)
    return await endpoint(connection)


async def _watched(source: Endpoint, target: Endpoint, extent: Extent, reactor: Any, as_json: bool) -> Comparison:
    console = Console(stderr=True)
    if as_json or not console.is_terminal:
        return await compare(source, target, extent, reactor)
    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
    with Progress(*columns, console=console, transient=True) as progress:
        bar = progress.add_task("keys", total=None)
        return await compare(
            source, target, extent, reactor, lambda done, total: progress.update(bar, completed=done, total=total)
        )


def _key(key: bytes | None) -> str:
    """A key's name; what can't be printed is escaped."""
    return shown("" if key is None else key.decode("utf-8", "backslashreplace"))


def _as_json(names: tuple[str, str], comparison: Comparison) -> dict[str, Any]:
    return {
        "servers": list(names),
        "same": comparison.same,
        "keys": {str(db): list(counts) for db, counts in comparison.keys.items()},
        "compared": comparison.compared,
        "unread": comparison.unread,
        "differences": [
            {
                "db": each.db,
                "key": None if each.key is None else _key(each.key),
                "type": each.kind or None,
                "why": each.why,
            }
            for each in comparison.differences
        ],
        "more": comparison.more,
    }


def _tell(names: tuple[str, str], comparison: Comparison, depth: Depth, console: Console) -> None:
    here, there = (sum(each[at] for each in comparison.keys.values()) for at in (0, 1))
    console.print(f"{names[0]} has {here:,} keys, {names[1]} has {there:,}", highlight=False)
    if depth is not Depth.COUNTS:
        console.print(f"{comparison.compared:,} keys were compared: types, values, times to live", highlight=False)
    if comparison.unread:
        console.print(
            f"[yellow]warning:[/] the values of {comparison.unread:,} of them can't be read, or change too fast"
        )
    if comparison.same:
        console.print("[green]no difference was found[/]")
        return
    table = Table("db", "key", "type", f"at {names[1]}", box=None, pad_edge=False)
    for each in comparison.differences:
        table.add_row(str(each.db), Text(_key(each.key)), each.kind, each.why)
    console.print(table)
    if comparison.more:
        console.print(f"and {comparison.more:,} more differences", highlight=False)
