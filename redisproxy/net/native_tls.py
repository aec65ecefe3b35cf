"""What the compiled TLS needs of Python: the addresses of OpenSSL's functions, and a place for who verifies a name."""

from __future__ import annotations

from typing import Any

from redisproxy._native.core import bind_openssl


def _bind_openssl() -> bool:
    """Learn the addresses of OpenSSL's functions from the cffi library beneath pyOpenSSL, if it tells them."""
    try:
        from cryptography.hazmat.bindings._rust import _openssl

        ffi, lib = _openssl.ffi, _openssl.lib
        bind_openssl(lambda name: int(ffi.cast("uintptr_t", ffi.addressof(lib, name))))
    except (ImportError, AttributeError, TypeError):
        return False
    return True


DIRECT_TLS = _bind_openssl()


def pointers(tls: Any) -> tuple[int, int, int]:
    """The addresses of what a pyOpenSSL connection stands for: its SSL and its two memory BIOs."""
    from cryptography.hazmat.bindings._rust import _openssl

    parts = (tls._ssl, tls._into_ssl, tls._from_ssl)
    ssl, into, out = (int(_openssl.ffi.cast("uintptr_t", part)) for part in parts)
    return ssl, into, out


class Verification:
    """What a Twisted client creator needs of the protocol that it makes a connection for.

    It takes a TLS protocol with a factory that wraps another, which may name protocols for ALPN; ours names none.
    """

    class _Factory:
        wrappedFactory = None

    factory = _Factory()

    def __init__(self, connection: Any) -> None:
        self.failVerification = connection.failVerification
