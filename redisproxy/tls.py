"""From settings to TLS contexts, for both legs; a server's context can be replaced while it serves.

Contexts, handshake and verification are pyOpenSSL's and service-identity's, through Twisted's own options.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from OpenSSL import SSL, crypto
from twisted.internet import ssl
from twisted.internet.interfaces import IOpenSSLClientConnectionCreator, IOpenSSLServerConnectionCreator
from zope.interface import implementer

if TYPE_CHECKING:
    from redisproxy.config.model import Endpoint, UplinkSettings


# From openssl/ssl.h; pyOpenSSL does not name it. A client can't make the proxy shake hands for ever.
OP_NO_RENEGOTIATION = 1 << 30


class TLSFault(Exception):
    """Certificates or keys can't be used. C{str()} begins with the key that names the file."""


@implementer(IOpenSSLServerConnectionCreator)
class ServerTLS:
    """The TLS side of one listener. Connections that are open keep the context they began with."""

    def __init__(self, context: SSL.Context) -> None:
        self.context = context

    def serverConnectionForTLS(self, tlsProtocol: Any) -> SSL.Connection:
        """Part of C{IOpenSSLServerConnectionCreator}."""
        return SSL.Connection(self.context, None)

    def replace(self, other: ServerTLS) -> None:
        """Use the certificates of `other` for every connection from now on."""
        self.context = other.context


@implementer(IOpenSSLClientConnectionCreator)
class ClientTLS:
    """The TLS side of the uplink: verifies the server's certificate and name, or, when asked, neither."""

    def __init__(self, creator: Any) -> None:
        self._creator = creator

    def clientConnectionForTLS(self, tlsProtocol: Any) -> SSL.Connection:
        """Part of C{IOpenSSLClientConnectionCreator}."""
        connection: SSL.Connection = self._creator.clientConnectionForTLS(tlsProtocol)
        return connection


@implementer(IOpenSSLClientConnectionCreator)
class _Unverified:
    """Sends the server's name and believes whoever answers."""

    def __init__(self, hostname: str, context: SSL.Context) -> None:
        self._hostname = hostname
        self._context = context

    def clientConnectionForTLS(self, tlsProtocol: Any) -> SSL.Connection:
        connection = SSL.Connection(self._context, None)
        if self._hostname and not _is_ip(self._hostname):
            connection.set_tlsext_host_name(self._hostname.encode("idna"))
        return connection


def _is_ip(host: str) -> bool:
    from twisted.internet.abstract import isIPAddress, isIPv6Address

    return isIPAddress(host) or isIPv6Address(host)


def _certificates(key: str, path: str) -> list[x509.Certificate]:
    """Every certificate in a PEM file, in order."""
    try:
        return x509.load_pem_x509_certificates(Path(path).read_bytes())
    except ValueError:
        raise TLSFault(f"{key}: {path} holds no certificate in PEM form") from None


def _private_key(path: str) -> Any:
    try:
        return serialization.load_pem_private_key(Path(path).read_bytes(), None)
    except TypeError:
        raise TLSFault(f"keyfile: {path} is protected by a passphrase, which is not supported") from None
    except (ValueError, UnsupportedAlgorithm):
        raise TLSFault(f"keyfile: {path} holds no private key that can be read") from None


def _own_certificate(context: SSL.Context, certfile: str, keyfile: str) -> None:
    chain = _certificates("certfile", certfile)
    key = _private_key(keyfile)
    try:
        context.use_certificate(chain[0])
        for certificate in chain[1:]:
            context.add_extra_chain_cert(certificate)
        context.use_privatekey(key)
        context.check_privatekey()
    except SSL.Error:
        raise TLSFault(f"keyfile: {keyfile} does not belong to the certificate in {certfile}") from None


def _base_context(method: int) -> SSL.Context:
    context = SSL.Context(method)
    context.set_min_proto_version(SSL.TLS1_2_VERSION)
    context.set_options(SSL.OP_NO_COMPRESSION | OP_NO_RENEGOTIATION)
    context.set_mode(SSL.MODE_RELEASE_BUFFERS)
    return context


def server_tls(endpoint: Endpoint) -> ServerTLS:
    """The context of a listener; with C{cacertfile} a client without a certificate that verifies is turned away.

    @raise TLSFault: its files can't be used.
    """
    context = _base_context(SSL.TLS_SERVER_METHOD)
    assert endpoint.certfile is not None and endpoint.keyfile is not None
    _own_certificate(context, endpoint.certfile, endpoint.keyfile)
    # A session resumed under another listener's rules would skip its client certificate check.
    identity = hashlib.sha256(f"{endpoint.addr} {endpoint.cacertfile}".encode()).digest()
    context.set_session_id(identity[:32])
    if endpoint.cacertfile:
        _trust(context, endpoint.cacertfile)
        context.set_verify(SSL.VERIFY_PEER | SSL.VERIFY_FAIL_IF_NO_PEER_CERT, lambda *args: bool(args[4]))
    return ServerTLS(context)


def _trust(context: SSL.Context, cacertfile: str) -> None:
    store = context.get_cert_store()
    assert store is not None
    for certificate in _certificates("cacertfile", cacertfile):
        store.add_cert(crypto.X509.from_cryptography(certificate))


def client_tls(uplink: UplinkSettings, hostname: str) -> ClientTLS:
    """The context for connections to the uplink.

    @param hostname: the name or IP address that the server's certificate has to be for.
    @raise TLSFault: its files can't be used.
    """
    return ClientTLS(_unverified(uplink, hostname) if uplink.skipverify else _verified(uplink, hostname))


def _unverified(uplink: UplinkSettings, hostname: str) -> _Unverified:
    context = _base_context(SSL.TLS_CLIENT_METHOD)
    if uplink.certfile and uplink.keyfile:
        _own_certificate(context, uplink.certfile, uplink.keyfile)
    return _Unverified(hostname, context)


def _verified(uplink: UplinkSettings, hostname: str) -> Any:
    assert uplink.cacertfile is not None
    options: dict[str, Any] = {}
    if uplink.certfile and uplink.keyfile:
        _own_certificate(_base_context(SSL.TLS_CLIENT_METHOD), uplink.certfile, uplink.keyfile)
        chain = [crypto.X509.from_cryptography(each) for each in _certificates("certfile", uplink.certfile)]
        key = crypto.PKey.from_cryptography_key(_private_key(uplink.keyfile))
        options = {"certificate": chain[0], "extraCertChain": chain[1:], "privateKey": key}
    roots = _certificates("cacertfile", uplink.cacertfile)
    trusted = [ssl.Certificate(crypto.X509.from_cryptography(each)) for each in roots]
    return ssl.optionsForClientTLS(
        hostname, trustRoot=ssl.trustRootFromCertificates(trusted), extraCertificateOptions=options
    )


def faults(where: str, build: Callable[[], object]) -> Iterator[str]:
    """Build a context and yield what is wrong with it, as the path of the key and a text."""
    try:
        build()
    except TLSFault as fault:
        yield f"{where}.{fault}"
