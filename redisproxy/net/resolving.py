"""What a name points to: asked of the system, or of one name server, which tells for how long its answer holds."""

from __future__ import annotations

import socket
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import CancelledError, Deferred, ensureDeferred
from twisted.internet.error import DNSLookupError
from twisted.internet.threads import deferToThreadPool
from twisted.names import client, dns
from twisted.names.error import DomainError, ResolverError
from twisted.python.failure import Failure

from redisproxy.net.deferreds import all_settled

if TYPE_CHECKING:
    from redisproxy.config import TcpAddress

TRIES_S = (1, 2)
"""How long a name server is waited for, each time."""
OTHER_KIND_S = 0.25
"""How much longer than for addresses of one kind it is waited for those of the other: not every name server answers
questions for AAAA."""
MAX_HOSTS = 16


@dataclass(frozen=True)
class Pointing:
    """What a name points to.

    @ivar hosts: IP addresses, each once, at most 16, in the order of the answer.
    @ivar ttl_s: for how long that holds; None when it is not known.
    """

    hosts: tuple[str, ...]
    ttl_s: float | None = None


def look_up(reactor: Any, host: str, nameserver: TcpAddress | None) -> Deferred[Pointing]:
    """Look a name up. Fails with C{DNSLookupError} when it has no address, or nobody answers in time.

    @param nameserver: None asks the system (C{/etc/hosts}, search domains), which does not tell for how long it holds.
    """
    if nameserver is None:
        asked = deferToThreadPool(
            reactor, reactor.getThreadPool(), socket.getaddrinfo, host, None, type=socket.SOCK_STREAM
        )
        return asked.addCallbacks(_of_the_system, _unknown, errbackArgs=(host,))
    return ensureDeferred(_ask(reactor, host, nameserver))


def _of_the_system(found: list[Any]) -> Pointing:
    return Pointing(_once([place[0] for _, _, _, _, place in found]))


def _unknown(failure: Failure, host: str) -> Failure:
    failure.trap(OSError, UnicodeError)
    return Failure(DNSLookupError(f"{host} can't be looked up: {failure.getErrorMessage()}"))


async def _ask(reactor: Any, host: str, nameserver: TcpAddress) -> Pointing:
    """
    @raise DNSLookupError: there is no address.
    """
    resolver = client.Resolver(servers=[(nameserver.host, nameserver.port)], timeout=TRIES_S, reactor=reactor)
    asked = [resolver.lookupAddress(host), resolver.lookupIPV6Address(host)]
    for one, other in (asked, asked[::-1]):
        one.addErrback(_given_up).addCallback(_hurry, other, reactor)
    answers = await all_settled(asked)
    records = [record for good, answer in answers if good for record in answer[0]]
    hosts = _once([each for record in records if (each := _address(record))])
    if not hosts:
        raise DNSLookupError(f"{host} can't be looked up at the name server {nameserver}: {_reason(answers)}")
    return Pointing(hosts, float(min(record.ttl for record in records)))


def _given_up(failure: Failure) -> Failure:
    return Failure(TimeoutError()) if failure.check(CancelledError) else failure


def _hurry(answer: Any, other: Deferred[Any], reactor: Any) -> Any:
    if any(_address(record) for record in answer[0]):
        reactor.callLater(OTHER_KIND_S, other.cancel)
    return answer


def _address(record: Any) -> str:
    if record.type == dns.A:
        return str(record.payload.dottedQuad())
    return socket.inet_ntop(socket.AF_INET6, record.payload.address) if record.type == dns.AAAA else ""


def _reason(answers: list[tuple[bool, Any]]) -> str:
    failures = [answer for good, answer in answers if not good]
    if any(not each.check(DomainError, ResolverError) for each in failures):
        return "it does not answer"
    return "it knows no address"


def _once(hosts: list[Any]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(str(host) for host in hosts))[:MAX_HOSTS]
