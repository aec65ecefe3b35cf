"""Copies the functions of one server to another."""

from __future__ import annotations

from redisproxy.copying.endpoint import Endpoint
from redisproxy.servers.control_connection import ServerSaidNo


async def copy_functions(source: Endpoint, target: Endpoint) -> tuple[str, ...]:
    """Make the libraries of functions at `target` those of `source`; what could not be loaded there, with the reason.

    Nothing if all are there, or if neither has any.

    @raise UplinkError: a server did not answer.
    """
    if not source.features.functions:
        return ()
    libraries = await source.ask("FUNCTION", "LIST", "WITHCODE")
    if not target.features.functions:
        return tuple(f"library {_name(each)}: the new server has no functions" for each in libraries)
    (restored,) = await target.ask_all(("FUNCTION", "RESTORE", await source.ask("FUNCTION", "DUMP"), "FLUSH"))
    if not isinstance(restored, ServerSaidNo):
        return ()
    await target.ask("FUNCTION", "FLUSH")
    loads = await target.ask_all(*(("FUNCTION", "LOAD", _field(each, b"library_code")) for each in libraries))
    return tuple(
        f"library {_name(each)}: {reply}"
        for each, reply in zip(libraries, loads, strict=True)
        if isinstance(reply, ServerSaidNo)
    )


def _field(library: list[object], name: bytes) -> bytes:
    value = library[library.index(name) + 1]
    return value if isinstance(value, bytes) else str(value).encode()


def _name(library: list[object]) -> str:
    return _field(library, b"library_name").decode("utf-8", "replace")
