"""The orders of a move, carried out in this process: prepare, connect, bring, swap or abandon."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred, ensureDeferred, fail, maybeDeferred, succeed
from twisted.internet.interfaces import IReactorTime

from redisproxy.config.certificates import TLSFault
from redisproxy.dataplane.interface import Rejected, WrongOrder
from redisproxy.dataplane.listeners import certificates_of
from redisproxy.dataplane.prepared_move import PreparedMove

if TYPE_CHECKING:
    from redisproxy import config
    from redisproxy.client import Client
    from redisproxy.dataplane.blocked_clients import BlockedClients
    from redisproxy.dataplane.in_force import InForce
    from redisproxy.dataplane.listeners import Listeners
    from redisproxy.dataplane.turns import Turns
    from redisproxy.dataplane.uplinks import UplinkBuilder
    from redisproxy.shared.core import Core
    from redisproxy.shared.registry import ClientRegistry

Share = Callable[["config.Settings"], "config.Settings"]


class LocalMove:
    """Implements C{interface.MoveOrders}."""

    def __init__(
        self,
        core: Core,
        registry: ClientRegistry[Client],
        in_force: InForce,
        builder: UplinkBuilder,
        listeners: Listeners,
        blocked: BlockedClients,
        clock: IReactorTime,
        turns: Turns,
        share: Share,
    ) -> None:
        """
        @param share: what of whole settings is for this data plane.
        """
        self._core = core
        self._registry = registry
        self._in_force = in_force
        self._builder = builder
        self._listeners = listeners
        self._blocked = blocked
        self._clock = clock
        self._turns = turns
        self._share = share
        self._prepared: PreparedMove | None = None
        self._working: Deferred[None] | None = None

    def prepare(self, settings: config.Settings, same_listeners: bool = False) -> Deferred[None]:
        if self._prepared is not None:
            return fail(WrongOrder("a move is prepared already: abandon it first"))
        try:
            self._turns.prepare()
            self._prepared = self._prepare(self._share(settings), same_listeners)
        except Rejected as error:
            return fail(error)
        except TLSFault as error:
            self._turns.prepared = False
            return fail(Rejected(str(error)))
        return succeed(None)

    def _prepare(self, settings: config.Settings, same_listeners: bool) -> PreparedMove:
        endpoints = len(settings.listen) + len(settings.listen_raw)
        certificates = [None] * endpoints if same_listeners else certificates_of(settings)
        return PreparedMove(
            settings,
            self._builder.build(settings),
            certificates,
            self._core,
            self._registry,
            self._in_force,
            self._listeners,
            self._blocked,
            self._clock,
        )

    def connect(self) -> Deferred[None]:
        return self._work(PreparedMove.connect)

    def prove_watches(self) -> Deferred[None]:
        return self._work(lambda prepared: prepared.watches.prove())

    def bring(self) -> Deferred[None]:
        return self._work(PreparedMove.bring)

    def _work(self, work: Callable[[PreparedMove], Coroutine[Deferred[Any], Any, None]]) -> Deferred[None]:
        if self._prepared is None:
            return _nothing_prepared()
        self._working = ensureDeferred(work(self._prepared))
        return self._working

    def swap(self) -> Deferred[None]:
        if self._prepared is None:
            return _nothing_prepared()
        return maybeDeferred(self._prepared.swap).addCallback(self._swapped)

    def _swapped(self, _: None) -> None:
        self._prepared, self._turns.prepared = None, False

    def abandon(self) -> Deferred[None]:
        prepared, self._prepared, self._turns.prepared = self._prepared, None, False
        if prepared is None:
            return succeed(None)
        if self._working is not None:
            self._working.cancel()
        return maybeDeferred(prepared.abandon)


def _nothing_prepared() -> Deferred[None]:
    return fail(WrongOrder("no move is prepared"))
