"""C{redisproxy clients}: who is connected, and an end to some of them."""

from __future__ import annotations

import json
import sys
from typing import Any
from urllib.parse import urlencode

import click

from redisproxy.cli.asking import AS_JSON, DONE, REFUSED, answer_of, ask_admin, fail, json_of
from redisproxy.cli.terminal import duration, narrow, put, shown, table
from redisproxy.dataplane.client_rows import COLUMNS, MAX_ROWS, ROWS, STATES

AT_A_TIME = 500
"""Clients are killed so many with one request."""
HEADS = {"age_s": "age", "idle_s": "idle"}
OFTEN_EMPTY = {"name": "", "lib": "", "cmd": "", "worker": None}
"""Columns that are left out when nobody has anything there."""
LESS_IMPORTANT = {"lib", "age_s"}
"""What a narrow terminal has no room for."""


@click.command(short_help="Show the clients, or disconnect some.")
@ask_admin
@click.option("--id", "ids", type=click.IntRange(0), multiple=True, help="With this id; may be given several times.")
@click.option("--addr", help="Whose address begins so.")
@click.option("--user", help="Of this user.")
@click.option("--name", help="Whose name contains this.")
@click.option("--lib", help="Whose library contains this.")
@click.option("--db", type=click.IntRange(0), help="In this database.")
@click.option("--cmd", help="With this last command.")
@click.option("--state", type=click.Choice(STATES), help="In this state.")
@click.option("--text", help="Whose address, user, name, library or command contains this.")
@click.option("--min-age-s", type=click.IntRange(0), help="Connected for at least so long.")
@click.option("--min-idle-s", type=click.IntRange(0), help="Silent for at least so long.")
@click.option("--min-pending", type=click.IntRange(0), help="Waiting for at least so many replies.")
@click.option("--sort", metavar="COLUMN", help=f"By one of {', '.join(COLUMNS)}; -COLUMN: the highest first.")
@click.option(
    "--limit", type=click.IntRange(1, MAX_ROWS), default=ROWS, show_default=True, help="No more than so many."
)
@click.option("--kill", is_flag=True, help="Disconnect them: all that are meant, whatever --limit says.")
@click.option("--yes", is_flag=True, help="Kill without asking.")
@AS_JSON
def clients(path: str, cacert: str | None, kill: bool, yes: bool, as_json: bool, **which: Any) -> None:
    """Show the clients, or disconnect some with --kill; everything that is asked for has to be true of one.

    A narrow terminal gets fewer columns. Exit code 0: done. 1: refused, or nobody to kill. 2: there was no answer.
    """
    ids = which.pop("ids")
    wanted = {name: str(value) for name, value in which.items() if value is not None}
    wanted |= {"id": ",".join(map(str, ids))} if ids else {}

    def ask(**more: str) -> dict[str, Any]:
        return json_of(path, f"/clients.json?{urlencode(wanted | more)}", cacert, "table of clients", as_json)

    if kill:
        if not wanted.keys() - {"sort", "limit"}:
            raise click.UsageError(
                "--kill needs to be told whom, for example --user or --id; --min-age-s 0 is everybody"
            )
        sys.exit(_kill([row["id"] for row in ask(limit=str(MAX_ROWS))["clients"]], path, cacert, yes, as_json))
    answer = ask()
    if as_json:
        click.echo(json.dumps(answer, indent=2))
    else:
        _show(answer)


def _show(answer: dict[str, Any]) -> None:
    rows, total = answer["clients"], answer["total"]
    empty = {name for name, nothing in OFTEN_EMPTY.items() if all(row[name] == nothing for row in rows)}
    left_out = empty | LESS_IMPORTANT if narrow() else empty
    columns = [name for name in (*COLUMNS, "worker") if name not in left_out]
    if rows:
        heads = [HEADS.get(name, name) for name in columns]
        cells = [[_cell(name, row[name]) for name in columns] for row in rows]
        numbers = ("id", "db", "age", "idle", "pending", "worker")
        put(table(heads, cells, right=numbers, wrap=("name",)))
    more = f", of whom {len(rows):,} are shown" if len(rows) < total else ""
    click.echo(f"{_count(total)}{more}", err=True)
    for label in answer["missing"]:
        click.echo(f"warning: {shown(label)} has not told its clients", err=True)


def _count(number: int) -> str:
    return f"{number:,} client{'' if number == 1 else 's'}"


def _cell(name: str, value: Any) -> str:
    return duration(value) if name in HEADS else str(value)


def _kill(ids: list[int], path: str, cacert: str | None, yes: bool, as_json: bool) -> int:
    if ids and not yes:
        if not sys.stdin.isatty():
            fail(f"this would disconnect {_count(len(ids))}; say --yes to do it", REFUSED, as_json)
        if not click.confirm(f"Disconnect {_count(len(ids))}?", err=True):
            return REFUSED
    killed = 0
    for at in range(0, len(ids), AT_A_TIME):
        fields = {"cmd": "kill", "id": ",".join(map(str, ids[at : at + AT_A_TIME]))}
        status, answer = answer_of(path, "/cmd/", fields, cacert, as_json)
        if not answer.get("ok"):
            fail(shown(answer.get("error", f"HTTP status {status}")), REFUSED, as_json)
        killed += answer["killed"]
    text = f"{_count(killed)} {'was' if killed == 1 else 'were'} disconnected"
    click.echo(json.dumps({"killed": killed}) if as_json else text)
    return DONE if killed else REFUSED
