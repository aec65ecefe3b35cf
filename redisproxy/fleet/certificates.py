"""The certificates between peers: that of the port, and those with which peers are called.

Files are read again when they have changed, and others are taken after a reload that names them. What can't be used
changes nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from twisted.logger import Logger

from redisproxy.config.certificates import TLSFault
from redisproxy.net.tls import ClientTLS, ServerTLS, client_tls, server_tls

if TYPE_CHECKING:
    from collections.abc import Callable

    from redisproxy.config.endpoint import Endpoint

MAX_HOSTS = 64


class PortTLS(ServerTLS):
    """That of the port where peers connect.

    @param listen: its settings of the moment; None without a fleet.
    @raise TLSFault: the files can't be used.
    """

    log = Logger(namespace="redisproxy.fleet")

    def __init__(self, listen: Callable[[], Endpoint | None], endpoint: Endpoint) -> None:
        made = server_tls(endpoint)
        super().__init__(made.contexts, made.handshake_timeout_s)
        self._listen, self._made_for = listen, endpoint

    def serverConnectionForTLS(self, tlsProtocol: Any) -> Any:
        """Part of C{IOpenSSLServerConnectionCreator}."""
        now = self._listen()
        if now is not None and now is not self._made_for:
            self._made_for = now
            self._take(now)
        return super().serverConnectionForTLS(tlsProtocol)

    def _take(self, endpoint: Endpoint) -> None:
        try:
            self.replace(server_tls(endpoint))
        except TLSFault as fault:
            self.log.error("fleet.listen.{fault}; the certificate before stays in use", fault=fault)


class CallingTLS:
    """Those with which peers are called, by the host that the peer's certificate has to be for."""

    def __init__(self) -> None:
        self._endpoint: Endpoint | None = None
        self._made: dict[str, ClientTLS] = {}

    def of(self, endpoint: Endpoint, host: str) -> ClientTLS:
        """
        @raise TLSFault: the files can't be used, and nothing was made of them before.
        """
        if endpoint is not self._endpoint or len(self._made) >= MAX_HOSTS:
            self._endpoint, self._made = endpoint, {}
        if host not in self._made:
            self._made[host] = client_tls(endpoint, host)
        return self._made[host]
