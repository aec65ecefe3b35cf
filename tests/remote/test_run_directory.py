"""The run directory: private, and cleared of what dead processes have left."""

from __future__ import annotations

import gc
import os
import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from redisproxy.remote.run_directory import RunDirectory, RunDirectoryFault, run_directory


@pytest.fixture
def path() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:  # pytest's own are too long for a socket
        yield Path(folder) / "run"


def test_it_is_made_for_this_user_only(path: Path) -> None:
    RunDirectory(str(path)).make()
    assert path.stat().st_mode & 0o777 == 0o700
    RunDirectory(str(path)).make()


@pytest.mark.parametrize("mode", [0o755, 0o770, 0o701])
def test_one_that_others_may_use_is_refused_and_nothing_in_it_is_believed(path: Path, mode: int) -> None:
    path.mkdir()
    (path / "w1.orders").touch()
    path.chmod(mode)
    directory = RunDirectory(str(path))
    with pytest.raises(RunDirectoryFault, match="only this user may use"):
        directory.make()
    assert directory.names() == []


def test_a_link_to_another_directory_is_refused(path: Path) -> None:
    path.symlink_to("/tmp")
    with pytest.raises(RunDirectoryFault):
        RunDirectory(str(path)).make()


def test_a_path_too_long_for_a_socket_is_refused() -> None:
    with pytest.raises(RunDirectoryFault, match="longer than 80 bytes"):
        RunDirectory("/tmp/" + "x" * 80).make()


def test_what_dead_processes_have_left_is_removed(path: Path) -> None:
    directory = RunDirectory(str(path))
    directory.make()
    dead, living, door = directory.sockets("w1"), directory.sockets("w2"), directory.sockets("p3").clients
    for each in (dead.orders, dead.asking, dead.clients, door):
        with socket.socket(socket.AF_UNIX) as left:
            left.bind(each)
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(living.orders)
        listening.listen()
        assert directory.names() == ["w1", "w2"] and directory.living() == ["w2"]
    assert os.listdir(path) == ["w2.orders"]


def test_control_processes_of_one_configuration_file_only_use_it_at_a_time(path: Path) -> None:
    first, second, other = (RunDirectory(str(path)) for _ in range(3))
    first.make()
    first.claim("/etc/a.json")
    second.claim("/etc/a.json")  # its successor in an upgrade, say
    with pytest.raises(RunDirectoryFault, match=r"is in use by the proxy with /etc/a\.json: each"):
        other.claim("/etc/b.json")
    del other, first
    gc.collect()
    with pytest.raises(RunDirectoryFault):
        RunDirectory(str(path)).claim("/etc/b.json")
    del second
    gc.collect()
    RunDirectory(str(path)).claim("/etc/b.json")


def test_who_only_takes_clients_in_is_left_alone(path: Path) -> None:
    directory = RunDirectory(str(path))
    directory.make()
    door = directory.sockets(directory.new_name("p")).clients
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(door)
        listening.listen()
        assert directory.living() == []
        assert [os.path.basename(door)] == os.listdir(path)


def test_a_process_with_the_number_of_a_dead_one_has_other_names(path: Path) -> None:
    directory = RunDirectory(str(path))
    names = {directory.new_name("w64") for _ in range(20)}
    assert len(names) == 20
    longest = RunDirectory("/" + 79 * "x").sockets("w64-4194304-abcdef").clients
    assert len(longest) <= 107 and len(max(names, key=len)) <= len("w64-4194304-abcdef")


def test_where_it_is(tmp_path: Path) -> None:
    config = str(tmp_path / "config.json")
    assert run_directory("/run/own", config, {"RUNTIME_DIRECTORY": "/run/unit"}).path == "/run/own"
    assert run_directory(None, config, {"RUNTIME_DIRECTORY": "/run/unit:/run/more"}).path == "/run/unit/proxy"
    default = run_directory(None, config, {}).path
    assert default == run_directory(None, config, {}).path and f"redisproxy-{os.geteuid()}-" in default
    assert default != run_directory(None, str(tmp_path / "other.json"), {}).path


def test_since_when_a_data_plane_is_to_end_is_known_to_every_later_control_process(path: Path) -> None:
    directory = RunDirectory(str(path))
    directory.make()
    assert directory.retired_for_s("w1") < 5
    file = path / "w1.retired"
    long_ago = file.stat().st_mtime - 100
    os.utime(file, (long_ago, long_ago))
    assert 95 < RunDirectory(str(path)).retired_for_s("w1") < 200
    directory.remove("w1")
    assert not file.exists() and RunDirectory(str(path)).retired_for_s("w2") < 5


def test_the_last_process_that_ends_leaves_nothing(path: Path) -> None:
    one, other = RunDirectory(str(path)), RunDirectory(str(path))
    one.make()
    for each in (one, other):
        each.claim("/etc/redisproxy/config.json")
    one.leave()
    assert len(os.listdir(path)) == 1, "the other one is there still"
    (path / "w1.orders").touch()
    other.leave()
    assert os.listdir(path) == ["w1.orders"], "whoever has left that may live"
    (path / "w1.orders").unlink()
    RunDirectory(str(path)).leave()
    assert not path.exists()
