"""The section C{opentelemetry}: a collector that gets the figures, and a span for each move."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from redisproxy.config.extras import installed
from redisproxy.config.section import Section, Text

_ADDRESS = re.compile(r"https?://[^\s/@?#]+(/[^\s@?#]*)?")
LIBRARIES = ("opentelemetry.sdk", "opentelemetry.exporter.otlp.proto.http")


class OpenTelemetrySettings(Section):
    """A collector, which takes OTLP over HTTP at C{endpoint}, gets figures every C{interval_ms}, and spans of moves."""

    endpoint: Text
    interval_ms: Annotated[int, Field(ge=100, le=3_600_000)] = 10_000

    @model_validator(mode="after")
    def _check(self) -> OpenTelemetrySettings:
        if not _ADDRESS.fullmatch(self.endpoint):
            text = ".endpoint: not an address such as http://collector:4318, without a user or a password"
            raise PydanticCustomError("not_an_address", text)
        if not all(map(installed, LIBRARIES)):
            raise PydanticCustomError(
                "not_installed", "needs libraries that are not installed: pip install 'redisproxy[otel]'"
            )
        return self
