"""What differs between two configurations, and what of it can not be taken while the proxy runs."""

from __future__ import annotations

from typing import Any

from redisproxy import config
from tests.config.loading import load


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
