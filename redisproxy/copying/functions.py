"""Copies the functions of one server to another, and compares them."""

from __future__ import annotations

from redisproxy.copying.endpoint import Endpoint
from redisproxy.servers.control_connection import ServerSaidNo


async def copy_functions(source: Endpoint, target: Endpoint) -> tuple[str, ...]:
    """Make the libraries of functions at `target` those of `source`; what could not be loaded there, with the reason.

    Nothing if all are there, or if neither has any.

    @raise UplinkError: a server did not answer, or does not let its functions be changed.
    """
    libraries = await read_functions(source)
    if not target.features.functions:
        return tuple(f"library {_shown(name)}: the new server has no functions" for name in libraries)
    if libraries:
        dumped = await source.ask_all(("FUNCTION", "DUMP"))
        (restored,) = await target.ask_all(("FUNCTION", "RESTORE", dumped[0], "FLUSH")) if _good(dumped) else dumped
        if not isinstance(restored, ServerSaidNo):
            return ()
    await target.ask("FUNCTION", "FLUSH")
    loaded = await target.ask_all(*(("FUNCTION", "LOAD", code) for code in libraries.values()))
    named = zip(libraries, loaded, strict=True)
    return tuple(f"library {_shown(name)}: {reply}" for name, reply in named if isinstance(reply, ServerSaidNo))


async def compare_functions(source: Endpoint, target: Endpoint) -> list[str]:
    """What `target` has otherwise, in words; nothing if `source` has no functions, or does not tell.

    @raise UplinkError: a server did not answer.
    """
    if not source.features.functions:
        return []
    here, there = await read_functions(source), await read_functions(target)
    return [
        *(f"function library {_shown(name)}: missing" for name in here.keys() - there.keys()),
        *(f"function library {_shown(name)}: extra" for name in there.keys() - here.keys()),
        *(f"function library {_shown(name)}: code" for name in here.keys() & there.keys() if here[name] != there[name]),
    ]


async def read_functions(server: Endpoint) -> dict[bytes, bytes]:
    """The code of each library; none if the server has no functions.

    @raise UplinkError: the server did not answer.
    """
    if not server.features.functions:
        return {}
    libraries = await server.ask("FUNCTION", "LIST", "WITHCODE")
    named = [dict(zip(each[::2], each[1::2], strict=True)) for each in libraries]
    return {each[b"library_name"]: each[b"library_code"] for each in named}


def _good(replies: list[object]) -> bool:
    return not isinstance(replies[0], ServerSaidNo)


def _shown(name: bytes) -> str:
    return name.decode("utf-8", "replace")
