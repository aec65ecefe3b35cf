"""Bugs in what a switchover makes of hooks; see L{planted}."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any
from unittest.mock import patch

from redisproxy.switchover.hooks import Hooks
from redisproxy.switchover.rollback import Rollback

Patches = Iterator[Any]


def _history_not_compared() -> Patches:
    """Whatever the promote hook has promoted is taken for what has followed."""
    original = Hooks.promote

    async def promote(self: Hooks) -> bool:
        await original(self)
        return True

    yield patch.object(Hooks, "promote", promote)


def _undone_without_lifting_the_fence() -> Patches:
    """What a hook has begun is undone by its hook, and the fence stays."""
    original = Rollback._unfence

    async def unfence(self: Rollback, attempt: int) -> None:
        if not self._effects.hooked:
            await original(self, attempt)

    yield patch.object(Rollback, "_unfence", unfence)


HOOKS: dict[str, Callable[[], Patches]] = {
    "history-not-compared": _history_not_compared,
    "undone-without-lifting-the-fence": _undone_without_lifting_the_fence,
}
