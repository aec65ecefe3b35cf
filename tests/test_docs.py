"""The documents name what there is (files, headings, settings, metrics, options), and can be read as plain text."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import click
import pytest
from pydantic import BaseModel
from twisted.internet.testing import MemoryReactorClock

from redisproxy import config
from redisproxy.cli import main
from redisproxy.config import Settings
from redisproxy.control import records
from redisproxy.figures.command_numbers import OF_WORKER
from redisproxy.figures.prometheus import OF_WORKERS
from redisproxy.net import tls
from redisproxy.net.twisted_network import TwistedNetwork
from redisproxy.service import ProxyService

pytestmark = pytest.mark.one_twin
ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"
PAGES = sorted([*ROOT.glob("*.md"), *DOCS.glob("*.md")])
LONGEST_LINE = 104
LONGEST_CELL = 120

EXAMPLES = {"config.json", "near.json", "far.json", "info.json"}
"""Names of files that are not the project's own."""
TOLD = {"uplink.sentinel.last_error", "uplink.sentinel", "uplink.name"}
"""Keys of /info.json that look like settings."""
SAMPLED = frozenset(records.NOTHING)
"""Fields of a sample in /figures.json."""
ANSWERED = SAMPLED | {
    "waits_for_s", "timeout_ms", "pause_ms", "hand_over_ms", "load_late_ms", "longest_wait_ms", "age_s", "idle_s",
    "proxy_ms", "redis_ms", "total_ms", "ttl_s",
}  # fmt: skip
"""Fields of requests and answers that look like settings."""

_FENCED = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)")
_CODE = re.compile(r"`([^`\n]+)`")
_FILE = re.compile(r"(?:tests|redisproxy|bench|scripts|docs|twisted|packaging)/[\w./-]+|[\w-]+\.(?:md|json|toml)")
_PATH = re.compile(r"[a-z_]+(?:\.[a-z_]+)+")
_QUANTITY = re.compile(r"[a-z]+(?:_[a-z]+)*_(?:ms|s|bytes)")
_MODULE = re.compile(r"(?:\w+/)?\w+\.(?:py|pyx|pxi)")
_NAME = re.compile(r"[A-Z]\w+(?:\.\w+)?|[a-z]\w*_\w+(?:\.\w+)*")
_METRIC = re.compile(r"redisproxy_[a-z_]+")

each_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)


def prose(page: Path) -> str:
    """The page without its code blocks."""
    return _FENCED.sub("", page.read_text())


def words(page: Path) -> set[str]:
    """What stands in backticks."""
    return set(_CODE.findall(prose(page)))


def rows(page: Path) -> Iterator[list[str]]:
    """The cells of every row of every table."""
    for line in prose(page).splitlines():
        if line.startswith("|"):
            yield [cell.strip() for cell in line.replace(r"\|", " ").strip("|").split("|")]


@cache
def anchors(page: Path) -> frozenset[str]:
    """The anchors that GitHub makes of the headings."""
    headings = re.findall(r"^#+ (.+)$", prose(page), re.MULTILINE)
    return frozenset(re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings)


def fields(model: type[BaseModel], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Every key path of the configuration with its default, of a list of sections as of one."""
    for name, field in model.model_fields.items():
        path = prefix + (field.alias or name)
        yield path, field.default
        for inner in sections_of(field.annotation):
            yield from fields(inner, f"{path}.")


def sections_of(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for inner in getattr(annotation, "__args__", ()):
        yield from sections_of(inner)


SETTINGS = {path for path, _ in fields(Settings)}
SECTIONS = {path.partition(".")[0] for path in SETTINGS if "." in path}
KEYS = {path.rpartition(".")[2] for path in SETTINGS}


@each_page
def test_every_link_leads_somewhere(page: Path) -> None:
    for target in _LINK.findall(prose(page)):
        if target.startswith(("http:", "https:")):
            continue
        name, _, anchor = target.partition("#")
        there = (page.parent / name).resolve() if name else page
        assert there.exists() and (not anchor or anchor in anchors(there)), target


@each_page
def test_every_file_that_is_named_is_there(page: Path) -> None:
    named = {word for word in words(page) if _FILE.fullmatch(word)} - EXAMPLES
    assert not {name for name in named if not (ROOT / name).exists()}


@each_page
def test_every_setting_that_is_named_is_there(page: Path) -> None:
    named = {word for word in words(page) if _PATH.fullmatch(word) and word.partition(".")[0] in SECTIONS}
    assert not named - SETTINGS - TOLD
    assert not {word for word in words(page) if _QUANTITY.fullmatch(word)} - KEYS - ANSWERED


def test_the_architecture_names_what_is_in_the_source() -> None:
    named = words(DOCS / "architecture.md")
    sources = [path for path in (ROOT / "redisproxy").rglob("*") if path.suffix in (".py", ".pyx", ".pxi")]
    places = {path.name for path in sources} | {f"{path.parent.name}/{path.name}" for path in sources}
    assert not {word for word in named if _MODULE.fullmatch(word) and not _FILE.fullmatch(word)} - places
    source = "\n".join(path.read_text() for path in sources)
    code = {word for word in named if _NAME.fullmatch(word)} - ANSWERED
    assert len(code) > 60
    assert not {word for word in code if not all(re.search(rf"\b{part}\b", source) for part in word.split("."))}


def test_settings_have_the_defaults_that_are_documented() -> None:
    defaults: dict[str, list[Any]] = {}
    for path, default in fields(Settings):
        defaults.setdefault(path.rpartition(".")[2], []).append(default)
    told = {
        key.strip("`"): json.loads(cell)
        for key, *cells in rows(DOCS / "configuration.md")
        for cell in cells[:2]
        if re.fullmatch(r"\d+|true|false", cell)
    }
    assert len(told) > 35
    assert not {key: default for key, default in told.items() if default not in defaults[key]}


def test_the_metrics_are_those_that_are_documented(tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    fleet = {"listen": {"addr": "localhost:3"}, "peers": ["localhost:4"], "secret": "of nobody at all"}
    path.write_text(json.dumps({"uplink": {"addr": "localhost:1"}, "listen": {"addr": ":2"}, "fleet": fleet}))
    reactor = MemoryReactorClock()
    service = ProxyService(str(path), config.load(str(path), tls.faults), reactor, TwistedNetwork(reactor))
    exposed: list[bytes] = []
    service.fleet.operations.metrics().addCallback(exposed.append)
    text = exposed[0].decode()
    shown = set(re.findall(r"^# TYPE (redisproxy_\w+)", text, re.MULTILINE))
    total = {"counter": "_total", "gauge": ""}
    shown |= {f"redisproxy_worker_{name}{total[kind]}" for name, kind, _ in OF_WORKERS} | {f"redisproxy_{OF_WORKER}"}
    assert metrics_named_in(DOCS / "admin.md") == shown
    for page in PAGES:
        assert metrics_named_in(page) <= shown | {"redisproxy_plugin"}


def metrics_named_in(page: Path) -> set[str]:
    return {name.removesuffix("_bucket") for name in _METRIC.findall(page.read_text())}


def test_samples_are_as_documented() -> None:
    table = (DOCS / "admin.md").read_text().partition("### Samples")[2].partition("\n##")[0]
    assert set(re.findall(r"`(\w+)`", "".join(re.findall(r"^\| (`[^|]*)\|", table, re.MULTILINE)))) == SAMPLED


def test_reasons_for_closing_clients_are_those_that_are_documented() -> None:
    source = "".join(path.read_text() for path in (ROOT / "redisproxy").rglob("*.py"))
    reasons = set(re.findall(r'(?:\.(?:drop|count|close_for)\(|\bclosed\[)"(\w+)"', source))
    heading = "### Why clients were closed"
    table = (DOCS / "operations.md").read_text().partition(heading)[2].partition("\n## ")[0]
    assert set(re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE)) == reasons


def test_the_program_is_as_documented() -> None:
    for page in PAGES:
        for name in re.findall(r"\bredisproxy ([a-z][a-z-]+) -c ", page.read_text()):
            assert name in main.commands, f"{page.name}: redisproxy {name}"
    table = {name.strip("`"): default for cell, _, default in _options() for name in cell.split(", ")}
    for option in main.commands["switch-test"].params:
        assert isinstance(option, click.Option)
        default = table.pop(option.opts[0])
        assert default in ("", "a new one") or float(default) == option.default, option.name
    assert not table


def _options() -> Iterator[list[str]]:
    for cells in rows(DOCS / "switch-test.md"):
        if cells[0].startswith("`--"):
            yield [re.sub(r" [A-Z]`", "`", cells[0]), *cells[1:]]


@each_page
def test_a_page_can_be_read_as_text(page: Path) -> None:
    for line in prose(page).splitlines():
        assert line.startswith("|") or len(line) <= LONGEST_LINE, line
    for cells in rows(page):
        assert max(map(len, cells)) <= LONGEST_CELL, cells
