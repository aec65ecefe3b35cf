"""Reads what Prometheus would, and holds it to Prometheus's conventions."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families

Labels = frozenset[tuple[str, str]]


def read(text: bytes) -> Mapping[tuple[str, Labels], float]:
    """The value of every sample by its name and labels.

    @raise AssertionError: it breaks a convention.
    """
    values: dict[tuple[str, Labels], float] = {}
    for family in text_string_to_metric_families(text.decode()):
        assert family.documentation and family.type in ("counter", "gauge", "histogram"), family.name
        counter = family.type == "counter"
        for sample in family.samples:
            key = sample.name, frozenset(sample.labels.items())
            assert key not in values, f"{key} twice"
            assert counter == sample.name.endswith("_total"), sample.name
            values[key] = sample.value
    for (name, labels), value in values.items():
        if name.endswith("_count"):
            assert values[name.removesuffix("_count") + "_bucket", labels | {("le", "+Inf")}] == value
    return values


def lint(text: bytes) -> str:
    """What C{promtool check metrics} says; nothing where there is none."""
    promtool = shutil.which("promtool") or shutil.which("promtool", path=Path(sys.executable).parent)
    if promtool is None:
        return "there is no promtool here" if os.environ.get("CI") else ""
    done = subprocess.run([promtool, "check", "metrics"], input=text, capture_output=True, timeout=30, check=False)
    return (done.stdout + done.stderr).decode()
