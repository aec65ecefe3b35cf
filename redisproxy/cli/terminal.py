"""How the commands print: tables, sizes and times for people, and nothing that could steer their terminal.

What comes from clients and servers (names, commands, keys, errors) is hostile: it passes L{shown} first.
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal, TextIO

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

WIDE_COLUMNS = 120
TABLE_COLUMNS = 60
"""In a terminal that is narrower each row is a few lines."""
PIPED_COLUMNS = 1000
"""Who reads a pipe wants whole lines."""


def shown(value: object) -> str:
    """A text with everything escaped that can't be printed: control characters, marks that turn the direction."""
    return "".join(letter if letter.isprintable() else repr(letter)[1:-1] for letter in str(value))


def duration(seconds: float) -> str:
    """As C{4 s}, C{12 min}, C{3 h 5 min}, C{9 d 2 h}."""
    total = int(seconds)
    days, hours, minutes = total // 86400, total // 3600 % 24, total // 60 % 60
    if days:
        return f"{days} d {hours} h"
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min" if minutes else f"{total} s"


def number(value: float | None, unit: str = "") -> str:
    """With three or four digits and a letter for thousands; C{-} for None."""
    if value is None:
        return "-"
    for letter in ("", "k", "M", "G"):
        if abs(value) < 1000 or letter == "G":
            break
        value /= 1000
    digits = f"{value:.0f}" if abs(value) >= 100 or value == int(value) else f"{value:.1f}"
    return f"{digits}{' ' if unit else ''}{letter}{unit}" if unit else f"{digits}{letter}"


def milliseconds(value: float | None) -> str:
    """As C{0.42 ms}; C{-} for None."""
    return "-" if value is None else f"{value:.2f} ms" if value < 10 else f"{value:,.0f} ms"


def local_time(at: float | None) -> str:
    """In the time zone of whoever reads it; in a terminal without the date, if it is of today."""
    if not at:
        return ""
    moment = datetime.fromtimestamp(at).astimezone()
    if not sys.stdout.isatty():
        return moment.isoformat(" ", "seconds")
    return moment.strftime("%H:%M:%S" if moment.date() == datetime.now().date() else "%Y-%m-%d %H:%M:%S")


def narrow() -> bool:
    """Whether there is no room for everything."""
    return _narrower_than(WIDE_COLUMNS)


def _narrower_than(columns: int) -> bool:
    return sys.stdout.isatty() and shutil.get_terminal_size().columns < columns


def table(
    heads: Sequence[str], rows: Iterable[Sequence[object]], right: Iterable[str] = (), wrap: Iterable[str] = ()
) -> Table:
    """Rows with their heads; in a very narrow terminal each cell has a line of its own, with its head.

    @param right: columns whose cells are numbers. @param wrap: those that get more lines where there is no room.
    """
    from rich.table import Table
    from rich.text import Text

    if _narrower_than(TABLE_COLUMNS):
        return _records(heads, rows)
    made = Table(box=None, pad_edge=False, header_style="bold")
    for head in heads:
        justify: Literal["left", "right"] = "right" if head in right else "left"
        if head in wrap:
            made.add_column(head, justify=justify, overflow="fold")
        else:
            made.add_column(head, justify=justify, no_wrap=True, overflow="ellipsis")
    for row in rows:
        made.add_row(*(Text(shown(cell)) for cell in row))
    return made


def _records(heads: Sequence[str], rows: Iterable[Sequence[object]]) -> Table:
    from rich.table import Table
    from rich.text import Text

    made = Table.grid(padding=(0, 2, 0, 0))
    made.add_column(style="bold", no_wrap=True)
    made.add_column(overflow="fold")
    for at, row in enumerate(rows):
        if at:
            made.add_row()
        for head, cell in zip(heads, row, strict=True):
            if text := shown(cell):
                made.add_row(Text(head), Text(text))
    return made


def put(renderable: Any) -> None:
    """Print to standard output, whole when that is no terminal."""
    console_of(sys.stdout).print(renderable, crop=True, markup=False, highlight=False)


def console_of(file: TextIO) -> Console:
    """What prints to `file`; lines are whole when that is no terminal."""
    from rich.console import Console

    return Console(file=file, width=None if file.isatty() else PIPED_COLUMNS)
