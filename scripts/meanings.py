"""Reads what each key means from the tables of C{docs/configuration.md}, for the schema that editors show.

C{make reference} writes it to C{redisproxy/config/meanings.json}, which belongs to the package.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "configuration.md"
MEANINGS = ROOT / "redisproxy" / "config" / "meanings.json"

_LISTENERS = ("ListenSettings", "RawListenSettings", "AdminSettings", "FleetListenSettings")
_SECTIONS: dict[str, Sequence[str]] = {
    "The file": ["Settings"],
    "Addresses": ["UplinkSettings", *_LISTENERS],
    "uplink": ["UplinkSettings"],
    "An uplink that Sentinel knows": ["UplinkSettings"],
    "listen, listen_raw and admin": _LISTENERS,
    "users": ["UserSettings"],
    "tcp_keepalive": ["KeepaliveSettings"],
    "limits": ["LimitSettings"],
    "pause and shutdown": ["PauseSettings", "ShutdownSettings"],
    "upgrade": ["UpgradeSettings"],
    "switchover": ["SwitchoverSettings"],
    "switchover.hooks": ["HooksSettings", "HookSettings"],
    "slowlog": ["SlowlogSettings"],
    "hot_keys": ["HotKeySettings"],
    "opentelemetry": ["OpenTelemetrySettings"],
    "fleet": ["FleetSettings"],
}
_CODE = re.compile(r"`([^`]+)`")
_LINK = re.compile(r"\[([^]]+)\]\([^)]+\)")
_NOTE = re.compile(r"\s*\((\d)\)")
_MORE = re.compile(r"\s*\(\[more\]\([^)]+\)\)")


def meanings() -> dict[str, dict[str, str]]:
    """What each key means, by the section of the schema."""
    found: dict[str, dict[str, str]] = {}
    for heading, text in _parts(PAGE.read_text()):
        told = dict(_keys(text))
        for section in _SECTIONS.get(heading, ()):
            found.setdefault(section, {}).update(told)
    return found


def as_text() -> str:
    """The file that is written."""
    return json.dumps(meanings(), indent=1, ensure_ascii=False) + "\n"


def _parts(page: str) -> Iterator[tuple[str, str]]:
    pieces = re.split(r"^#+ (.+)\n", page, flags=re.MULTILINE)
    for heading, text in zip(pieces[1::2], pieces[2::2], strict=True):
        yield heading.replace("`", ""), text


def _keys(text: str) -> Iterator[tuple[str, str]]:
    """Every key of the tables, with the notes that its row refers to; those stand below the table."""
    for rows, below in re.findall(r"^\| key \|.*\n\|[-|]+\|\n((?:\|.*\n)+)((?:(?!^\|).*\n)*)", text, re.MULTILINE):
        notes = dict(re.findall(r"^(\d)\. ((?:.+\n)+?)(?=\d\. |\n|\Z)", below, re.MULTILINE))
        for row in rows.splitlines():
            cells = [cell.strip() for cell in row.strip("|").split(" | ")]
            for key in _CODE.findall(cells[0]):
                yield key, _plain(cells[-1], notes)


def _plain(cell: str, notes: dict[str, str]) -> str:
    named = [notes[number] for number in _NOTE.findall(cell)]
    first = _NOTE.sub("", _MORE.sub("", cell)).rstrip(" |")
    return " ".join(_LINK.sub(r"\1", " ".join([f"{first}.", *named])).replace("`", "").split())
