"""What C{redisproxy top} shows: one frame, made of what the proxy has told, for a terminal of a given size."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, NamedTuple

from rich.cells import cell_len, set_cell_size
from rich.text import Text

from redisproxy.cli.terminal import milliseconds, number, shown

BARS, BARS_IN_ASCII = "▁▂▃▄▅▆▇█", ".:-=+*%#"
STATES = {"running": "bold green", "paused": "bold yellow", "pausing": "bold yellow", "shutting down": "bold red"}
HEAD_LINES = 9
"""Above the rows of clients, with the line of keys at the bottom."""


@dataclass
class Told:
    """What the proxy has told last. @ivar error: why it tells nothing now; the rest is older then."""

    info: dict[str, Any]
    figures: dict[str, Any] = field(default_factory=dict)
    clients: dict[str, Any] = field(default_factory=dict)
    error: str = ""


@dataclass
class View:
    """What the user wants to see.

    @ivar sort: the column by which clients are sorted. @ivar text: what a client has to contain.
    @ivar typing: the text is being typed. @ivar first: the first client that is shown.
    """

    sort: str = "pending"
    descending: bool = True
    text: str = ""
    typing: bool = False
    first: int = 0


class Column(NamedTuple):
    """A column of the table.

    @ivar from_width: it is there in terminals at least so wide. @ivar grows: by so much where there is room.
    """

    name: str
    head: str
    width: int
    from_width: int = 0
    right: bool = False
    grows: int = 0


COLUMNS = (
    Column("id", "id", 7, right=True),
    Column("addr", "address", 21),
    Column("user", "user", 10, 100),
    Column("name", "name", 12, 70, grows=16),
    Column("lib", "library", 16, 120),
    Column("db", "db", 3, 90, right=True),
    Column("cmd", "command", 8, 80, grows=10),
    Column("age_s", "age", 4, right=True),
    Column("idle_s", "idle", 4, right=True),
    Column("pending", "pend", 4, right=True),
    Column("state", "state", 11),
    Column("worker", "worker", 6, 110, right=True),
)


def frame(told: Told, view: View, width: int, height: int, unicode: bool = True) -> list[Text]:
    """The lines, exactly `height` of them, none wider than `width` cells."""
    rows = told.clients.get("clients", [])
    lines = [*_head(told, width, unicode), _table_head(view, width)]
    space = max(0, height - len(lines) - 1)
    view.first = max(0, min(view.first, len(rows) - space))
    lines += [_row(row, width) for row in rows[view.first : view.first + space]]
    lines = lines[: height - 1] + [Text()] * (height - 1 - len(lines))
    return [_cut(line, width) for line in [*lines, _keys(view)]]


def _cut(line: Text, width: int) -> Text:
    line = line.copy()
    line.no_wrap = True
    line.truncate(width, overflow="ellipsis")
    return line


def _head(told: Told, width: int, unicode: bool) -> list[Text]:
    info = told.info
    now, samples = told.figures.get("now") or {}, told.figures.get("samples") or []
    uplink = info.get("uplink", {})
    state = str(info.get("state", "unknown"))
    first = Text.assemble("redisproxy ", (f" {shown(state)} ", STATES.get(state, "bold")))
    first.append(shown(f" {' '.join(info.get('paused_for', ()))}  uplink {uplink.get('address', '')}"))
    first.append("" if uplink.get("connected", True) else " not connected", "red")
    first.append(shown(f"  version {info.get('version', '')}, up {short(info.get('uptime_s', 0))}"))
    return [
        first,
        _news(told),
        _graph("commands/s", number(now.get("commands_per_s")), samples, "commands_per_s", width, unicode, "cyan"),
        _graph("p99", milliseconds(now.get("client_p99_ms")), samples, "client_p99_ms", width, unicode, "magenta"),
        _graph("redis p99", milliseconds(now.get("uplink_p99_ms")), samples, "uplink_p99_ms", width, unicode, "blue"),
        _graph("held", number(info.get("held", 0)), samples, "held", width, unicode, "yellow"),
        _numbers(info, now),
    ]


def _news(told: Told) -> Text:
    """The most important thing to know now."""
    if told.error:
        return Text(shown(told.error.partition("\n")[0]), "bold red")
    switchover = (told.info.get("switchover") or {}).get("current")
    if switchover:
        left = switchover.get("bytes_left")
        more = "" if left is None else f", {number(left, 'B')} left"
        return Text(f"switchover to {shown(switchover.get('to'))}: {shown(switchover.get('step'))}{more}", "bold")
    upgrade = (told.info.get("upgrade") or {}).get("step")
    if upgrade:
        return Text(f"upgrade: {shown(upgrade)}", "bold")
    return Text(shown(told.info.get("uplink", {}).get("advice", "")), "yellow")


def _graph(
    label: str, value: str, samples: list[dict[str, Any]], name: str, width: int, unicode: bool, style: str
) -> Text:
    values = [sample.get(name) for sample in samples[-max(0, width - 24) :]]
    return Text.assemble(f"{label:<11}", (f"{value:>10}", "bold"), "  ", (bars(values, unicode), style))


def bars(values: list[float | None], unicode: bool = True) -> str:
    """One letter for each value, as high as it is; a blank for None."""
    letters = BARS if unicode else BARS_IN_ASCII
    top = max((value for value in values if value is not None), default=0) or 1
    last = len(letters) - 1
    return "".join(" " if value is None else letters[min(last, int(value / top * last + 0.5))] for value in values)


def _numbers(info: dict[str, Any], now: dict[str, Any]) -> Text:
    in_s, out_s = number(now.get("bytes_in_per_s"), "B"), number(now.get("bytes_out_per_s"), "B")
    return Text(
        f"clients {info.get('clients', {}).get('open', 0):,}  in flight {info.get('in_flight', 0):,}"
        f"  errors {number(now.get('errors_per_s'))}/s  in {in_s}/s  out {out_s}/s"
    )


def _columns(width: int) -> list[Column]:
    those = [column for column in COLUMNS if width >= column.from_width]
    room = width - sum(column.width + 1 for column in those) + 1
    columns = []
    for column in those:
        more = max(0, min(column.grows, room))
        room -= more
        columns.append(column._replace(width=column.width + more))
    return columns


def _table_head(view: View, width: int) -> Text:
    heads = (_cell(column, column.head) for column in _columns(width))
    line = Text(" ".join(heads).ljust(width), "reverse")
    at = 0
    for column in _columns(width):
        if column.name == view.sort:
            line.stylize("bold underline", at, at + column.width)
        at += column.width + 1
    return line


def _row(row: dict[str, Any], width: int) -> Text:
    held = row.get("state") == "held"
    cells = (_cell(column, _shown(column.name, row.get(column.name))) for column in _columns(width))
    return Text(" ".join(cells), "yellow" if held else "")


def _shown(name: str, value: Any) -> str:
    if value is None:
        return ""
    return short(value) if name in ("age_s", "idle_s") else shown(value)


def _cell(column: Column, text: str) -> str:
    """Exactly as wide as the column, whatever is in it."""
    if cell_len(text) > column.width:
        return set_cell_size(text, column.width - 1) + "~"
    blanks = " " * (column.width - cell_len(text))
    return blanks + text if column.right else text + blanks


def short(seconds: float) -> str:
    """In three or four letters."""
    for unit, size in (("d", 86400), ("h", 3600), ("m", 60)):
        if seconds >= size:
            return f"{int(seconds // size)}{unit}"
    return f"{int(seconds)}s"


def _keys(view: View) -> Text:
    if view.typing:
        return Text.assemble(("filter: ", "bold"), shown(view.text), ("_", "blink"), "   enter: done, esc: none")
    keys = {"q": "quit", "s": f"sort: {view.sort}", "r": "reverse", "/": "filter", "arrows": "scroll"}
    line = Text("  ").join(Text.assemble((key, "bold"), f" {what}") for key, what in keys.items())
    return line.append(f"   only: {shown(view.text)}", "yellow") if view.text else line
