"""The rooms of the tree: imports point downward only, nobody goes in a circle, and nothing is several things at once.

Imports for type checking count like all others, docstrings do not count as lines of a function.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path

import pytest

pytestmark = pytest.mark.one_twin
ROOT = Path(__file__).resolve().parent.parent / "redisproxy"

# From the top down; a module may import modules of its own room and of rooms below.
ROOMS = [
    "tap",
    "service",
    "upgrade",
    "cli",
    "switch_test",
    "admin",
    "telemetry",
    "fleet",
    "control",
    "switchover",
    "copying",
    "workers",
    "remote",
    "dataplane",
    "sentinel",
    "servers",
    "uplink",
    "serving",
    "handlers",
    "client",
    "shared",
    "net",
    "config",
    "commands",
    "figures",
    "forwarding",
    "_native",
    "resp",
]
CARRYING = {"remote", "dataplane", "serving", "handlers", "client", "shared", "forwarding"}
MAX_METHODS = 20
MAX_FUNCTION_LINES = 25
MAX_MODULE_LINES = 300
# Modules that may be longer, and why: tables, pages and declarations, which nobody reads from the top to the end.
LONG_MODULES: Mapping[str, str] = {}
# Modules that know no Twisted: what they do can be told without a socket.
PURE = ["resp", "commands", "config", "switchover/preflight.py", "shared/scan_cursors.py", "shared/script_cache.py"]


@cache
def modules() -> Mapping[str, Path]:
    """Every module by its name below C{redisproxy}, as C{client.protocol}; a package by the name of its folder."""
    found = {}
    for path in sorted(ROOT.rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    del found[""]
    return found


def room_of(module: str) -> str:
    return module.split(".")[0]


@cache
def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text())


@cache
def imported(module: str) -> frozenset[str]:
    """The project's modules that `module` imports, anywhere in it."""
    found = set()
    for node in ast.walk(tree(modules()[module])):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] == "redisproxy":
            base = node.module.removeprefix("redisproxy").lstrip(".")
            for alias in node.names:
                inner = f"{base}.{alias.name}".lstrip(".")
                found.add(inner if inner in modules() else base)
        elif isinstance(node, ast.Import):
            found |= {alias.name.removeprefix("redisproxy.") for alias in node.names}
    return frozenset(found & modules().keys() - {module})


def twisted_imports(path: Path) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module)
        elif isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
    return {name for name in names if name.startswith("twisted")}


def circles(graph: Mapping[str, Iterable[str]]) -> list[list[str]]:
    """What is left when, again and again, everything goes that imports nothing of the rest."""
    left = {name: set(others) for name, others in graph.items()}
    while True:
        free = {name for name, others in left.items() if not others & left.keys()}
        if not free:
            return [sorted(left)] if left else []
        left = {name: others for name, others in left.items() if name not in free}


@pytest.mark.parametrize("module", modules())
def test_imports_point_downward(module: str) -> None:
    own = room_of(module)
    assert own in ROOMS, f"{own} is no room"
    above = ROOMS[: ROOMS.index(own)]
    assert not {other for other in imported(module) if room_of(other) in above}


def test_no_modules_go_in_a_circle() -> None:
    assert circles({module: imported(module) for module in modules()}) == []


def test_rooms_have_one_level() -> None:
    assert all(len(path.relative_to(ROOT).parts) <= 2 for path in modules().values())
    assert {path.name for path in ROOT.glob("*.py")} == {"__init__.py", "tap.py", "service.py"}


def test_no_class_has_too_many_methods() -> None:
    many = {}
    for module, path in modules().items():
        for node in ast.walk(tree(path)):
            if isinstance(node, ast.ClassDef):
                methods = [each for each in node.body if isinstance(each, ast.FunctionDef | ast.AsyncFunctionDef)]
                if len(methods) > MAX_METHODS:
                    many[f"{module}.{node.name}"] = len(methods)
    assert many == {}


def test_no_function_is_too_long() -> None:
    long = {}
    for module, path in modules().items():
        for node in ast.walk(tree(path)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and lines_of(node) > MAX_FUNCTION_LINES:
                long[f"{module}.{node.name}"] = lines_of(node)
    assert long == {}


def lines_of(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """How many lines a function has, from C{def} on, without its docstring."""
    first, lines = function.body[0], (function.end_lineno or 0) - function.lineno + 1
    return lines if ast.get_docstring(function) is None else lines - ((first.end_lineno or 0) - first.lineno + 1)


def test_no_module_is_too_long() -> None:
    lengths = {module: len(path.read_text().splitlines()) for module, path in modules().items()}
    long = {module: length for module, length in lengths.items() if length > MAX_MODULE_LINES}
    assert {module: length for module, length in long.items() if module not in LONG_MODULES} == {}
    assert LONG_MODULES.keys() <= long.keys(), "the list of modules that may be longer is up to date"


@pytest.mark.parametrize("name", PURE)
def test_the_pure_modules_know_no_twisted(name: str) -> None:
    place = ROOT / name
    for path in sorted(place.rglob("*.py")) if place.is_dir() else [place]:
        assert not twisted_imports(path)


def test_the_gate_knows_only_deferreds_failures_and_the_clock() -> None:
    assert twisted_imports(ROOT / "forwarding" / "gate.py") <= {
        "twisted.internet.defer",
        "twisted.internet.interfaces",
        "twisted.python.failure",
    }


def test_the_client_side_and_the_uplink_do_not_know_each_other() -> None:
    client_side = {"serving", "handlers", "client"}
    for module in modules():
        other_side = (
            {"uplink"} if room_of(module) in client_side else client_side if room_of(module) == "uplink" else set()
        )
        assert not {other for other in imported(module) if room_of(other) in other_side}, module


def test_who_decides_knows_the_interface_of_who_carries_and_no_more() -> None:
    for module in modules():
        if room_of(module) in ("control", "switchover"):
            carrying = {other for other in imported(module) if room_of(other) in CARRYING}
            assert carrying <= {"dataplane.interface"}, module


def test_nothing_at_module_level_touches_the_reactor() -> None:
    for path in modules().values():
        for node in tree(path).body:
            if isinstance(node, ast.ImportFrom) and node.module == "twisted.internet":
                assert "reactor" not in {alias.name for alias in node.names}, path
