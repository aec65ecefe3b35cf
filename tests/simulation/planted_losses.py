"""Bugs in what control plane and data plane do when the connection between them is lost; see L{planted}.

Only runs with the boundary find them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

from redisproxy.control.configuration import Configuration
from redisproxy.control.move import Move
from redisproxy.dataplane.interface import DataPlaneLost
from redisproxy.remote import interrupted
from redisproxy.remote.interrupted import Verdict
from redisproxy.remote.order_client import OrderClient
from redisproxy.remote.served import ServedDataPlane
from redisproxy.switchover.rollback import Rollback

if TYPE_CHECKING:
    from redisproxy.control.configuration import Candidate

Patches = Iterator[Any]


def _released_at_the_old() -> Patches:
    """The data plane lets its clients go on at the old server, although the new one was promoted."""
    yield patch.object(interrupted, "verdict", lambda old, new, writable, mark: Verdict.STAY)


def _gone_without_asking() -> Patches:
    """The data plane goes to the new server, whatever the servers say."""
    yield patch.object(interrupted, "verdict", lambda old, new, writable, mark: Verdict.GO if new else Verdict.STAY)


def _held_after_a_loss() -> Patches:
    """The data plane waits for the control plane that was lost."""
    yield patch.object(ServedDataPlane, "lost", lambda self, link: None)


def _answer_to_another() -> Patches:
    """An answer is taken for that to the order that waits longest."""
    original = OrderClient._answered

    def answered(self: OrderClient, response: dict[str, Any], number: int) -> None:
        original(self, response, min(self._waiting, default=number))

    yield patch.object(OrderClient, "_answered", answered)


def _undone_after_a_loss() -> Patches:
    """The control plane undoes a promotion although it does not know where the data plane goes."""

    async def clients_stay(self: Rollback) -> bool:
        return True

    yield patch.object(Rollback, "_clients_stay", clients_stay)


def _done_without_an_answer() -> Patches:
    """A swap whose answer was lost counts as done."""

    async def swap(self: Move, candidate: Candidate) -> None:
        with suppress(DataPlaneLost):
            await self._dataplane.move.swap()
        self._configuration.take(candidate)

    yield patch.object(Move, "swap", swap)


def _settings_not_learned() -> Patches:
    """After a loss the control plane goes on with the settings that it had, whatever is in force."""
    yield patch.object(Configuration, "found_in_force", lambda self, settings: None)


LOSSES: dict[str, Callable[[], Patches]] = {
    "released-at-the-old": _released_at_the_old,
    "gone-without-asking": _gone_without_asking,
    "held-after-a-loss": _held_after_a_loss,
    "answer-to-another": _answer_to_another,
    "undone-after-a-loss": _undone_after_a_loss,
    "done-without-an-answer": _done_without_an_answer,
    "settings-not-learned": _settings_not_learned,
}
