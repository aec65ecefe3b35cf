"""Writes the pages of the reference that are made of the code: C{docs/reference-*.md} (C{make reference}).

A test compares them with what this would write, so that they can't go stale.
"""

from __future__ import annotations

import inspect
import json
import re
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
from prometheus_client.parser import text_string_to_metric_families
from twisted.internet.testing import MemoryReactorClock

from redisproxy import config
from redisproxy.cli import main as program
from redisproxy.figures.command_numbers import OF_WORKER, OF_WORKER_TEXT
from redisproxy.figures.prometheus import OF_WORKERS
from redisproxy.net import tls
from redisproxy.net.twisted_network import TwistedNetwork
from redisproxy.service import ProxyService
from scripts import meanings

DOCS = Path(__file__).resolve().parent.parent / "docs"
MADE = "This page is made of the code by `make reference`; change it there."
WIDTH = 100
_TOTAL = {"counter": "_total"}


def pages() -> dict[str, str]:
    """Every page by its name."""
    return {
        "reference-commands.md": "\n".join(_commands()) + "\n",
        "reference-settings.md": "\n".join(_settings()) + "\n",
        "reference-metrics.md": "\n".join(_metrics()) + "\n",
    }


def _table(heads: tuple[str, ...], rows: list[tuple[str, ...]]) -> Iterator[str]:
    yield "| " + " | ".join(heads) + " |"
    yield "|" + "---|" * len(heads)
    for row in rows:
        yield "| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |"


# -- the program


def _commands() -> Iterator[str]:
    yield "# Commands of the program"
    yield ""
    yield "Which commands does `redisproxy` have, and which options does each take?"
    yield MADE
    yield "[The program](admin.md#the-program) has its exit codes."
    for name, command in sorted(program.commands.items()):
        yield ""
        yield f"## {name}"
        yield ""
        yield from _help(command)
        rows: list[tuple[str, ...]] = [
            _option(each) for each in command.params if isinstance(each, click.Option | click.Argument)
        ]
        if rows:
            yield from _table(("option", "default", "meaning"), rows)


def _help(command: click.Command) -> Iterator[str]:
    # Python 3.13 takes the indentation out of docstrings, older ones leave it.
    for paragraph in inspect.cleandoc(command.help or "").split("\n\n"):
        text = paragraph.strip("\n")
        if text.startswith("\b"):
            yield "```"
            yield text[1:].strip("\n")
            yield "```"
        else:
            yield from _wrapped(" ".join(text.split()).replace("<", "&lt;"))
        yield ""


def _wrapped(text: str) -> Iterator[str]:
    line = ""
    for word in text.split():
        if line and len(line) + 1 + len(word) > WIDTH:
            yield line
            line = word
        else:
            line = f"{line} {word}".strip()
    yield line


def _option(option: click.Option | click.Argument) -> tuple[str, str, str]:
    if isinstance(option, click.Argument):
        return f"`{option.make_metavar(click.Context(program))}`", "", ""
    names = ", ".join(f"`{name}`" for name in option.opts)
    default = "" if option.is_flag or option.default is None or not option.show_default else str(option.default)
    choices = option.type.choices if isinstance(option.type, click.Choice) else ()
    required = "required" if option.required else default
    text = re.sub(r"\s*\[default: (\d+)\]", "", option.help or "")
    return names, required, text + (f" One of {', '.join(map(str, choices))}." if choices else "")


# -- the configuration


def _settings() -> Iterator[str]:
    yield "# Keys of the configuration"
    yield ""
    yield "Which keys are there, of which type, with which defaults and bounds?"
    yield MADE
    yield "[Configuration](configuration.md) tells more of each key, and when a change takes effect."
    document = config.schema()
    names = dict(_names(document))
    sections = {"The file": document, **{names[name]: section for name, section in document["$defs"].items()}}
    for name, section in sections.items():
        yield ""
        yield f"## {name}"
        yield ""
        yield from _wrapped(" ".join(section["description"].split()))
        yield ""
        required = section.get("required", ())
        keys: list[tuple[str, ...]] = [
            _key(key, value, key in required, names) for key, value in section["properties"].items()
        ]
        yield from _table(("key", "type", "default", "bounds", "meaning"), keys)


def _names(document: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """What the file calls each section, by its name in the schema."""
    for section in (document, *document["$defs"].values()):
        for key, value in section.get("properties", {}).items():
            for kind in value.get("anyOf", [value]):
                inner = kind.get("items", kind)
                if "$ref" in inner:
                    yield inner["$ref"].rpartition("/")[2], key


def _key(key: str, value: dict[str, Any], required: bool, names: dict[str, str]) -> tuple[str, ...]:
    default = "required" if required else _shown(value.get("default"))
    kinds = [kind for kind in _kinds(value) if kind.get("type") != "null"]
    bounds = "; ".join(filter(None, dict.fromkeys(_bounds(kind) for kind in kinds)))
    kind = " or ".join(dict.fromkeys(_kind(kind, names) for kind in kinds))
    return f"`{key}`", kind, default, bounds, value["description"].partition(". ")[0].rstrip(".")


def _kinds(value: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for kind in value.get("anyOf", ()):
        yield from _kinds(kind)
    if "anyOf" not in value:
        yield value


def _shown(default: Any) -> str:
    if default is None or isinstance(default, dict) or default == []:
        return ""
    return f"`{str(default).lower() if isinstance(default, bool) else default}`"


def _kind(kind: dict[str, Any], names: dict[str, str]) -> str:
    if "$ref" in kind:
        name = names[kind["$ref"].rpartition("/")[2]]
        return f"[{name}](#{name})"
    if "enum" in kind or "const" in kind:
        return "text"
    if kind.get("type") == "array":
        return f"array of {_kind(kind['items'], names)}"
    return {"integer": "number", "boolean": "true or false", "string": "text"}.get(kind.get("type", ""), "object")


def _bounds(kind: dict[str, Any]) -> str:
    kind = kind.get("items", kind) if kind.get("type") == "array" and "items" in kind else kind
    if "enum" in kind:
        return ", ".join(f'`"{each}"`' for each in kind["enum"] if each)
    if "const" in kind:
        return f'`"{kind["const"]}"`'
    low, high = kind.get("minimum"), kind.get("maximum")
    if low is not None and high is not None:
        return f"{low} to {high}"
    return f"at least {low}" if low is not None else ""


# -- metrics


def _metrics() -> Iterator[str]:
    yield "# Metrics"
    yield ""
    yield "Which metrics does `/metrics` tell, and of which kind is each?"
    yield MADE
    yield "What they mean is told in the [admin reference](admin.md#metrics)."
    yield ""
    yield from _table(("metric", "kind", "help"), sorted(_families()))


def _families() -> Iterator[tuple[str, str, str]]:
    for family in text_string_to_metric_families(_exposition()):
        if family.name.startswith("redisproxy_"):
            yield f"`{family.name}{_TOTAL.get(family.type, '')}`", family.type, family.documentation
    for name, kind, text in OF_WORKERS:
        yield f"`redisproxy_worker_{name}{_TOTAL.get(kind, '')}`", kind, text
    yield f"`redisproxy_{OF_WORKER}`", "histogram", OF_WORKER_TEXT


def _exposition() -> str:
    with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
        fleet = {"listen": {"addr": "localhost:3"}, "peers": ["localhost:4"], "secret": "of nobody at all"}
        file.write(json.dumps({"uplink": {"addr": "localhost:1"}, "listen": {"addr": ":2"}, "fleet": fleet}))
        file.flush()
        reactor = MemoryReactorClock()
        service = ProxyService(file.name, config.load(file.name, tls.faults), reactor, TwistedNetwork(reactor))
    exposed: list[bytes] = []
    service.fleet.operations.metrics().addCallback(exposed.append)
    return exposed[0].decode()


def main() -> int:
    """Write the pages; 1 when one has changed and C{--check} is given."""
    # The pages show what the schema has, which reads this file.
    if "--check" not in sys.argv:
        meanings.MEANINGS.write_text(meanings.as_text())
    changed = [name for name, text in pages().items() if _old(name) != text]
    if "--check" not in sys.argv:
        for name, text in pages().items():
            (DOCS / name).write_text(text)
    print(*(f"{name} has changed" for name in changed), sep="\n")
    return 1 if changed and "--check" in sys.argv else 0


def _old(name: str) -> str:
    path = DOCS / name
    return path.read_text() if path.exists() else ""


if __name__ == "__main__":
    sys.exit(main())
