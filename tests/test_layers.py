"""Imports point downward only; the test reads them."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent / "redisproxy"

# From the top down; a module may import modules of lower layers and of its own package.
LAYERS = [
    {"tap", "cli", "cli_switchover", "switch_test", "unfencing"},
    {"service"},
    {"info", "leaving", "listeners", "proxy"},
    {"admin", "control", "movers", "plan", "raw", "client", "relocation", "sentinel", "watches"},
    {"controlled"},
    {"switchover"},
    {"following"},
    {"preflight"},
    {"answers"},
    {"client_command", "containers"},
    {"replication"},
    {"maintenance", "registry", "session", "uplink", "gate", "core"},
    {"sinks", "interfaces", "network", "native_net", "dialing"},
    {"aside", "auth", "commands", "files", "framing", "metrics", "net", "operations", "signals"},
    {"tls"},
    {"config"},
    {"lane", "allowing"},
    {"cursors", "scripts", "garbage", "resp", "errors", "server_state", "together", "treatments", "_native"},
]
RANK = {name: rank for rank, layer in enumerate(LAYERS) for name in layer}
# config.load builds every TLS context once, inside a function, so that certificates are faults of the configuration.
ALLOWED = {
    ("config", "tls"),
    ("registry", "client"),
    ("core", "registry"),
    ("client_command", "client"),
    ("answers", "client"),
    ("relocation", "proxy"),
    ("plan", "proxy"),
}


def modules() -> list[Path]:
    return sorted(ROOT.rglob("*.py"))


def part_of(path: Path) -> str:
    return path.relative_to(ROOT).parts[0].removesuffix(".py")


def imported(path: Path) -> set[str]:
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] == "redisproxy":
            rest = node.module.split(".")[1:]
            found |= {rest[0]} if rest else {alias.name for alias in node.names}
        elif isinstance(node, ast.Import):
            found |= {alias.name.split(".")[1] for alias in node.names if alias.name.startswith("redisproxy.")}
    return found


def twisted_imports(path: Path) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module)
        elif isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
    return {name for name in names if name.startswith("twisted")}


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_point_downward(path: Path) -> None:
    own = part_of(path)
    if own == "__init__":
        return
    assert own in RANK, f"{own} has no layer"
    for other in imported(path) & RANK.keys():
        if other != own and (own, other) not in ALLOWED:
            assert RANK[other] > RANK[own] or RANK[other] == RANK[own], f"{own} imports {other}, which is above it"


PURE = ["resp", "commands.py", "session.py", "config", "cursors.py", "scripts.py", "preflight.py"]


@pytest.mark.parametrize("name", PURE)
def test_the_pure_modules_know_no_twisted(name: str) -> None:
    place = ROOT / name
    for path in sorted(place.rglob("*.py")) if place.is_dir() else [place]:
        assert not twisted_imports(path)


def test_the_gate_knows_only_deferreds_failures_and_the_clock() -> None:
    assert twisted_imports(ROOT / "gate.py") <= {
        "twisted.internet.defer",
        "twisted.internet.interfaces",
        "twisted.python.failure",
    }


def test_the_client_side_does_not_know_the_uplink() -> None:
    for path in (ROOT / "client").rglob("*.py"):
        assert "uplink" not in imported(path)


def test_nothing_at_module_level_touches_the_reactor() -> None:
    for path in modules():
        for node in ast.parse(path.read_text()).body:
            if isinstance(node, ast.ImportFrom) and node.module == "twisted.internet":
                assert "reactor" not in {alias.name for alias in node.names}, path
