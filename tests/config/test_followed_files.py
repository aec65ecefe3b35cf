"""Files that are read again when they have changed, and the passwords of listeners in them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from redisproxy.config import ListenSettings
from redisproxy.config.authentication import authenticator
from redisproxy.config.certificates import read_file
from redisproxy.config.followed_files import FollowedFiles
from redisproxy.config.password_files import passwords_in
from tests.config.loading import faults, load


class Reading:
    """What is made of one file, and how often."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.count = 0

    def __call__(self) -> str:
        self.count += 1
        text = read_file(str(self.path)).decode()
        if text == "broken":
            raise ValueError("it is broken")
        return text


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "file"
    path.write_text("first")
    os.utime(path, (1000, 1000))
    return path


def test_a_file_that_has_not_changed_is_not_made_anew(path: Path) -> None:
    reading = Reading(path)
    followed = FollowedFiles([str(path)], reading)
    assert [followed.current() for _ in range(3)] == ["first"] * 3 and reading.count == 1


def test_a_changed_file_is_taken_at_the_next_use(path: Path) -> None:
    followed = FollowedFiles([str(path)], Reading(path))
    path.write_text("second")
    assert followed.current() == "second"


def test_a_change_of_the_same_length_in_the_same_tick_of_the_clock_is_seen(path: Path) -> None:
    followed = FollowedFiles([str(path)], Reading(path))
    before = path.stat()
    with path.open("r+") as file:
        file.write("other")
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert followed.current() == "other"


def test_a_file_that_is_replaced_is_seen_whatever_its_time(path: Path, tmp_path: Path) -> None:
    followed = FollowedFiles([str(path)], Reading(path))
    new = tmp_path / "new"
    new.write_text("moved")
    os.utime(new, (1000, 1000))
    os.replace(new, path)
    assert followed.current() == "moved"


def test_what_can_not_be_used_leaves_what_was_there_and_is_read_once(path: Path) -> None:
    reading = Reading(path)
    followed = FollowedFiles([str(path)], reading)
    path.write_text("broken")
    assert [followed.current() for _ in range(3)] == ["first"] * 3
    assert followed.error == "it is broken" and reading.count == 2
    path.unlink()
    assert followed.current() == "first"
    path.write_text("good again")
    assert followed.current() == "good again" and followed.error == ""


def listener(path: Path, text: str) -> ListenSettings:
    path.write_text(text)
    return ListenSettings.model_validate({"addr": ":1", "passfile": str(path), "pass": list(passwords_in(str(path)))})


def test_each_line_of_a_passfile_is_a_password_and_a_change_is_taken_at_once(path: Path) -> None:
    auth = authenticator(listener(path, "old one\r\n\nnew\n"))
    assert auth.check(b"default", b"old one") and auth.check(b"default", b"new")
    assert not auth.check(b"default", b"") and not auth.check(b"default", b"old one\r\n\nnew")
    path.write_text("new\n")
    assert not auth.check(b"default", b"old one") and auth.check(b"default", b"new")


@pytest.mark.parametrize("broken", [b"", b"\n\n", b"\xff\xfe", b"x\n" * 17, None])
def test_a_broken_passfile_keeps_the_passwords_before(path: Path, broken: bytes | None) -> None:
    auth = authenticator(listener(path, "right\n"))
    path.unlink() if broken is None else path.write_bytes(broken)
    assert auth.check(b"default", b"right") and not auth.check(b"default", b"x")
    path.write_text("next\n")
    assert auth.check(b"default", b"next") and not auth.check(b"default", b"right")


def test_a_passfile_that_is_broken_when_it_is_first_used_leaves_what_the_configuration_has(path: Path) -> None:
    settings = listener(path, "right\n")
    path.unlink()
    assert authenticator(settings).check(b"default", b"right")


def test_a_user_may_have_several_passwords_and_digests(write: object) -> None:
    of_b = "3e23e8160039594a33894f6564e1b1348bbd7a0088d42c4acb73eeaed59c009d"
    users = [{"name": "one", "pass": ["a", "b"]}, {"name": "two", "sha256": [of_b, "0" * 64]}]
    settings = load(write(listen={"addr": ":1", "pass": "x", "users": users}))  # type: ignore[operator]
    auth = authenticator(settings.listen[0])
    assert [auth.check(b"one", word) for word in (b"a", b"b", b"c")] == [True, True, False]
    assert auth.check(b"two", b"b") and not auth.check(b"two", b"a") and not auth.check(b"nobody", b"a")


def test_lists_of_passwords_that_are_none(write: object) -> None:
    several: list[object] = [[], [""], ["x"] * 17, [1], {}]
    for wrong in several:
        found = faults(write(listen={"addr": ":1", "pass": wrong}))  # type: ignore[operator]
        assert found and all(each.startswith("listen.pass") for each in found)


def test_the_uplink_logs_in_with_the_first_line(write: object, tmp_path: Path) -> None:
    (tmp_path / "lines").write_text("first\nsecond\n")
    password = load(write(uplink={"addr": "a:1", "passfile": "lines"})).uplink.password  # type: ignore[operator]
    assert password is not None and password.get_secret_value() == "first"


def test_a_passcommand_has_to_be_a_program(write: object, tmp_path: Path) -> None:
    def of(**uplink: object) -> list[str]:
        return list(faults(write(uplink={"addr": "a:1", **uplink})))  # type: ignore[operator]

    program = tmp_path / "token"
    program.write_text("#!/bin/sh\necho x\n")
    assert of(passcommand=["./token"]) == ["uplink.passcommand: ./token is no program that can be run"]
    program.chmod(0o700)
    settings = load(write(uplink={"addr": "a:1", "passcommand": ["./token", "-x"]}))  # type: ignore[operator]
    assert settings.uplink.passcommand == (str(program), "-x")
    assert of(passcommand=["no-such-program-anywhere"])[0].startswith("uplink.passcommand: no-such")
    assert of(passcommand="echo x") and of(passcommand=[]) and of(passcommand=[""])
    assert of(**{"passcommand": ["echo"], "pass": "x"}) == [
        "uplink.passcommand: give only one of pass, passfile and passcommand"
    ]
    assert of(pass_ttl_ms=1000) == ["uplink.pass_ttl_ms: it needs passcommand"]
    assert of(user="x") == ["uplink: user needs pass, passfile or passcommand"]
