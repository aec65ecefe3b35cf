"""The section switchover.hooks."""

from __future__ import annotations

from typing import Any

import pytest

from redisproxy import config
from redisproxy.config import SwitchoverSettings
from tests.config.loading import faults, load

GOOD = {"command": ["echo", "s3cret"], "limit_ms": 1000}


def of(write: Any, **switchover: Any) -> list[str]:
    return list(faults(write(switchover=switchover)))


def test_hooks_are_programs_with_a_limit(write: Any) -> None:
    settings = load(write(switchover={"hooks": {"promote": GOOD, "undo": {"command": ["echo"]}}}))
    hooks = settings.switchover.hooks
    assert hooks.promote is not None and hooks.promote.limit_ms == 1000 and hooks.replicate is None
    assert hooks.undo is not None and hooks.undo.limit_ms == 60000
    shown = config.public(settings)["switchover"]["hooks"]["promote"]["command"]
    assert shown == ["echo", "[removed]"] and "s3cret" not in repr(settings)


@pytest.mark.parametrize(
    ("hooks", "fault"),
    [
        ({"promote": {"command": ["./nothing"]}}, "switchover.hooks.promote.command: ./nothing is no program"),
        ({"promote": {}}, "switchover.hooks.promote.command: missing"),
        ({"promote": {**GOOD, "limit": 1}}, "switchover.hooks.promote.limit: unknown key, did you mean limit_ms?"),
        ({"promotion": GOOD}, "switchover.hooks.promotion: unknown key, did you mean promote?"),
        ({"promote": {**GOOD, "limit_ms": 0}}, "switchover.hooks.promote.limit_ms: "),
        ({"promote": {"command": "echo"}}, "switchover.hooks.promote.command: "),
        ({"undo": GOOD}, "switchover.hooks.undo: it undoes what the hooks replicate and promote have done"),
        ("echo", "switchover.hooks: expected an object"),
    ],
)
def test_what_is_wrong_with_hooks_is_told(write: Any, hooks: Any, fault: str) -> None:
    assert any(each.startswith(fault) for each in of(write, hooks=hooks)), of(write, hooks=hooks)


@pytest.mark.parametrize("mode", ["copy", "auto", "external"])
def test_other_modes_have_no_use_for_hooks(write: Any, mode: str) -> None:
    found = of(write, mode=mode, hooks={"promote": GOOD})
    assert found == [f"switchover.hooks: they are for the mode replicate, and this is {mode}"]


def test_going_back_calls_no_hooks() -> None:
    settings = SwitchoverSettings.model_validate({"hooks": {"promote": {"command": ("echo",)}}})
    assert settings.hooks.any and not settings.mirrored(follows=True).hooks.any
