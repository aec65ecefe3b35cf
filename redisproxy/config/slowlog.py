"""The section C{slowlog}: which commands are noted as slow."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from redisproxy.config.section import MillisecondsOrOff, Section


class SlowlogSettings(Section):
    """Commands that take at least C{threshold_ms} are noted, the last C{max_entries} of them in each process; 0: none.

    Without C{keys} their keys are not.
    """

    threshold_ms: MillisecondsOrOff = 100
    max_entries: Annotated[int, Field(ge=1, le=10_000)] = 128
    keys: bool = True
