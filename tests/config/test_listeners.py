"""Who may use a listener, as far as the configuration has to say it."""

from __future__ import annotations

from typing import Any

from tests.config.loading import faults, load


def test_an_open_admin_address_has_to_be_asked_for_or_guarded(write: Any) -> None:
    assert load(write(admin={"addr": "0.0.0.0:1", "allow_open": True})).admin
    assert load(write(admin={"addr": "0.0.0.0:1", "pass": "x"})).admin


def test_the_raw_relay_has_no_password(write: Any) -> None:
    found = faults(write(listen_raw={"addr": ":1", "pass": "hush"}))
    assert found == ("listen_raw.pass: the raw relay does not support authentication by the proxy",)
