"""Reads a configuration as the proxy does at its start."""

from __future__ import annotations

import pytest

from redisproxy import config
from redisproxy.config import ConfigError
from redisproxy.config.settings import Settings
from redisproxy.net import tls


def load(path: str) -> Settings:
    return config.load(path, tls.faults)


def faults(path: str) -> tuple[str, ...]:
    with pytest.raises(ConfigError) as caught:
        load(path)
    assert str(caught.value) == "\n".join(caught.value.faults)
    return caught.value.faults
