"""The files of the page for people: read once, and served with a tag by which browsers keep them."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from importlib.resources import files

from twisted.web.http import CACHED
from twisted.web.resource import Resource
from twisted.web.server import Request

PAGE = "index.html"
_TYPES = {
    ".css": "text/css; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}


class Asset(Resource):
    """One file. A browser asks each time whether it has changed, and is answered 304 when it has not."""

    isLeaf = True

    def __init__(self, name: str, content: bytes) -> None:
        super().__init__()
        self._content = content
        self._type = _TYPES[name[name.rindex(".") :]]
        self._tag = f'"{hashlib.sha256(content).hexdigest()[:32]}"'.encode()

    def render_GET(self, request: Request) -> bytes:
        request.setHeader("cache-control", "no-cache")
        request.setHeader("content-type", self._type)
        return b"" if request.setETag(self._tag) is CACHED else self._content


def read_assets() -> Mapping[bytes, Asset]:
    """Every file of the folder C{assets}, by its name.

    A program that is replaced on disk goes on with the files that it began with.
    """
    folder = files("redisproxy.admin") / "assets"
    return {each.name.encode(): Asset(each.name, each.read_bytes()) for each in folder.iterdir()}
