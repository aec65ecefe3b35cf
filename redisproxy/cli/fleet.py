"""C{redisproxy fleet}: shows who of the fleet is there."""

from __future__ import annotations

import json
import sys
from typing import Any

import click
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from redisproxy.cli.asking import AS_JSON, DONE, REFUSED, ask_admin, json_of
from redisproxy.cli.terminal import console_of, shown

HEADERS = ("peer", "version", "state", "server", "clients", "held", "lag ms", "runs")


def show(answer: dict[str, Any], console: Console) -> int:
    """Print the contents of /fleet.json; the exit code is 1 when a peer is missing or on another server."""
    if not answer.get("fleet"):
        console.print("this proxy is in no fleet: its configuration has no fleet section")
        return DONE
    table = Table(*HEADERS, box=None, pad_edge=False)
    table.add_row(*_row({**answer["self"], "lag_ms": 0.0}, f"{answer['self']['name']} (asked)"))
    for peer in answer["peers"]:
        table.add_row(*_row(peer, peer["addr"]))
    console.print(table)
    for fault in answer["faults"]:
        console.print(f"[red]missing:[/] {escape(shown(fault))}", highlight=False)
    for addr in _elsewhere(answer):
        console.print(f"[red]on another server:[/] {escape(shown(addr))}", highlight=False)
    return code_of(answer)


def code_of(answer: dict[str, Any]) -> int:
    """The exit code."""
    return REFUSED if answer.get("faults") or _elsewhere(answer) else DONE


def _elsewhere(answer: dict[str, Any]) -> list[str]:
    return [peer["addr"] for peer in answer.get("peers", ()) if peer.get("same_server") is False]


def _row(peer: dict[str, Any], name: str) -> list[str]:
    if "instance" not in peer:
        return [escape(name), "", "missing"]
    runs = peer["operation"] + (" (leads it)" if peer["leads"] else "")
    server = peer["server"] if peer["connected"] else f"{peer['server']} (not connected)"
    figures = [str(peer["clients"]), str(peer["held"]), f"{peer['lag_ms']:.1f}"]
    return [escape(shown(text)) for text in (name, peer["version"], peer["state"], server, *figures, runs)]


@click.command(short_help="Show the proxies that are operated with this one.")
@ask_admin
@AS_JSON
def fleet(path: str, cacert: str | None, as_json: bool) -> None:
    """Show the proxies that are operated together with this one.

    Exit code 0: all are there and use the same server. 1: one is missing, or on another server.
    """
    answer = json_of(path, "/fleet.json", cacert, "fleet", as_json)
    if as_json:
        click.echo(json.dumps(answer, indent=2))
        sys.exit(code_of(answer))
    sys.exit(show(answer, console_of(sys.stdout)))
