"""Settings that need a library which is not always installed: what is said where it is missing."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.config.loading import faults, load

BASE = {"uplink": {"addr": "10.0.0.1:6379"}, "listen": {"addr": ":7010"}}


def written(tmp_path: Path, **sections: Any) -> str:
    path = tmp_path / "config.json"
    path.write_text(json.dumps({**BASE, **sections}))
    return str(path)


def test_hot_keys_are_off_by_default(tmp_path: Path) -> None:
    assert load(written(tmp_path)).hot_keys.sample == 0
    assert load(written(tmp_path, hot_keys={"sample": 100})).hot_keys.kept == 100


def test_without_its_library_a_setting_is_refused_with_how_to_get_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "datasketches", None)
    (fault,) = faults(written(tmp_path, hot_keys={"sample": 100}))
    assert fault.startswith("hot_keys.sample: needs a library") and "pip install 'redisproxy[hot-keys]'" in fault
    assert load(written(tmp_path, hot_keys={"kept": 5})).hot_keys.kept == 5


def test_a_collector_is_named_by_its_address(tmp_path: Path) -> None:
    found = load(written(tmp_path, opentelemetry={"endpoint": "http://collector:4318"})).opentelemetry
    assert found is not None and found.interval_ms == 10_000
    for wrong in ("collector:4318", "http://user:secret@collector:4318", "http://", "grpc://collector:4317"):
        (fault,) = faults(written(tmp_path, opentelemetry={"endpoint": wrong}))
        assert fault.startswith("opentelemetry.endpoint: ") and "secret" not in fault


@pytest.mark.parametrize("missing", ["opentelemetry.sdk", "opentelemetry.exporter.otlp.proto.http"])
def test_without_its_libraries_there_is_no_collector(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, missing: str
) -> None:
    monkeypatch.setitem(sys.modules, missing, None)
    (fault,) = faults(written(tmp_path, opentelemetry={"endpoint": "http://collector:4318"}))
    assert fault.startswith("opentelemetry: needs libraries") and "pip install 'redisproxy[otel]'" in fault
