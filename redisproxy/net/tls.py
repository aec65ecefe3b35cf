"""From settings to TLS contexts, for both legs; new connections get a new context when its files have changed.

Contexts and handshake are pyOpenSSL's, the check of the server's name is service-identity's. A context is not changed
once it was used, but replaced: connections keep the one they began with.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from OpenSSL import SSL, crypto
from service_identity import CertificateError, VerificationError
from service_identity.hazmat import DNS_ID, IPAddress_ID, verify_service_identity
from service_identity.pyopenssl import extract_patterns
from twisted.internet.abstract import isIPAddress, isIPv6Address
from twisted.internet.interfaces import IOpenSSLClientConnectionCreator, IOpenSSLServerConnectionCreator
from twisted.python.failure import Failure
from zope.interface import implementer

from redisproxy.config.certificates import TLSFault, certificates, private_key
from redisproxy.config.endpoint import Endpoint
from redisproxy.config.followed_files import FollowedFiles
from redisproxy.config.uplink import UplinkSettings
from redisproxy.figures.metrics import Handshakes

# From openssl/ssl.h; pyOpenSSL does not name it. A client can't make the proxy shake hands for ever.
OP_NO_RENEGOTIATION = 1 << 30


@implementer(IOpenSSLServerConnectionCreator)
class ServerTLS:
    """The TLS side of one listener.

    @ivar contexts: made of the files of its certificates.
    @ivar handshake_timeout_s: a client whose handshake takes longer is disconnected.
    @ivar handshakes: what became of those that were begun.
    """

    def __init__(self, contexts: FollowedFiles[SSL.Context], handshake_timeout_s: float) -> None:
        self.contexts = contexts
        self.handshake_timeout_s = handshake_timeout_s
        self.handshakes = Handshakes()

    def serverConnectionForTLS(self, tlsProtocol: Any) -> SSL.Connection:
        """Part of C{IOpenSSLServerConnectionCreator}."""
        return SSL.Connection(self.contexts.current(), None)

    def replace(self, other: ServerTLS) -> None:
        """Use the certificates and the limit of `other` for every connection from now on."""
        self.contexts = other.contexts
        self.handshake_timeout_s = other.handshake_timeout_s


class CertificateRefused(Exception):
    """The server's certificate does not verify, or is not for the expected name. C{str()} says which."""


@implementer(IOpenSSLClientConnectionCreator)
class ClientTLS:
    """The TLS side of the uplink: verifies the server's certificate and name, or, when asked, neither.

    The callback is our own because the one of C{optionsForClientTLS} lets a certificate pass that has no usable
    subjectAltName: service-identity raises C{CertificateError} there, which it only logs.
    """

    def __init__(self, contexts: FollowedFiles[SSL.Context], hostname: str, verify: bool) -> None:
        """
        @param contexts: made of the files of its certificates.
        @param hostname: the name or IP address that the certificate has to be for; a name is sent as SNI as well.
        @raise TLSFault: it is no host name.
        """
        self._contexts = contexts
        self._verify = verify
        self._hostname = hostname
        self._is_ip = isIPAddress(hostname) or isIPv6Address(hostname)
        self._name = hostname if self._is_ip else _ascii(hostname)

    def clientConnectionForTLS(self, tlsProtocol: Any) -> SSL.Connection:
        """Part of C{IOpenSSLClientConnectionCreator}; C{failVerification} is told why a server is refused."""
        connection = SSL.Connection(self._contexts.current(), None)
        if self._name and not self._is_ip:
            connection.set_tlsext_host_name(self._name.encode("ascii"))
        if self._verify:
            connection.set_verify(SSL.VERIFY_PEER, self._verifier(tlsProtocol))
        return connection

    def _verifier(self, protocol: Any) -> Callable[[SSL.Connection, crypto.X509, int, int, int], bool]:
        def verified(connection: SSL.Connection, certificate: crypto.X509, code: int, depth: int, ok: int) -> bool:
            # An exception that leaves an OpenSSL callback is lost, so whatever goes wrong here refuses the server.
            try:
                self._judge(certificate, code, depth, ok)
            except Exception:
                protocol.failVerification(Failure())
                return False
            return True

        return verified

    def _judge(self, certificate: crypto.X509, code: int, depth: int, ok: int) -> None:
        if not ok:
            why = _VERIFY_CODES.get(code, f"OpenSSL verification error {code}")
            raise CertificateRefused(f"the server's certificate can't be verified: {why}")
        if depth == 0:
            expected: Any = IPAddress_ID(self._name) if self._is_ip else DNS_ID(self._name)
            try:
                verify_service_identity(extract_patterns(certificate), [expected], [])
            except (VerificationError, CertificateError):
                raise CertificateRefused(f"the server's certificate is not for {self._hostname}") from None


# From openssl/x509_vfy.h: what an operator meets; OpenSSL's own texts can't be reached through pyOpenSSL.
_VERIFY_CODES = {
    2: "the certificate of its issuer is not in cacertfile",
    9: "it is not valid yet",
    10: "it has expired",
    18: "it is self-signed and not in cacertfile",
    19: "the root of its chain is not in cacertfile",
    20: "its issuer is not in cacertfile",
    21: "its issuer is not in cacertfile",
    26: "it is not meant for servers",
}


def _ascii(hostname: str) -> str:
    try:
        name = hostname.removesuffix(".")
        return name if name.isascii() else name.encode("idna").decode("ascii")
    except UnicodeError:
        raise TLSFault("server_name: this is no host name") from None


def _own_certificate(context: SSL.Context, certfile: str, keyfile: str) -> None:
    chain = certificates("certfile", certfile)
    key = private_key(keyfile)
    if _public_key(certfile, chain[0]) != key.public_key():
        raise TLSFault(f"keyfile: {keyfile} does not belong to the certificate in {certfile}")
    try:
        context.use_certificate(chain[0])
        for certificate in chain[1:]:
            context.add_extra_chain_cert(certificate)
        context.use_privatekey(key)
        context.check_privatekey()
    except (SSL.Error, TypeError) as error:
        raise TLSFault(f"certfile: OpenSSL does not accept {certfile} with its key{_reason(error)}") from None


def _public_key(certfile: str, certificate: x509.Certificate) -> object:
    try:
        return certificate.public_key()
    except (ValueError, UnsupportedAlgorithm):
        raise TLSFault(f"certfile: {certfile} has a kind of key that is not supported") from None


def _reason(error: Exception) -> str:
    """OpenSSL's own words, such as C{ee key too small}."""
    queue = error.args[0] if error.args and isinstance(error.args[0], list) else []
    return f": {queue[-1][-1]}" if queue else ""


def _base_context(method: int) -> SSL.Context:
    context = SSL.Context(method)
    context.set_min_proto_version(SSL.TLS1_2_VERSION)
    context.set_options(SSL.OP_NO_COMPRESSION | OP_NO_RENEGOTIATION)
    context.set_mode(SSL.MODE_RELEASE_BUFFERS)
    return context


def server_tls(endpoint: Endpoint, handshake_timeout_s: float = 30.0) -> ServerTLS:
    """The context of a listener; with C{cacertfile} a client without a certificate that verifies is turned away.

    @raise TLSFault: its files can't be used.
    """
    contexts = FollowedFiles(_files(endpoint), partial(_server_context, endpoint))
    return ServerTLS(contexts, handshake_timeout_s)


def _files(endpoint: Endpoint) -> list[str]:
    return [path for path in (endpoint.certfile, endpoint.keyfile, endpoint.cacertfile) if path]


def _server_context(endpoint: Endpoint) -> SSL.Context:
    context = _base_context(SSL.TLS_SERVER_METHOD)
    assert endpoint.certfile is not None and endpoint.keyfile is not None
    _own_certificate(context, endpoint.certfile, endpoint.keyfile)
    # A session resumed under another listener's rules would skip its client certificate check.
    identity = hashlib.sha256(f"{endpoint.addr} {endpoint.cacertfile}".encode()).digest()
    context.set_session_id(identity[:32])
    if endpoint.cacertfile:
        _trust(context, endpoint.cacertfile)
        context.set_verify(SSL.VERIFY_PEER | SSL.VERIFY_FAIL_IF_NO_PEER_CERT, lambda *args: bool(args[4]))
    return context


def _trust(context: SSL.Context, cacertfile: str) -> None:
    store = context.get_cert_store()
    assert store is not None
    for certificate in certificates("cacertfile", cacertfile):
        store.add_cert(crypto.X509.from_cryptography(certificate))


def client_tls(uplink: Endpoint, hostname: str) -> ClientTLS:
    """The context for connections to a server, or to a peer.

    @param hostname: the name or IP address that the server's certificate has to be for.
    @raise TLSFault: its files can't be used.
    """
    contexts = FollowedFiles(_files(uplink), partial(_client_context, uplink))
    return ClientTLS(contexts, hostname, not uplink.skipverify)


def _client_context(uplink: Endpoint) -> SSL.Context:
    context = _base_context(SSL.TLS_CLIENT_METHOD)
    if uplink.certfile and uplink.keyfile:
        _own_certificate(context, uplink.certfile, uplink.keyfile)
    if not uplink.skipverify:
        assert uplink.cacertfile is not None
        _trust(context, uplink.cacertfile)
    return context


def uplink_tls(uplink: UplinkSettings) -> ClientTLS | None:
    """The context for the server at C{uplink.address}; None without TLS.

    @raise TLSFault: its files can't be used.
    """
    return client_tls(uplink, uplink.server_name or str(getattr(uplink.address, "host", ""))) if uplink.tls else None


def sentinel_tls(uplink: UplinkSettings, host: str) -> ClientTLS | None:
    """The context for the sentinel at `host`; None without TLS.

    @raise TLSFault: the files of the uplink can't be used, or its name is none.
    """
    try:
        return client_tls(uplink, uplink.sentinel_server_name or host) if uplink.tls_to_sentinels else None
    except TLSFault as fault:
        key = "sentinel_server_name" if uplink.sentinel_server_name else "sentinels"
        raise TLSFault(str(fault).replace("server_name", key, 1)) from None


def faults(endpoint: Endpoint) -> Iterator[str]:
    """Build every context that `endpoint` needs, and say what is wrong with its files: C{key: what is wrong}."""
    for build in _builders(endpoint):
        try:
            build()
        except TLSFault as fault:
            yield str(fault)


def _builders(endpoint: Endpoint) -> Iterator[Callable[[], object]]:
    if isinstance(endpoint, UplinkSettings):
        yield partial(uplink_tls, endpoint)
        yield from (partial(sentinel_tls, endpoint, each.host) for each in endpoint.sentinel_addresses)
    elif endpoint.tls:
        yield partial(server_tls, endpoint)
