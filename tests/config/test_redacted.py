"""No password is ever shown, nor its hash."""

from __future__ import annotations

import json
from typing import Any

from redisproxy import config
from tests.config.loading import faults, load


def test_no_password_shows(write: Any) -> None:
    users = [{"name": "a", "pass": "hush-3"}]
    path = write(uplink={"addr": "a:1", "pass": "hush-1"}, listen={"addr": ":1", "pass": "hush-2", "users": users})
    settings = load(path)
    for shown in (repr(settings), str(settings), json.dumps(config.public(settings))):
        assert "hush" not in shown
    assert config.public(settings)["uplink"]["pass"] == "[removed]"
    broken = write(uplink={"addr": "a", "pass": "hush-1"}, listen={"addr": ":1", "pass": ["hush-2"]})
    assert "hush" not in "\n".join(faults(broken))


def test_the_hash_of_a_password_does_not_show_either(write: Any) -> None:
    settings = load(write(admin={"addr": "127.0.0.1:1", "users": [{"name": "a", "sha256": "ab" * 32}]}))
    assert "abab" not in repr(settings) + json.dumps(config.public(settings))
    assert config.public(settings)["admin"]["users"][0]["sha256"] == "[removed]"


def test_what_is_not_as_by_default_is_told_by_its_path_and_without_secrets(write: Any) -> None:
    users = [{"name": "a", "pass": "hush-3"}]
    path = write(
        uplink={"addr": "a:1", "pass": "hush-1"},
        listen=[{"addr": ":1", "users": users}, {"addr": ":2"}],
        pause={"drain_deadline_ms": 1234},
        pubsub=False,
    )
    assert config.in_force(load(path)) == {
        "uplink.addr": "a:1",
        "uplink.pass": "[removed]",
        "listen[0].addr": ":1",
        "listen[0].users.name": "a",
        "listen[0].users.pass": "[removed]",
        "listen[1].addr": ":2",
        "pause.drain_deadline_ms": 1234,
    }


def test_the_hash_of_a_password_is_not_told_there_either(write: Any) -> None:
    settings = load(write(admin={"addr": "127.0.0.1:1", "users": [{"name": "a", "sha256": "ab" * 32}]}))
    assert config.in_force(settings)["admin.users.sha256"] == "[removed]"


def test_of_a_program_only_its_name_is_shown(write: Any) -> None:
    uplink = {"addr": "a:1", "passcommand": ["echo", "-n", "s3cret"]}
    settings = load(write(uplink=uplink))
    assert "s3cret" not in repr(settings)
    shown = ["echo", "[removed]", "[removed]"]
    assert config.public(settings)["uplink"]["passcommand"] == shown
    assert config.in_force(settings)["uplink.passcommand"] == shown
