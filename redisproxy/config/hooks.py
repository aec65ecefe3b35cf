"""The section C{switchover.hooks}: programs that carry out steps of a switchover which the servers let nobody do."""

from __future__ import annotations

from typing import Literal, get_args

from pydantic import Field, model_validator

from redisproxy.config.section import Command, Milliseconds, Section

HookName = Literal["replicate", "promote", "undo", "done"]
HOOKS: tuple[HookName, ...] = get_args(HookName)


class HookSettings(Section):
    """One program, and how long it may take."""

    command: Command = Field(repr=False)
    limit_ms: Milliseconds = 60_000


class HooksSettings(Section):
    """The program of each step; a step without one is carried out by the proxy."""

    replicate: HookSettings | None = None
    promote: HookSettings | None = None
    undo: HookSettings | None = None
    done: HookSettings | None = None

    @model_validator(mode="after")
    def _check(self) -> HooksSettings:
        if self.undo is not None and self.replicate is None and self.promote is None:
            raise ValueError(".undo: it undoes what the hooks replicate and promote have done, and there are none")
        return self

    def of(self, name: HookName) -> HookSettings | None:
        """The program of one step."""
        found: HookSettings | None = getattr(self, name)
        return found

    @property
    def any(self) -> bool:
        """Whether there is one."""
        return any(self.of(name) is not None for name in HOOKS)
