from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred

from redisproxy.forwarding.command_figures import CommandFigures as CommandFigures
from redisproxy.forwarding.entry import Entry as Entry
from redisproxy.forwarding.lane import Lane as Lane
from redisproxy.forwarding.queue import Flow as Flow
from redisproxy.forwarding.queue import Queue as Queue
from redisproxy.resp import ReplyScanner as ReplyScanner
from redisproxy.resp import RequestFramer as RequestFramer
from redisproxy.resp import encode_command as encode_command
from redisproxy.resp import encode_each as encode_each
from redisproxy.resp import parse_replies as parse_replies

class Connection:
    protocol: Any
    disconnecting: bool
    connected: bool
    @property
    def detachable(self) -> bool: ...
    def begin(self, protocol: Any) -> None: ...
    def adopt(self, protocol: Any, unread: bytes, unsent: bytes) -> None: ...
    def detach(self) -> Any: ...
    def discard(self) -> None: ...
    def __init__(self, hub: Hub, fd: int) -> None: ...

class TLSConnection(Connection):
    def start_tls(
        self,
        tls: Any,
        pointers: tuple[int, int, int],
        is_server: bool,
        waiting: Any,
        deadline: Any,
        handshakes: Any = None,
    ) -> None: ...
    def overdue(self) -> None: ...

def bind_openssl(address: Callable[[str], int]) -> None: ...

class Listener:
    def __init__(
        self,
        hub: Hub,
        fd: int,
        accepted: Callable[[Any], None],
        is_tcp: bool,
        kind: type[Connection] = ...,
    ) -> None: ...
    def resume(self) -> None: ...
    def close(self) -> None: ...

class Dialer:
    def __init__(self, hub: Hub, fd: int, kind: type[Connection], waiting: Deferred[Connection]) -> None: ...
    def cancel(self) -> None: ...

class Hub:
    def __init__(
        self,
        schedule: Callable[[Callable[[], None]], object],
        failed: Callable[[Any], None],
        address_of: Callable[[int, bool], Any],
        out_of_descriptors: Callable[[int, Listener], None],
        connect_error: Callable[[int], Exception],
        detached: Callable[[int, bytes, bytes], Any],
        not_detachable: Callable[[str], Exception],
    ) -> None: ...
    def __len__(self) -> int: ...
    def fileno(self) -> int: ...
    def logPrefix(self) -> str: ...
    def connectionLost(self, reason: Any) -> None: ...
    def doRead(self) -> None: ...
    def end_of_turn(self, call: Callable[[], None]) -> None: ...
    def close(self) -> None: ...
