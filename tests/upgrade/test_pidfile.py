"""The pidfile of the process in charge, also where it can't be written."""

from __future__ import annotations

import os
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from redisproxy.upgrade.pidfile import KEY, Pidfile

pytestmark = pytest.mark.one_twin
BEFORE = "1234567890"


@contextmanager
def no_room() -> Iterator[None]:
    """Nothing can be written into files meanwhile."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def owned(path: Path) -> str:
    """What is in the file after this process was to write it."""
    Pidfile({KEY: str(path)}).own()
    return path.read_text()


def test_it_names_this_process_and_nothing_is_left_beside_it(tmp_path: Path) -> None:
    path = tmp_path / "pid"
    path.write_text(BEFORE)
    assert owned(path) == str(os.getpid()) and os.listdir(tmp_path) == ["pid"]


def test_on_a_full_disk_it_names_what_it_has_named(tmp_path: Path) -> None:
    path = tmp_path / "pid"
    path.write_text(BEFORE)
    with no_room():
        assert owned(path) == BEFORE
    assert os.listdir(tmp_path) == ["pid"]


def test_in_a_folder_that_takes_no_file_it_is_written_in_place(tmp_path: Path) -> None:
    path = tmp_path / "pid"
    path.write_text(BEFORE)
    (tmp_path / f"pid.{os.getpid()}").mkdir()  # root may write everywhere else
    assert owned(path) == str(os.getpid())
