"""Files that a configuration names: certificates are looked into, passwords are read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import trustme

from redisproxy import config
from tests.config.loading import faults, load


def test_certificates_are_checked(write: Any, certificate: dict[str, str], tmp_path: Path) -> None:
    own = {"addr": ":1", "tls": True, "certfile": certificate["certfile"]}
    other = tmp_path / "other.key"
    trustme.CA().issue_cert("x").private_key_pem.write_to_path(str(other))
    assert "listen.keyfile: " in faults(write(listen={**own, "keyfile": str(other)}))[0]
    assert "does not belong" in faults(write(listen={**own, "keyfile": str(other)}))[0]
    other.write_text("nonsense")
    assert "no private key" in faults(write(listen={**own, "keyfile": str(other)}))[0]
    swapped = {"addr": ":1", "tls": True, "certfile": str(other), "keyfile": certificate["keyfile"]}
    assert "listen.certfile: " in faults(write(listen=swapped))[0]
    uplink = {"addr": "a:1", "tls": True, "cacertfile": str(other)}
    assert "uplink.cacertfile: " in faults(write(uplink=uplink))[0]


def test_a_passfile_is_read_without_its_line_end(write: Any, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("s3cret\n")
    uplink = {"addr": "a:1", "passfile": str(secret)}
    password = load(write(uplink=uplink)).uplink.password
    assert password is not None and password.get_secret_value() == "s3cret"
    assert "either pass or passfile" in faults(write(uplink={**uplink, "pass": "x"}))[0]
    secret.write_text("")
    assert "empty" in faults(write(uplink=uplink))[0]


def test_file_names_are_relative_to_the_working_directory_or_the_file(write: Any, tmp_path: Path) -> None:
    (tmp_path / "beside").write_text("x")
    assert load(write(uplink={"addr": "a:1", "passfile": "beside"})).uplink.password


@pytest.mark.parametrize("name", ["/nowhere", "/tmp", "/dev/zero", "a\0b", "\ud800", "a" * 3000, "a" * 9000])
@pytest.mark.parametrize("key", ["certfile", "keyfile", "cacertfile", "passfile"])
def test_a_file_that_can_not_be_read_is_one_fault_of_its_key(
    write: Any, certificate: dict[str, str], key: str, name: str
) -> None:
    found = faults(write(listen={"addr": ":1", "tls": True, **certificate, key: name}))
    assert found[0].startswith(f"listen.{key}: ")
    assert all(each.startswith(f"listen.{key}: ") for each in found)


def test_a_password_is_taken_from_an_environment_variable(write: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REDIS_PASS", "s3cret-of-sixteen")
    secret = {"pass": "${REDIS_PASS}"}
    settings = load(
        write(
            uplink={"addr": "a:1", **secret},
            listen={"addr": ":1", **secret, "users": [{"name": "app", **secret}]},
            admin={"addr": "localhost:2", **secret},
            switchover={"replication_user": "r", "replication_pass": "${REDIS_PASS}"},
            fleet={"listen": {"addr": ":3"}, "peers": ["a:3"], "secret": "${REDIS_PASS}"},
        )
    )
    assert settings.admin is not None
    taken = (
        settings.uplink.password,
        *(settings.listen[0].passwords or ()),
        *(settings.listen[0].users[0].passwords or ()),
        *(settings.admin.passwords or () if settings.admin else ()),
        settings.switchover.replication_password,
        settings.fleet and settings.fleet.secret,
    )
    assert [each and each.get_secret_value() for each in taken] == ["s3cret-of-sixteen"] * 6
    assert "s3cret" not in repr(settings)


def test_each_of_several_passwords_may_come_from_a_variable(write: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NEW_PASS", "new")
    listen = load(write(listen={"addr": ":1", "pass": ["old", "${NEW_PASS}"]})).listen[0]
    assert [each.get_secret_value() for each in listen.passwords or ()] == ["old", "new"]
    found = faults(write(listen={"addr": ":1", "pass": ["old", "${NOT_SET_EITHER}"]}))
    assert found == ("listen.pass[1]: the environment variable NOT_SET_EITHER is not set",)


def test_a_variable_that_is_not_set_or_empty_is_named(write: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NOT_SET", raising=False)
    monkeypatch.setenv("EMPTY", "")
    found = faults(
        write(
            uplink={"addr": "a:1", "pass": "${NOT_SET}"},
            listen={"addr": ":1", "users": [{"name": "b", "pass": "${EMPTY}"}]},
        )
    )
    assert found == (
        "uplink.pass: the environment variable NOT_SET is not set",
        "listen.users[0].pass: the environment variable EMPTY is empty",
    )


def test_what_only_looks_like_a_variable_is_the_password_itself(write: Any) -> None:
    for text in ("${", "x${HOME}", "${HOME}x", "${1}", "$HOME", "${A-B}"):
        password = load(write(uplink={"addr": "a:1", "pass": text})).uplink.password
        assert password is not None and password.get_secret_value() == text


def test_where_the_admin_pages_are_is_read_from_a_file_with_other_faults(write: Any) -> None:
    admin = config.load_admin(write(uplink={"adr": 1}, listen="nonsense", admin={"addr": "localhost:2", "pass": "x"}))
    assert admin is not None and str(admin.address) == "localhost:2" and admin.passwords is not None
    assert config.load_admin(write()) is None and config.load_admin(write(admin={"addr": ""})) is None
    for wrong, told in (
        ({"adr": "localhost:2"}, "admin.adr: unknown key, did you mean addr?"),
        ({"addr": "localhost:2", "pass": "${NOT_SET}"}, "admin.pass: the environment variable NOT_SET is not set"),
        ({"addr": "localhost:2", "passfile": "nowhere"}, "admin.passfile: cannot read"),
        ("here", "admin: expected an object"),
    ):
        with pytest.raises(config.ConfigError) as caught:
            config.load_admin(write(admin=wrong))
        assert any(fault.startswith(told) for fault in caught.value.faults), caught.value.faults
