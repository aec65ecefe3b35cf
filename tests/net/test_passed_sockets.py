"""Sockets that a process was started with: which listener gets which, and what is a fault."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from redisproxy.config import Settings
from redisproxy.net.passed_sockets import PassedSocket, PassedSocketFault, assign, forget, take

Listening = Callable[..., socket.socket]


@pytest.fixture
def listening() -> Iterator[Listening]:
    """Makes listening sockets."""
    made = []

    def make(host: str = "127.0.0.1", family: int = socket.AF_INET, only_v6: bool = True) -> socket.socket:
        each = socket.socket(family)
        made.append(each)
        if family == socket.AF_INET6:
            each.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, only_v6)
        each.bind(host if family == socket.AF_UNIX else (host, 0))
        each.listen(5)
        return each

    yield make
    for each in made:
        each.close()


def settings(**sections: Any) -> Settings:
    return Settings.model_validate({"uplink": {"addr": "10.0.0.1:6379"}, "listen": {"addr": ":1"}, **sections})


def at(passed: socket.socket, host: str) -> dict[str, str]:
    """A listener with that host and the socket's port."""
    return {"addr": f"{host}:{passed.getsockname()[1]}"}


def owners(configured: Settings, *passed: tuple[str, socket.socket]) -> dict[str, list[socket.socket]]:
    """What each address gets."""
    assigned = assign([PassedSocket(sock, name) for name, sock in passed], configured)
    return {str(address): [each.listening for each in found] for address, found in assigned.items()}


@pytest.mark.parametrize(
    ("host", "family", "only_v6", "configured", "matches"),
    [
        ("127.0.0.1", socket.AF_INET, True, "127.0.0.1", True),
        ("127.0.0.1", socket.AF_INET, True, "localhost", True),
        ("127.0.0.1", socket.AF_INET, True, "127.0.0.2", False),
        ("127.0.0.1", socket.AF_INET, True, "", False),
        ("127.0.0.1", socket.AF_INET, True, "no-such-host.invalid", False),
        ("0.0.0.0", socket.AF_INET, True, "", True),
        ("0.0.0.0", socket.AF_INET, True, "0.0.0.0", True),
        ("0.0.0.0", socket.AF_INET, True, "127.0.0.1", False),
        ("0.0.0.0", socket.AF_INET, True, "[::]", False),
        ("::", socket.AF_INET6, True, "", True),
        ("::", socket.AF_INET6, True, "[::]", True),
        ("::", socket.AF_INET6, True, "0.0.0.0", False),
        ("::", socket.AF_INET6, False, "0.0.0.0", True),
        ("::", socket.AF_INET6, False, "", True),
        ("::1", socket.AF_INET6, True, "[::1]", True),
        ("::1", socket.AF_INET6, True, "[0:0::0:1]", True),
        ("::1", socket.AF_INET6, True, "127.0.0.1", False),
    ],
)
def test_an_address_is_known_however_it_is_written(
    listening: Listening, host: str, family: int, only_v6: bool, configured: str, matches: bool
) -> None:
    passed = listening(host, family, only_v6)
    listener = settings(listen=at(passed, configured))
    if matches:
        assert list(owners(listener, ("redisproxy.socket", passed)).values()) == [[passed]]
    else:
        with pytest.raises(PassedSocketFault, match="no listener of the configuration"):
            owners(listener, ("redisproxy.socket", passed))


def test_another_port_is_another_address(listening: Listening) -> None:
    with pytest.raises(PassedSocketFault):
        owners(settings(listen={"addr": "127.0.0.1:1"}), ("unknown", listening()))


def test_a_unix_socket_is_known_by_its_path(
    listening: Listening, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "link").symlink_to(tmp_path)
    monkeypatch.chdir(tmp_path)
    passed = listening(str(tmp_path / "a.sock"), socket.AF_UNIX)
    for path in (str(tmp_path / "a.sock"), "a.sock", str(tmp_path / "link" / "a.sock")):
        assert owners(settings(listen={"addr": path, "network": "unix"}), ("unknown", passed)) == {path: [passed]}
    with pytest.raises(PassedSocketFault, match=r"a\.sock, which is no listener"):
        owners(settings(listen={"addr": "b.sock", "network": "unix"}), ("unknown", passed))


def test_two_sockets_may_be_one_listener(listening: Listening) -> None:
    four = listening("0.0.0.0")
    six = socket.socket(socket.AF_INET6)
    with six:
        six.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        six.bind(("::", four.getsockname()[1]))
        six.listen(5)
        both = owners(settings(listen=at(four, "")), ("unknown", four), ("unknown", six))
        assert list(both.values()) == [[four, six]]


def test_a_name_says_the_listener(listening: Listening, tmp_path: Path) -> None:
    configured = settings(
        listen=[{"addr": ":1"}, {"addr": ":2"}], listen_raw={"addr": ":3"}, admin={"addr": "127.0.0.1:4"}
    )
    first, second, raw, admin = (listening() for _ in range(4))
    passed = ("listen[1]", second), ("listen_raw", raw), ("admin", admin), ("listen[0]", first)
    assert owners(configured, *passed) == {":1": [first], ":2": [second], ":3": [raw], "127.0.0.1:4": [admin]}
    for name in ("listen", "listen[2]", "listen_raw[1]", "admin[1]"):
        with pytest.raises(PassedSocketFault, match="no listener"):
            owners(configured, (name, listening()))
    both = settings(listen=[at(first, "127.0.0.1"), {"addr": ":2"}])
    assert list(owners(both, ("listen", first)).values()) == [[first]]
    with pytest.raises(PassedSocketFault):
        owners(settings(), ("admin", admin))


def test_an_abstract_socket_belongs_to_whom_its_name_says(listening: Listening) -> None:
    passed = listening(f"\0redisproxy-test-{os.getpid()}", socket.AF_UNIX)
    assert owners(settings(), ("listen", passed)) == {":1": [passed]}
    with pytest.raises(PassedSocketFault, match=f"@redisproxy-test-{os.getpid()}"):
        owners(settings(), ("unknown", passed))


def test_a_name_opens_the_admin_pages_to_nobody(listening: Listening, tmp_path: Path) -> None:
    everywhere, local = listening("0.0.0.0"), listening(str(tmp_path / "admin.sock"), socket.AF_UNIX)
    open_ = settings(admin={"addr": "127.0.0.1:4"})
    with pytest.raises(PassedSocketFault, match="anybody could pause the proxy there"):
        owners(open_, ("admin", everywhere))
    assert owners(open_, ("admin", local))
    assert owners(settings(admin={"addr": "127.0.0.1:4", "pass": "x"}), ("admin", everywhere))


def test_all_faults_are_told_at_once(listening: Listening) -> None:
    with pytest.raises(PassedSocketFault) as fault:
        owners(settings(), ("one", listening()), ("two", listening()))
    assert [name in line for name, line in zip(("one", "two"), str(fault.value).split("\n"), strict=True)] == [True] * 2


# -- what the environment says


def told(count: str, names: str = "", pid: int | None = None) -> dict[str, str]:
    return {"LISTEN_PID": str(pid or os.getpid()), "LISTEN_FDS": count, "LISTEN_FDNAMES": names}


def test_without_the_variables_or_with_those_of_another_process_there_is_none() -> None:
    assert take({}) == ()
    assert take(told("5", "a:b", pid=1)) == ()
    assert take(told("0")) == ()


@pytest.mark.parametrize(("count", "names"), [("", ""), ("x", ""), ("-1", ""), ("2", "one"), ("1", "one:two")])
def test_variables_that_make_no_sense_are_a_fault(count: str, names: str) -> None:
    with pytest.raises(PassedSocketFault, match="LISTEN_FD"):
        take(told(count, names))


def test_the_variables_are_forgotten() -> None:
    environ = {**told("1", "a"), "PATH": "/bin"}
    forget(environ)
    assert environ == {"PATH": "/bin"}
