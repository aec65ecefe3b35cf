"""Before the pause: looks at both servers and has the new one follow the old one."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from redisproxy.servers.control_connection import ServerSaidNo
from redisproxy.switchover import preflight
from redisproxy.switchover.replica import Following
from redisproxy.switchover.report import SwitchoverFailed

if TYPE_CHECKING:
    from redisproxy.switchover.context import Context


class Replication:
    """The steps preflight and replicate."""

    def __init__(self, context: Context) -> None:
        self._servers = context.servers
        self._clients = context.dataplane.clients
        self._settings = context.settings
        self._journal = context.journal
        self._state = context.state

    async def look(self) -> None:
        """See whether it may begin.

        @raise SwitchoverFailed: it may not.
        """
        servers, state = self._servers, self._state
        at_old, at_new = await servers.reach_old(), await servers.reach_new()
        proxies = await at_old.is_redisproxy(), await at_new.is_redisproxy()
        _refuse(preflight.proxy_faults(*proxies))
        state.old, state.new = await at_old.state(), await at_new.state()
        state.source = self._source()
        state.following = Following(state.source, *self._settings.replication_credentials(servers.old_uplink))
        highest_db = await self._clients.highest_db()
        _refuse(list(preflight.faults(state.old, state.new, state.source, highest_db)) or await self._rights())
        self._journal.warn(preflight.warnings(state.old, state.new))
        self._journal.report["versions"] = [state.old.product, state.new.product]

    def _source(self) -> preflight.Source:
        servers, settings = self._servers, self._settings
        try:
            return preflight.source_of(
                self._state.old,
                servers.old_uplink,
                servers.new_uplink.address,
                settings.replicate_from_address,
                settings.replicate_over_tls,
            )
        except ValueError as error:
            raise SwitchoverFailed(str(error), refused=True) from None

    async def _rights(self) -> list[str]:
        """Try what will be needed in a way that changes nothing."""
        servers, state = self._servers, self._state
        same = ("CONFIG", "SET", "min-replicas-to-write", state.old.min_replicas)
        (reply,) = await servers.old.ask_all(same)
        told = [f"the fence would not work: {reply}"] if isinstance(reply, ServerSaidNo) else []
        if not preflight.follows(state.new, state.old, state.source):
            told += await state.following.faults(servers.open_old, servers.new)
        return told

    async def look_external(self) -> None:
        """In external mode: somebody else answers for the data."""
        info = await (await self._servers.reach_new()).replication()
        self._journal.report["role_of_new"] = info.role

    async def begin(self) -> None:
        """Have the new server follow the old one, unless it does."""
        state = self._state
        if preflight.follows(state.new, state.old, state.source):
            return
        state.follows = True
        await state.following.begin(self._servers.new)


def _refuse(faults: Iterable[str]) -> None:
    text = "\n".join(faults)
    if text:
        raise SwitchoverFailed(text, refused=True)
