"""Answers of a collector are read up to a size: whoever listens there may send without end.

It imports a library of the extra C{otel}, and so only C{otlp} imports it.
"""

from __future__ import annotations

import io
from typing import Any

import requests
from requests.adapters import HTTPAdapter

MAX_ANSWER_BYTES = 65536


class _BoundedAdapter(HTTPAdapter):
    def send(self, *args: Any, **more: Any) -> requests.Response:
        answer = super().send(*args, **{**more, "stream": True})
        raw = answer.raw
        answer.raw = io.BytesIO(raw.read1(MAX_ANSWER_BYTES))
        if not raw.isclosed():  # there is more
            raw.close()
        return answer


def session() -> requests.Session:
    """What asks so."""
    made = requests.Session()
    for scheme in ("http://", "https://"):
        made.mount(scheme, _BoundedAdapter())
    return made
