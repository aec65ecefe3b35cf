"""TLS contexts: which servers the uplink side believes, which clients a listener lets in. Handshakes in memory."""

from __future__ import annotations

import contextlib
import datetime
import ipaddress
import os
import shutil
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from OpenSSL import SSL
from twisted.internet.interfaces import IOpenSSLClientConnectionCreator, IOpenSSLServerConnectionCreator
from zope.interface.verify import verifyObject

from redisproxy.config import RawListenSettings, UplinkSettings
from redisproxy.config.certificates import TLSFault
from redisproxy.net.tls import CertificateRefused, ServerTLS, client_tls, server_tls

NOW = datetime.datetime.now(datetime.UTC)
DAY = datetime.timedelta(days=1)
LOCALHOST: list[x509.GeneralName] = [x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]


def named(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])


class Authority:
    """Signs certificates, also such as no serious one would; files go to `folder`."""

    def __init__(self, folder: Path, name: str = "ca", parent: Authority | None = None) -> None:
        self.folder, self.name, self.parent = folder, name, parent
        self.key = ec.generate_private_key(ec.SECP256R1())
        signer = parent or self
        self.certificate = (
            self._builder(name, signer.name, self.key.public_key(), DAY)
            .add_extension(x509.BasicConstraints(True, None), critical=True)
            .sign(signer.key, hashes.SHA256())
        )
        self.file = self._write(f"{name}.pem", self.certificate)

    def _builder(self, subject: str, issuer: str, key: Any, ends: datetime.timedelta) -> x509.CertificateBuilder:
        return (
            x509.CertificateBuilder()
            .subject_name(named(subject))
            .issuer_name(named(issuer))
            .public_key(key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(NOW - 2 * DAY)
            .not_valid_after(NOW + ends)
        )

    def _write(self, name: str, *certificates: x509.Certificate) -> str:
        path = self.folder / name
        path.write_bytes(b"".join(each.public_bytes(serialization.Encoding.PEM) for each in certificates))
        return str(path)

    def issue(
        self,
        names: list[x509.GeneralName] | None,
        ends: datetime.timedelta = DAY,
        key: Any = None,
        password: bytes = b"",
    ) -> dict[str, str]:
        """A certificate with its chain, and its key: the settings of one endpoint."""
        key = key or ec.generate_private_key(ec.SECP256R1())
        builder = self._builder("localhost", self.name, key.public_key(), ends)
        if names is not None:
            builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
        chain = [self.certificate] if self.parent else []
        stem = f"{self.name}-{len(list(self.folder.iterdir()))}"
        how: Any = serialization.BestAvailableEncryption(password) if password else serialization.NoEncryption()
        keyfile = self.folder / f"{stem}.key"
        keyfile.write_bytes(key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, how))
        certfile = self._write(f"{stem}.pem", builder.sign(self.key, hashes.SHA256()), *chain)
        return {"certfile": certfile, "keyfile": str(keyfile)}


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


class Protocol:
    """What a client creator asks of the protocol that it makes a connection for, and no more."""

    refused: Any = None

    def failVerification(self, reason: Any) -> None:
        self.refused = reason.value


def listener(files: dict[str, str], **more: Any) -> ServerTLS:
    values: dict[str, Any] = {"addr": ":1", "tls": True, **files, **more}
    return server_tls(RawListenSettings(**values))


class Handshake:
    """A handshake of both ends in memory. `error` is the client's or the server's, `refused` what verification said."""

    def __init__(self, server: ServerTLS, client: SSL.Connection, protocol: Protocol | None = None) -> None:
        self.server, self.client = server.serverConnectionForTLS(None), client
        self.error: SSL.Error | None = None
        self.server.set_accept_state()
        self.client.set_connect_state()
        for _ in range(6):
            for side in (self.client, self.server):
                self._step(side)
        self.refused = protocol.refused if protocol else None
        self.ok = self.error is None and self.talk()

    def _step(self, side: SSL.Connection) -> None:
        try:
            side.do_handshake()
        except SSL.WantReadError:
            pass
        except SSL.Error as error:
            self.error = self.error or error
        self._carry()

    def _carry(self) -> None:
        for source, target in ((self.client, self.server), (self.server, self.client)):
            with contextlib.suppress(SSL.WantReadError):
                target.bio_write(source.bio_read(1 << 20))

    def talk(self) -> bool:
        """One message each way; with TLS 1.3 it is here that a client learns that its certificate was refused."""
        try:
            for source, target in ((self.client, self.server), (self.server, self.client)):
                source.send(b"PING")
                self._carry()
                if target.recv(4) != b"PING":
                    return False
        except SSL.Error as error:
            self.error = error
            return False
        return True


def connect(server: ServerTLS, authority: Authority, host: str = "localhost", **more: Any) -> Handshake:
    protocol = Protocol()
    uplink = UplinkSettings(**{"addr": "a:1", "tls": True, "cacertfile": authority.file, **more})
    return Handshake(server, client_tls(uplink, host).clientConnectionForTLS(protocol), protocol)


def test_the_creators_are_what_twisted_asks_for(authority: Authority) -> None:
    assert verifyObject(IOpenSSLServerConnectionCreator, listener(authority.issue(LOCALHOST)))
    uplink = UplinkSettings(addr="a:1", tls=True, skipverify=True)
    assert verifyObject(IOpenSSLClientConnectionCreator, client_tls(uplink, "localhost"))


@pytest.mark.parametrize(("host", "sni"), [("localhost", b"localhost"), ("127.0.0.1", None)])
def test_a_server_is_believed_for_its_name_or_address(authority: Authority, host: str, sni: bytes | None) -> None:
    made = connect(listener(authority.issue(LOCALHOST)), authority, host)
    assert made.ok and made.server.get_servername() == sni


@pytest.mark.parametrize(
    ("names", "host"),
    [
        ([x509.DNSName("elsewhere.test")], "localhost"),
        (LOCALHOST, "elsewhere.test"),
        (LOCALHOST, "127.0.0.2"),
        (None, "localhost"),
        ([x509.RFC822Name("a@localhost")], "localhost"),
        ([x509.DNSName("*.*.localhost")], "localhost"),
    ],
    ids=["other name", "other host", "other address", "no subjectAltName", "only a mail address", "bad wildcard"],
)
def test_a_certificate_for_another_name_or_for_none_is_refused(
    authority: Authority, names: list[x509.GeneralName] | None, host: str
) -> None:
    made = connect(listener(authority.issue(names)), authority, host)
    assert not made.ok
    assert isinstance(made.refused, CertificateRefused)
    assert str(made.refused) == f"the server's certificate is not for {host}"


def test_why_a_chain_is_refused_is_told(authority: Authority, tmp_path: Path) -> None:
    expired = connect(listener(authority.issue(LOCALHOST, ends=-DAY)), authority)
    assert not expired.ok and "it has expired" in str(expired.refused)
    foreign = connect(listener(Authority(tmp_path, "foreign").issue(LOCALHOST)), authority)
    assert not foreign.ok and "its issuer is not in cacertfile" in str(foreign.refused)


def test_skipverify_believes_anybody_and_still_sends_the_name(authority: Authority, tmp_path: Path) -> None:
    server = listener(Authority(tmp_path, "foreign").issue(None, ends=-DAY))
    made = connect(server, authority, skipverify=True, cacertfile=None)
    assert made.ok and made.server.get_servername() == b"localhost"


def test_chains_and_files_with_several_authorities(authority: Authority, tmp_path: Path) -> None:
    middle = Authority(tmp_path, "middle", authority)
    server = listener(middle.issue(LOCALHOST))
    assert connect(server, authority).ok
    both = tmp_path / "both.pem"
    both.write_text(Path(Authority(tmp_path, "foreign").file).read_text() + Path(authority.file).read_text())
    assert connect(server, authority, cacertfile=str(both)).ok


def test_a_listener_with_cacertfile_lets_only_its_clients_in(authority: Authority, tmp_path: Path) -> None:
    server = listener(authority.issue(LOCALHOST), cacertfile=authority.file)
    assert connect(server, authority, **authority.issue(None)).ok
    assert not connect(server, authority).ok
    assert not connect(server, authority, **Authority(tmp_path, "foreign").issue(None)).ok
    assert connect(server, authority, **authority.issue(None), skipverify=True).ok


def resume(
    server: ServerTLS, context: SSL.Context, session: SSL.Session | None
) -> tuple[Handshake, SSL.Session | None]:
    client = SSL.Connection(context, None)
    if session is not None:
        client.set_session(session)
    made = Handshake(server, client)
    return made, client.get_session()


@pytest.mark.parametrize("version", [SSL.TLS1_2_VERSION, SSL.TLS1_3_VERSION])
def test_sessions_resume_with_client_certificates_but_not_under_a_replaced_ca(
    authority: Authority, tmp_path: Path, version: int
) -> None:
    own = authority.issue(LOCALHOST)
    server = listener(own, cacertfile=authority.file)
    context = SSL.Context(SSL.TLS_CLIENT_METHOD)
    context.set_max_proto_version(version)
    mine = authority.issue(None)
    context.use_certificate_chain_file(mine["certfile"])
    context.use_privatekey_file(mine["keyfile"])
    first, session = resume(server, context, None)
    again, _ = resume(server, context, session)
    assert first.ok and again.ok
    server.replace(listener(own, cacertfile=Authority(tmp_path, "foreign").file))
    after, _ = resume(server, context, session)
    assert not after.ok


def test_tls_1_1_is_refused(authority: Authority) -> None:
    context = SSL.Context(SSL.TLS_CLIENT_METHOD)
    context.set_max_proto_version(SSL.TLS1_1_VERSION)
    context.set_cipher_list(b"ALL:@SECLEVEL=0")
    assert not Handshake(listener(authority.issue(LOCALHOST)), SSL.Connection(context, None)).ok


def test_a_replaced_certificate_serves_new_connections(authority: Authority) -> None:
    server = listener(authority.issue(LOCALHOST))
    before = connect(server, authority)
    server.replace(listener(authority.issue([x509.DNSName("new.test")])))
    assert before.ok and before.talk()
    assert connect(server, authority, "new.test").ok
    assert not connect(server, authority, "localhost").ok


def test_files_that_can_not_be_used(authority: Authority, tmp_path: Path) -> None:
    good, other = authority.issue(LOCALHOST), authority.issue(LOCALHOST)
    weak = authority.issue(LOCALHOST, key=rsa.generate_private_key(65537, 1024))
    locked = authority.issue(LOCALHOST, password=b"hush")
    for files, text in (
        ({**good, "keyfile": other["keyfile"]}, "keyfile: .* does not belong to the certificate in "),
        (locked, "keyfile: .* is protected by a passphrase, which is not supported"),
        (weak, "certfile: OpenSSL does not accept .*: ee key too small"),
        ({**good, "certfile": good["keyfile"]}, "certfile: .* holds no certificate in PEM form"),
        ({**good, "keyfile": good["certfile"]}, "keyfile: .* holds no private key that can be read"),
        ({**good, "certfile": str(tmp_path)}, "certfile: cannot read .*: Is a directory"),
        ({**good, "certfile": "/dev/zero"}, "certfile: /dev/zero is larger than 1048576 bytes"),
        ({**good, "keyfile": str(tmp_path / "none")}, "keyfile: cannot read .*: No such file or directory"),
    ):
        with pytest.raises(TLSFault, match=f"^{text}"):
            listener(files)


@pytest.mark.parametrize("name", ["a..b.\xe9", "\xe9" * 100])
def test_a_server_name_that_is_none_is_a_fault(name: str) -> None:
    with pytest.raises(TLSFault, match="server_name: this is no host name"):
        client_tls(UplinkSettings(addr="a:1", tls=True, skipverify=True), name)


def replace(files: dict[str, str], new: dict[str, str], *keys: str) -> None:
    """Put other files in place of these, in their order."""
    for key in keys:
        os.replace(shutil.copy(new[key], f"{new[key]}.copy"), files[key])


def test_files_that_are_replaced_serve_new_connections_and_in_between_the_old_ones_do(authority: Authority) -> None:
    own, new = authority.issue(LOCALHOST), authority.issue([x509.DNSName("new.test")])
    server = listener(own)
    before = connect(server, authority)
    replace(own, new, "certfile")
    assert connect(server, authority).ok
    replace(own, new, "keyfile")
    assert connect(server, authority, "new.test").ok and not connect(server, authority).ok
    assert before.ok and before.talk()


@pytest.mark.parametrize("key", ["certfile", "keyfile"])
def test_half_of_a_file_or_none_keeps_what_was_there(authority: Authority, key: str) -> None:
    own = authority.issue(LOCALHOST)
    server = listener(own)
    path, whole = Path(own[key]), Path(own[key]).read_bytes()
    for broken in (whole[: len(whole) // 2], b"", b"nonsense", whole[:-5]):
        path.write_bytes(broken)
        assert connect(server, authority).ok
    path.unlink()
    assert connect(server, authority).ok and server.contexts.error.startswith(f"{key}: ")
    path.write_bytes(whole)
    assert connect(server, authority).ok and server.contexts.error == ""


def test_a_chain_that_is_half_written_keeps_what_was_there(tmp_path: Path) -> None:
    root = Authority(tmp_path, "root")
    own = Authority(tmp_path, "between", root).issue(LOCALHOST)
    server = listener(own)
    path, whole = Path(own["certfile"]), Path(own["certfile"]).read_bytes()
    assert whole.count(b"BEGIN CERTIFICATE") == 2
    path.write_bytes(whole[:-200])
    assert connect(server, root).ok and "certfile" in server.contexts.error


def test_a_listener_trusts_a_ca_file_that_has_changed(authority: Authority, tmp_path: Path) -> None:
    other, ca = Authority(tmp_path, "other"), tmp_path / "clients.pem"
    shutil.copy(authority.file, ca)
    server = listener(authority.issue(LOCALHOST), cacertfile=str(ca))
    mine, foreign = authority.issue(None), other.issue(None)
    assert connect(server, authority, **mine).ok and not connect(server, authority, **foreign).ok
    ca.write_bytes(Path(authority.file).read_bytes() + Path(other.file).read_bytes())
    assert connect(server, authority, **mine).ok and connect(server, authority, **foreign).ok
    shutil.copy(other.file, ca)
    assert not connect(server, authority, **mine).ok


def test_the_proxy_trusts_a_ca_file_that_has_changed_and_shows_its_new_certificate(
    authority: Authority, tmp_path: Path
) -> None:
    other, ca = Authority(tmp_path, "other"), tmp_path / "servers.pem"
    shutil.copy(authority.file, ca)
    mine, next_one = authority.issue(None), other.issue(None)
    uplink = UplinkSettings.model_validate({"addr": "a:1", "tls": True, "cacertfile": str(ca), **mine})
    creator = client_tls(uplink, "localhost")

    def connects(server: ServerTLS) -> bool:
        protocol = Protocol()
        return Handshake(server, creator.clientConnectionForTLS(protocol), protocol).ok

    first = listener(authority.issue(LOCALHOST), cacertfile=authority.file)
    second = listener(other.issue(LOCALHOST), cacertfile=other.file)
    assert connects(first) and not connects(second)
    shutil.copy(other.file, ca)
    replace(mine, next_one, "keyfile", "certfile")
    assert connects(second) and not connects(first)
