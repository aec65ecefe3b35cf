"""Files that a configuration names: certificates are looked into, passwords are read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import trustme

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
