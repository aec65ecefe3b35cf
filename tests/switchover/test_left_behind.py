"""What clients feel of a new server although the data is the same: what differs, what is carried, what is not told."""

from __future__ import annotations

from typing import Any

from redisproxy.servers.acl import users_of
from redisproxy.servers.equipment import Equipment
from redisproxy.servers.felt_settings import FELT_SETTINGS
from redisproxy.switchover.left_behind import MAX_ROWS, Difference, LeftBehind, table

SECRET = b"#" + b"ab12" * 16
OLD: dict[str, Any] = {
    "settings": {"maxmemory": "100", "maxmemory-policy": "allkeys-lru", "timeout": "0", "maxclients": "10"},
    "users": users_of([b"user default on nopass +@all", b"user app on " + SECRET + b" ~* +@all"]),
    "modules": frozenset({"search"}),
    "functions": frozenset({"library"}),
    "commands": frozenset({"get", "ft.search", "config|get"}),
}
NEW: dict[str, Any] = {
    "settings": {"maxmemory": "50", "maxmemory-policy": "noeviction", "timeout": "0"},
    "users": users_of([b"user default on " + SECRET + b" +@all"]),
    "modules": frozenset(),
    "functions": frozenset(),
    "commands": frozenset({"get"}),
}


def compared(*carry: str, functions: bool = False, old: Any = OLD, new: Any = NEW) -> LeftBehind:
    return LeftBehind(Equipment(**old), Equipment(**new), frozenset(carry), b"default", functions)


def rows(left: LeftBehind) -> dict[str, Difference]:
    return {f"{each.kind} {each.name}": each for each in left.differences()}


def test_every_difference_is_a_row_with_its_effect() -> None:
    found = rows(compared(functions=True))
    assert set(found) == {
        "setting maxmemory", "setting maxmemory-policy", "setting maxclients", "user app", "module search",
        "function library", "commands ft.search",
    }  # fmt: skip
    policy = found["setting maxmemory-policy"]
    assert (policy.old, policy.new, policy.carried) == ("allkeys-lru", "noeviction", False)
    assert found["setting maxclients"].new == "(has no such setting)"
    assert all(each.effect for each in found.values()) and "ab12" not in str(found)
    assert "function library" not in rows(compared()), "replication brings functions"


def test_settings_of_the_machine_are_not_carried_nor_the_user_of_the_proxy() -> None:
    left = compared("config", "acl")
    assert [setting.names[0] for setting, _ in left.settings] == ["maxmemory-policy"]
    assert [user.name for user in left.users] == [b"app"]
    carried = {name for name, each in rows(left).items() if each.carried}
    assert carried == {"setting maxmemory-policy", "user app"}
    closed = users_of([b"user default off +@all"])
    assert compared("acl", new=NEW | {"users": closed}).users[0].name == b"app", "default is whom the proxy logs in as"


def test_what_a_server_does_not_tell_is_said_and_not_compared() -> None:
    silent = {"settings": {"maxmemory": "100"}, "unasked": (("settings", "CONFIG: NOPERM"), ("users", "ACL: NOPERM"))}
    found = rows(compared("config", "acl", new=silent))
    assert set(found) == {
        "not compared settings, but for those that INFO tells",
        "not compared ACL users and their rules",
    }
    assert "NOPERM" in found["not compared ACL users and their rules"].effect


def test_names_of_a_server_can_not_disturb_the_table() -> None:
    users = users_of([b"user \x1b[31mred\xff" + b"x" * 500 + b" on"])
    (row,) = table(list(compared(old=NEW | {"users": users}, new=NEW).differences()))
    assert row["name"].isprintable() and len(row["name"]) < 200
    many = [Difference("user", str(number), "", "", "") for number in range(500)]
    assert len(table(many)) == MAX_ROWS + 1 and table(many)[-1]["name"] == "400 differences"


def test_every_setting_has_a_reason_and_stands_there_once() -> None:
    names = [name for setting in FELT_SETTINGS for name in setting.names]
    assert len(names) == len(set(names)) and all(setting.effect for setting in FELT_SETTINGS)


def test_values_that_mean_the_same_are_the_same() -> None:
    canonical = {setting.names[0]: setting.canonical for setting in FELT_SETTINGS}
    assert canonical["notify-keyspace-events"]("AKE") == canonical["notify-keyspace-events"]("Eg$lshztdxeK")
    limits = canonical["client-output-buffer-limit"]
    assert limits("normal 0 0 0 slave 1 2 3 pubsub 4 5 6") == limits("normal 0 0 0 replica 7 8 9 pubsub 4 5 6")
    assert canonical["appendonly"]("1") == canonical["appendonly"]("yes")
