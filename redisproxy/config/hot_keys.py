"""The section C{hot_keys}: whether commands are sampled for the keys that are used most, and the largest replies."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from redisproxy.config.extras import installed
from redisproxy.config.section import Section

LIBRARY = "datasketches"


class HotKeySettings(Section):
    """One of C{sample} commands is looked at, and the C{kept} keys that are used most are told; 0: none."""

    sample: Annotated[int, Field(ge=0, le=1_000_000)] = 0
    kept: Annotated[int, Field(ge=1, le=1000)] = 100

    @model_validator(mode="after")
    def _library(self) -> HotKeySettings:
        if self.sample and not installed(LIBRARY):
            raise PydanticCustomError(
                "not_installed", ".sample: needs a library that is not installed: pip install 'redisproxy[hot-keys]'"
            )
        return self
