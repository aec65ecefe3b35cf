"""The JSON schema for editors takes whatever is a configuration, and knows every key."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from redisproxy import config
from redisproxy.config.errors import ConfigError
from tests.config.loading import load

ROOT = Path(__file__).resolve().parents[2]
VALIDATOR = Draft202012Validator(config.schema())
pytestmark = pytest.mark.one_twin

CERT = {"tls": True, "certfile": "a", "keyfile": "b"}
GOOD: list[dict[str, Any]] = [
    {},
    {"$schema": "./redisproxy.schema.json"},
    {"listen": [{"addr": ":1"}, {"addr": "/run/a", "network": "unix"}], "listen_raw": {"addr": ":2"}},
    {"admin": {"addr": ""}, "listen_raw": [{"addr": ""}]},
    {"uplink": {"addr": "a:1", "pass": "", "certfile": "", "network": ""}},
    {"uplink": {"addr": "a:1", "user": "u", "pass": "${HOME}", "tls": True, "skipverify": True}},
    {"uplink": {"sentinels": ["a:1", "b:1"], "master_name": "m", "sentinel_tls": None, "sentinel_poll_ms": 1}},
    {"workers": "auto", "run_directory": "/run/x"},
    {"workers": 4, "allow_commands": ["monitor", "wait"]},
    {"listen": {"addr": ":1", "users": [{"name": "a", "sha256": "0" * 64}, {"name": "b", "pass": "x"}]}},
    {"listen": {"addr": ":1", "pass": ["x", "${HOME}"], "users": [{"name": "a", "sha256": ["0" * 64]}]}},
    {"listen": {"addr": ":1", "pass": ""}, "uplink": {"addr": "a:1", "passcommand": ["echo", "x"], "pass_ttl_ms": 1}},
    {"switchover": {"hooks": {"promote": {"command": ["echo"], "limit_ms": 1}}}},
    {
        "switchover": {
            "mode": "copy",
            "verify": "all",
            "carry": ["acl"],
            "replication_user": "r",
            "replication_pass": "x",
        }
    },
    {"limits": {"max_clients": 5}, "pause": {}, "shutdown": {"notice_ms": 1}, "upgrade": {"linger_ms": 0}},
    {"uplink": {"addr": "a:1", "tcp_keepalive": {"idle_s": 0}}},
    {"fleet": {"listen": {"addr": ":3"}, "peers": ["a:3"], "secret": "of sixteen letters"}},
]
WRONG: list[dict[str, Any]] = [
    {"lisen": {}},
    {"listen": []},
    {"workers": 0},
    {"workers": "many"},
    {"uplink": {"adr": "a:1"}},
    {"uplink": {"addr": "a:1", "tls": "yes"}},
    {"listen": {"addr": ":1", "users": [{"name": "a", "sha256": "short"}]}},
    {"switchover": {"mode": "magic"}},
    {"switchover": {"hooks": {"promote": {"command": []}}}},
    {"listen": {"addr": ":1", "pass": []}},
    {"limits": {"max_clients": "5"}},
    {"pause": {"drain_deadline_ms": 0}},
]
BASE: dict[str, Any] = {"uplink": {"addr": "a:1"}, "listen": {"addr": ":1"}}


def test_it_is_a_schema() -> None:
    Draft202012Validator.check_schema(config.schema())
    assert "C{" not in json.dumps(config.schema()), "no markup of docstrings is left"


@pytest.mark.parametrize("changes", GOOD, ids=json.dumps)
def test_what_is_a_configuration_passes(write: Any, changes: dict[str, Any]) -> None:
    assert load(write({**BASE, **changes}))
    VALIDATOR.validate({**BASE, **changes})


@pytest.mark.parametrize("changes", WRONG, ids=json.dumps)
def test_what_is_wrong_by_itself_is_refused_by_both(write: Any, changes: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        load(write({**BASE, **changes}))
    assert not VALIDATOR.is_valid({**BASE, **changes})


def test_the_example_and_all_configurations_in_the_documents_pass() -> None:
    VALIDATOR.validate(json.loads((ROOT / "config_example.json").read_text()))
    found = 0
    for page in [ROOT / "README.md", *(ROOT / "docs").rglob("*.md")]:
        for block in re.findall(r"^```json\n(.*?)^```$", page.read_text(), re.MULTILINE | re.DOTALL):
            text = block if block.lstrip().startswith("{") else f"{{{block}}}"
            VALIDATOR.validate({**BASE, **json.loads(text)})
            found += 1
    assert found >= 4


def test_every_key_is_in_the_schema() -> None:
    text = json.dumps(config.schema())
    settings = config.Settings.model_validate({"uplink": {"addr": "a:1"}, "listen": {"addr": ":1"}})
    assert all(f'"{path.rpartition(".")[2]}"' in text for path in config.in_force(settings, everything=True))


def test_every_key_says_what_it_means_with_the_notes_and_without_markup() -> None:
    document = config.schema()
    for name, section in {"": document, **document["$defs"]}.items():
        for key, value in section["properties"].items():
            assert value.get("description", "").endswith("."), f"{name}.{key} has no meaning in docs/configuration.md"
            assert not re.search(r"`|\]\(|\(\d\)", value["description"]), value["description"]
    limit = document["properties"]["read_time_limit_ms"]["description"]
    assert limit.startswith("time limit for a command") and "the command's client is disconnected" in limit
    assert "${NAME}" in document["$defs"]["UplinkSettings"]["properties"]["pass"]["description"]
