"""What looks after all clients goes on when it fails with one of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from redisproxy.dataplane.supervision import AGAIN_S
from tests.control.rig import Rig, same_process


def test_one_client_that_can_not_be_dealt_with_does_not_end_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, errors: list[dict[str, Any]]
) -> None:
    rig = Rig(same_process, tmp_path, idle_timeout_ms=1000)
    one, two = rig.client(), rig.client()
    monkeypatch.setattr(next(iter(rig.local.registry)).output, "transport", None)
    rig.advance(3)
    assert len(errors) == 1 and not two.gone
    rig.advance(AGAIN_S)
    assert two.gone and not one.gone and len(errors) == 1


def test_it_does_not_go_on_after_the_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rig = Rig(same_process, tmp_path, idle_timeout_ms=1000)
    rig.client()
    monkeypatch.setattr(next(iter(rig.local.registry)).output, "transport", None)
    rig.advance(3)
    two = rig.client()
    rig.local.stop()
    rig.advance(AGAIN_S * 2)
    assert not two.gone
