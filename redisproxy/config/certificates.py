"""Files with certificates, keys and passwords, read within bounds; used by the configuration and by TLS."""

from __future__ import annotations

from typing import Any

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization

MAX_FILE_BYTES = 1048576


class TLSFault(Exception):
    """Certificates or keys can't be used. C{str()} begins with the key that names the file."""


def read_file(path: str) -> bytes:
    """The content of a file of at most C{MAX_FILE_BYTES}.

    @raise ValueError: the file can't be read; the text says why.
    """
    try:
        with open(path, "rb") as file:
            content = file.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        raise ValueError(f"cannot read {path}: {error.strerror}") from None
    except ValueError:
        raise ValueError("this is no file name") from None
    if len(content) > MAX_FILE_BYTES:
        raise ValueError(f"{path} is larger than {MAX_FILE_BYTES} bytes")
    return content


def _content(key: str, path: str) -> bytes:
    try:
        return read_file(path)
    except ValueError as error:
        raise TLSFault(f"{key}: {error}") from None


def check_file(key: str, path: str) -> None:
    """Check that the file of `key` (certfile, keyfile, cacertfile) can be read and holds a certificate or a key.

    @raise TLSFault: it can't be read, or holds something else.
    """
    if key == "keyfile":
        private_key(path)
    else:
        certificates(key, path)


def certificates(key: str, path: str) -> list[x509.Certificate]:
    """Every certificate in the PEM file at `path`, in order.

    @raise TLSFault: there is none, or it can't be read.
    """
    content = _content(key, path)
    try:
        found = x509.load_pem_x509_certificates(content)
    except ValueError:
        raise TLSFault(f"{key}: {path} holds no certificate in PEM form") from None
    if len(found) < content.count(b"-----BEGIN CERTIFICATE-----"):
        raise TLSFault(f"{key}: {path} ends in the middle of a certificate")
    return found


def private_key(path: str) -> Any:
    """The private key in the PEM file at `path`.

    @raise TLSFault: there is none, it can't be read, or it is protected by a passphrase.
    """
    content = _content("keyfile", path)
    try:
        return serialization.load_pem_private_key(content, None)
    except TypeError:
        raise TLSFault(f"keyfile: {path} is protected by a passphrase, which is not supported") from None
    except (ValueError, UnsupportedAlgorithm):
        raise TLSFault(f"keyfile: {path} holds no private key that can be read") from None
