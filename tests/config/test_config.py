"""The configuration: what is taken, what is refused, and that no password ever shows."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import hypothesis
import pytest
import trustme
from hypothesis import strategies as st
from pydantic import BaseModel

from redisproxy import config
from redisproxy.config import ConfigError, TcpAddress, UnixAddress
from redisproxy.config.settings import Settings
from redisproxy.net import tls

DOCS = Path(__file__).resolve().parents[2] / "docs" / "configuration.md"


@pytest.fixture
def write(tmp_path: Path) -> Any:
    def write(data: Any = None, /, **changes: Any) -> str:
        base = {"uplink": {"addr": "localhost:6379"}, "listen": {"addr": "127.0.0.1:7010"}}
        path = tmp_path / "config.json"
        path.write_text(data if isinstance(data, str) else json.dumps({**base, **changes} if data is None else data))
        return str(path)

    return write


def load(path: str) -> Settings:
    return config.load(path, tls.faults)


def faults(path: str) -> tuple[str, ...]:
    with pytest.raises(ConfigError) as caught:
        load(path)
    assert str(caught.value) == "\n".join(caught.value.faults)
    return caught.value.faults


@pytest.fixture
def certificate(tmp_path: Path) -> dict[str, str]:
    authority = trustme.CA()
    made = authority.issue_cert("localhost")
    names = {key: str(tmp_path / f"{key}.pem") for key in ("certfile", "keyfile", "cacertfile")}
    made.cert_chain_pems[0].write_to_path(names["certfile"])
    made.private_key_pem.write_to_path(names["keyfile"])
    authority.cert_pem.write_to_path(names["cacertfile"])
    return names


def test_the_example_is_good() -> None:
    settings = load(str(DOCS.parents[1] / "config_example.json"))
    assert settings.admin is not None and settings.admin.address == TcpAddress("127.0.0.1", 7011)


def test_a_file_of_codility_redis_proxy_works_unchanged(write: Any, certificate: dict[str, str]) -> None:
    own = {"certfile": certificate["certfile"], "keyfile": certificate["keyfile"], "tls": True}
    settings = load(
        write(
            uplink={
                "addr": "localhost:6379",
                "pass": "redis-password",
                "tls": True,
                "cacertfile": certificate["cacertfile"],
                "skipverify": False,
            },
            listen={"addr": "127.0.0.1:7010", "pass": "client-password", **own},
            listen_raw={"addr": "127.0.0.1:7011", **own},
            admin={"addr": "127.0.0.1:7012", **own},
            log_messages=False,
            read_time_limit_ms=5000,
        )
    )
    assert settings.uplink.password is not None and len(settings.listen_raw) == 1 and settings.listen[0].tls


def test_empty_values_mean_not_set_as_there(write: Any) -> None:
    settings = load(
        write(
            listen={"addr": ":7010", "pass": "", "certfile": "", "network": ""},
            listen_raw={"addr": ""},
            admin={"addr": ""},
        )
    )
    assert settings.listen[0].password is None and settings.listen[0].address == TcpAddress("", 7010)
    assert settings.listen_raw == () and settings.admin is None


@pytest.mark.parametrize(
    ("addr", "network", "expected"),
    [
        ("redis.internal:6379", "tcp", TcpAddress("redis.internal", 6379)),
        ("[::1]:6379", "tcp", TcpAddress("::1", 6379)),
        (":6379", "tcp", TcpAddress("localhost", 6379)),
        ("/run/redis.sock", "unix", UnixAddress("/run/redis.sock")),
    ],
)
def test_addresses(write: Any, addr: str, network: str, expected: object) -> None:
    assert load(write(uplink={"addr": addr, "network": network})).uplink.address == expected


@pytest.mark.parametrize("addr", ["localhost", "localhost:", "a:0", "a:65536", "::1:6379", "[x]:1", "[::1]", "a b"])
def test_addresses_that_are_none(write: Any, addr: str) -> None:
    assert faults(write(uplink={"addr": addr}))[0].startswith("uplink.addr: ")


def test_several_listeners(write: Any) -> None:
    settings = load(write(listen=[{"addr": ":1"}, {"addr": ":2"}]))
    assert [each.address for each in settings.listen] == [TcpAddress("", 1), TcpAddress("", 2)]


def test_all_faults_come_at_once_with_their_paths(write: Any) -> None:
    found = faults(
        write(
            uplink={"addr": "localhost:6379", "tls": "true", "pas": "hush"},
            listen=[{"addr": ":1"}, {"adr": ":2"}],
            read_time_limit_ms=True,
            limits={"max_client": 3, "max_clients": 0},
            colour="blue",
        )
    )
    text = "\n".join(found)
    for part in (
        "uplink.tls: ",
        "uplink.pas: unknown key, did you mean pass?",
        "listen[1].addr: missing",
        "listen[1].adr: unknown key, did you mean addr?",
        "read_time_limit_ms: ",
        "limits.max_client: unknown key, did you mean max_clients?",
        "limits.max_clients: ",
        "colour: unknown key",
    ):
        assert part in text
    assert "hush" not in text


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("{", "not JSON: "),
        ("[]", "expected an object"),
        ('{"a": 1, "a": 2}', "a: the key is there twice"),
        ('{"a": NaN}', "NaN"),
        ("[" * 100000, "nested too deeply"),
    ],
)
def test_files_that_are_no_configuration(write: Any, text: str, part: str) -> None:
    assert part in faults(write(text))[0]


def test_a_file_that_is_not_there_is_too_large_or_not_utf8(tmp_path: Path) -> None:
    assert "No such file" in faults(str(tmp_path / "none.json"))[0]
    path = tmp_path / "x.json"
    path.write_bytes(b" " * 1048577)
    assert "larger than" in faults(str(path))[0]
    path.write_bytes(b'{"\xff": 1}')
    assert "not UTF-8" in faults(str(path))[0]


@pytest.mark.parametrize(
    ("change", "part"),
    [
        ({"uplink": {"addr": "a:1", "tls": True}}, "uplink: tls needs cacertfile"),
        ({"uplink": {"addr": "a:1", "user": "x"}}, "uplink: user needs pass"),
        ({"listen": {"addr": ":1", "tls": True}}, "listen: tls needs certfile and keyfile"),
        ({"listen": {"addr": ":1", "certfile": "/nowhere", "keyfile": "/nowhere"}}, "cannot read /nowhere"),
        ({"listen": {"addr": ":1", "users": [{"name": "a"}]}}, "exactly one of pass, passfile and sha256"),
        ({"listen": {"addr": ":1", "users": [{"name": "a", "sha256": "xyz"}]}}, "users[0].sha256"),
        ({"listen": {"addr": ":1", "users": [{"name": "a", "pass": "x"}, {"name": "a", "pass": "y"}]}}, "there twice"),
        ({"listen": [{"addr": ":1"}, {"addr": ":1"}]}, "is used by listen already"),
        ({"admin": {"addr": "0.0.0.0:1"}}, "admin: anybody who reaches this address"),
        ({"allow_commands": ["debug;"]}, "allow_commands"),
    ],
)
def test_what_does_not_go_together(write: Any, change: dict[str, Any], part: str) -> None:
    assert part in "\n".join(faults(write(**change)))


def test_every_name_that_cannot_be_allowed_is_told_with_the_reason(write: Any) -> None:
    names = ["monitor", "config|set", "client", "mod.command", "keys", "readonly", "shutdown", "cluster|meet"]
    assert load(write(allow_commands=names)).allow_commands == {name.upper() for name in names}
    wrong = ["SYNC", "cluster|syncslots", "auth", "client|paused", "SUBSCRIBE", "script|debug", "MONITR", "host:"]
    assert faults(write(allow_commands=[*names, *wrong], listen={"addr": ":1", "x": 1}, switchovr=1)) == (
        "listen.x: unknown key",
        "allow_commands: cannot allow AUTH: the proxy handles it itself",
        "allow_commands: cannot allow CLIENT|PAUSED: the proxy handles it itself, did you mean CLIENT|PAUSE?",
        "allow_commands: cannot allow CLUSTER|SYNCSLOTS: the proxy forwards requests and their replies only, not"
        " replication streams",
        "allow_commands: cannot allow HOST:: it is HTTP, which ends the connection as with Redis",
        "allow_commands: cannot allow MONITR: the proxy forwards what it does not know, did you mean MONITOR?",
        "allow_commands: cannot allow SCRIPT|DEBUG: it turns the connection into one of the script debugger; use it on"
        " the Redis server itself",
        'allow_commands: cannot allow SUBSCRIBE: set "pubsub": true for subscribers',
        "allow_commands: cannot allow SYNC: the proxy forwards requests and their replies only, not replication"
        " streams",
        "switchovr: unknown key, did you mean switchover?",
    )


def test_an_open_admin_address_has_to_be_asked_for_or_guarded(write: Any) -> None:
    assert load(write(admin={"addr": "0.0.0.0:1", "allow_open": True})).admin
    assert load(write(admin={"addr": "0.0.0.0:1", "pass": "x"})).admin


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


def test_no_password_shows(write: Any) -> None:
    users = [{"name": "a", "pass": "hush-3"}]
    path = write(uplink={"addr": "a:1", "pass": "hush-1"}, listen={"addr": ":1", "pass": "hush-2", "users": users})
    settings = load(path)
    for shown in (repr(settings), str(settings), json.dumps(config.public(settings))):
        assert "hush" not in shown
    assert config.public(settings)["uplink"]["pass"] == "[removed]"
    broken = write(uplink={"addr": "a", "pass": "hush-1"}, listen={"addr": ":1", "pass": ["hush-2"]})
    assert "hush" not in "\n".join(faults(broken))


def test_differences_name_paths_only(write: Any) -> None:
    old = load(write(uplink={"addr": "a:1", "pass": "one"}))
    new = load(write(uplink={"addr": "b:1", "pass": "two"}, log_messages=True))
    assert config.differences(old, new) == ("log_messages", "uplink.addr", "uplink.pass")
    assert config.fixed_differences(old, new) == ()


def test_where_it_listens_is_fixed(write: Any) -> None:
    old = load(write(admin={"addr": "127.0.0.1:1"}))
    new = load(write(listen={"addr": "127.0.0.1:7777", "backlog": 5}))
    assert config.fixed_differences(old, new) == ("admin", "listen[0].addr", "listen[0].backlog")
    new = load(write(admin={"addr": "127.0.0.1:2"}, listen=[{"addr": "127.0.0.1:7777"}, {"addr": ":8"}]))
    assert set(config.fixed_differences(old, new)) >= {"admin.addr", "listen", "listen[0].addr"}


def test_settings_can_not_be_changed(write: Any) -> None:
    settings = load(write())
    with pytest.raises(ValueError, match="frozen"):
        settings.log_messages = True


@pytest.mark.parametrize("name", ["/nowhere", "/tmp", "/dev/zero", "a\0b", "\ud800", "a" * 3000, "a" * 9000])
@pytest.mark.parametrize("key", ["certfile", "keyfile", "cacertfile", "passfile"])
def test_a_file_that_can_not_be_read_is_one_fault_of_its_key(
    write: Any, certificate: dict[str, str], key: str, name: str
) -> None:
    found = faults(write(listen={"addr": ":1", "tls": True, **certificate, key: name}))
    assert found[0].startswith(f"listen.{key}: ")
    assert all(each.startswith(f"listen.{key}: ") for each in found)


def test_what_does_not_go_together_is_told_beside_unknown_keys_and_wrong_types(write: Any) -> None:
    found = faults(
        write(
            uplink={"addr": "a b:1", "tls": True, "user": "x", "colour": 1, "max_pinned": "3"},
            listen=[{"addr": ":1", "tls": True, "size": 1}, {"addr": ":2", "certfile": "/nowhere"}],
            admin={"addr": "0.0.0.0:3", "backlog": 0},
        )
    )
    places = {
        "uplink.addr", "uplink", "uplink.colour", "uplink.max_pinned", "listen[0]", "listen[0].size", "listen[1]",
        "listen[1].certfile", "admin", "admin.backlog",
    }  # fmt: skip
    assert {each.partition(": ")[0] for each in found} == places
    assert len(found) == len(set(found)) == len(places) + 1  # two things are wrong with the uplink as a whole


def test_two_addresses_alike_are_told_beside_an_unknown_key(write: Any) -> None:
    found = faults(write(listen={"addr": ":1"}, listen_raw={"addr": ":1"}, colour="blue"))
    assert len(found) == 2 and "is used by listen already" in found[1]


def test_every_key_that_is_there_twice_is_told_with_its_path(write: Any) -> None:
    text = '{"uplink": {"addr": "a:1", "addr": "b:1"}, "listen": [{"addr": ":1", "tls": false, "tls": false}]}'
    assert faults(write(text)) == ("uplink.addr: the key is there twice", "listen[0].tls: the key is there twice")


def test_numbers_of_any_length_and_a_byte_order_mark(write: Any, tmp_path: Path) -> None:
    assert "too many digits" in faults(write('{"read_time_limit_ms": ' + "9" * 5000 + "}"))[0]
    path = write()
    Path(path).write_bytes(b"\xef\xbb\xbf" + Path(path).read_bytes())
    assert load(path)


def test_the_proxy_is_not_its_own_uplink(write: Any) -> None:
    assert "where the proxy itself listens" in faults(write(uplink={"addr": "127.0.0.1:7010"}))[0]


def test_the_raw_relay_has_no_password(write: Any) -> None:
    found = faults(write(listen_raw={"addr": ":1", "pass": "hush"}))
    assert found == ("listen_raw.pass: the raw relay does not support authentication by the proxy",)


def test_the_hash_of_a_password_does_not_show_either(write: Any) -> None:
    settings = load(write(admin={"addr": "127.0.0.1:1", "users": [{"name": "a", "sha256": "ab" * 32}]}))
    assert "abab" not in repr(settings) + json.dumps(config.public(settings))
    assert config.public(settings)["admin"]["users"][0]["sha256"] == "[removed]"


KEYS = ["uplink", "listen", "listen_raw", "admin", "addr", "network", "tls", "certfile", "pass", "passfile", "users"]
KEYS += ["name", "sha256", "limits", "max_clients", "tcp_keepalive", "allow_commands", "user", "server_name", "x"]
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=9)
    | st.sampled_from([":1", "a:1", "unix"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=6),
    max_leaves=20,
)


@hypothesis.settings(deadline=None, max_examples=300, suppress_health_check=list(hypothesis.HealthCheck))
@hypothesis.given(st.dictionaries(st.sampled_from(KEYS), VALUES, max_size=6))
def test_whatever_a_file_holds_the_answer_is_settings_or_faults(write: Any, data: dict[str, Any]) -> None:
    path = write(json.dumps(data))
    try:
        load(path)
    except ConfigError as error:
        assert error.faults and all(": " in each for each in error.faults)


def keys(model: type[BaseModel]) -> set[str]:
    found: set[str] = set()
    for name, field in model.model_fields.items():
        found.add(field.alias or name)
        for inner in (field.annotation, *getattr(field.annotation, "__args__", ())):
            if isinstance(inner, type) and issubclass(inner, BaseModel):
                found |= keys(inner)
    return found


def test_every_key_is_in_the_documentation() -> None:
    text = DOCS.read_text()
    missing = sorted(key for key in keys(Settings) if f"`{key}`" not in text)
    assert not missing


SENTINELS = {"sentinels": ["10.0.1.1:26379", "[::1]:26379", ":26379"], "master_name": "mymaster"}


def test_an_uplink_that_sentinels_know(write: Any, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("of the sentinels\n")
    path = write(uplink={**SENTINELS, "sentinel_user": "u", "sentinel_passfile": "secret", "pass": "of the servers"})
    uplink = load(path).uplink
    assert [str(each) for each in uplink.sentinel_addresses] == ["10.0.1.1:26379", "[::1]:26379", "localhost:26379"]
    assert str(uplink.address) == "mymaster (found through Sentinel)"
    assert uplink.sentinel_password is not None and uplink.password is not None
    assert uplink.sentinel_password.get_secret_value() == "of the sentinels"
    assert uplink.password.get_secret_value() == "of the servers"


def test_where_the_primary_was_found_is_no_part_of_the_configuration(write: Any) -> None:
    settings = load(write(uplink={**SENTINELS, "sentinel_pass": "hush"}))
    found = settings.with_primary_at(TcpAddress("10.0.0.1", 6379))
    assert str(found.uplink.address) == "10.0.0.1:6379" != str(settings.uplink.address)
    assert config.differences(settings, found) == () and config.public(settings) == config.public(found)
    shown = config.public(found)["uplink"]
    assert shown["sentinels"] == SENTINELS["sentinels"] and shown["sentinel_pass"] == "[removed]"
    assert "hush" not in repr(found)
    other = load(write(uplink={**SENTINELS, "sentinel_pass": "other", "master_name": "b"}))
    assert config.differences(settings, other) == ("uplink.master_name", "uplink.sentinel_pass")


@pytest.mark.parametrize(
    ("uplink", "expected"),
    [
        ({"sentinels": ["a:1"]}, ["uplink.master_name: missing"]),
        ({"master_name": "m"}, ["uplink.sentinels: missing"]),
        ({}, ["uplink.addr: missing"]),
        ({"sentinels": [], "master_name": "m"}, ["uplink.sentinels: there has to be at least one"]),
        ({"sentinels": "a:1", "master_name": "m"}, ["uplink.sentinels: input should be a valid tuple"]),
        ({"sentinels": [7], "master_name": "m"}, ["uplink.sentinels[0]: input should be a valid string"]),
        (
            {**SENTINELS, "sentinels": ["a:1", "a", "a:1", "a:0"]},
            [
                "uplink.sentinels[1]: expected host:port, [v6 address]:port",
                "uplink.sentinels[2]: it is there twice",
                "uplink.sentinels[3]: the port must be from 1 to 65535",
            ],
        ),
        ({**SENTINELS, "addr": "a:1"}, ["uplink.addr: give either addr or sentinels"]),
        ({**SENTINELS, "network": "unix"}, ["uplink.network: sentinels tell of TCP addresses"]),
        ({**SENTINELS, "sentinel_user": "u"}, ["uplink.sentinel_user: it needs sentinel_pass or sentinel_passfile"]),
        ({**SENTINELS, "sentinel_tls": True}, ['uplink.sentinel_tls: it needs "tls": true']),
        ({**SENTINELS, "sentinel_poll": 1}, ["uplink.sentinel_poll: unknown key, did you mean sentinel_poll_ms?"]),
        (
            {**SENTINELS, "sentinels": ["127.0.0.1:7010"]},
            ["uplink.sentinels[0]: this is where the proxy itself listens (listen)"],
        ),
        ({"addr": "a:1", "sentinel_pass": "hush"}, ["uplink.sentinel_pass: it needs sentinels"]),
        (
            {"addr": "a:1", "sentinel_user": "u", "sentinel_poll_ms": 5},
            ["uplink.sentinel_user: it needs sentinels", "uplink.sentinel_poll_ms: it needs sentinels"],
        ),
    ],
)
def test_what_does_not_go_with_sentinels(write: Any, uplink: dict[str, Any], expected: list[str]) -> None:
    assert list(faults(write(uplink=uplink))) == expected


def test_a_passfile_for_the_sentinels_is_one_key_with_its_password(write: Any, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("hush")
    assert faults(write(uplink={"addr": "a:1", "sentinel_passfile": "secret"})) == (
        "uplink.sentinel_passfile: it needs sentinels",
    )
    assert faults(write(uplink={**SENTINELS, "sentinel_passfile": "secret", "sentinel_pass": "x"})) == (
        "uplink.sentinel_passfile: give either sentinel_pass or sentinel_passfile",
    )
    assert "uplink.sentinel_passfile: " in faults(write(uplink={**SENTINELS, "sentinel_passfile": "none"}))[0]


def test_names_for_the_certificates_of_sentinels(write: Any, certificate: dict[str, str]) -> None:
    secure = {**SENTINELS, "tls": True, "cacertfile": certificate["cacertfile"]}
    assert load(write(uplink=secure)).uplink.tls_to_sentinels
    assert not load(write(uplink={**secure, "sentinel_tls": False})).uplink.tls_to_sentinels
    long = "\xfc" * 300
    assert faults(write(uplink={**secure, "sentinel_server_name": long})) == (
        "uplink.sentinel_server_name: this is no host name",
    )
    assert faults(write(uplink={**secure, "sentinels": [f"{long}:1"]})) == ("uplink.sentinels: this is no host name",)


def test_where_the_proxy_itself_can_be_reached(write: Any) -> None:
    own = load(write(listen={"addr": ":7010"}, admin={"addr": "/run/admin", "network": "unix"})).own_addresses
    assert {TcpAddress("127.0.0.1", 7010), TcpAddress("localhost", 7010), UnixAddress("/run/admin")} < own


def test_where_clients_are_to_go_is_a_host_and_a_port(write: Any) -> None:
    def told(to: str) -> tuple[str, ...]:
        return faults(write(shutdown={"notice_ms": 1000, "moving_to": to}))

    assert told(":6379") == ("shutdown.moving_to: a host is needed, so that clients know where to go",)
    assert told("nowhere") == (
        'shutdown.moving_to: expected host:port, [v6 address]:port, or a path with network "unix"',
    )
    assert load(write(shutdown={"notice_ms": 1000, "moving_to": "there:6379"})).shutdown.moving_to == "there:6379"
