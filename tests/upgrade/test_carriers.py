"""What a process that gives way passes on of its data planes."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from redisproxy.remote.run_directory import RunDirectoryFault
from redisproxy.upgrade.carriers import Several

pytestmark = pytest.mark.one_twin


def test_workers_whose_sockets_somebody_has_removed_are_not_given_to_another_process(tmp_path: Path) -> None:
    door = tmp_path / "w1.clients"
    plane: Any = SimpleNamespace(doors=(str(door),))
    with pytest.raises(RunDirectoryFault, match=r"somebody has removed .*w1\.clients"):
        Several(plane, None).open_doors()
    door.touch()
    assert Several(plane, None).open_doors() == (str(door),)
