"""The sketches of Apache DataSketches (the extra C{hot-keys}), which is imported here only."""

from __future__ import annotations

import importlib
import threading
from collections.abc import Iterable
from typing import Any

from twisted.logger import Logger

TIMES = 8
"""So many times as many items as are told have room in a sketch, so that those are right within a few percent."""


class Sketches:
    """Makes sketches that count texts.

    The library is loaded in a thread of its own, because that takes some tenths of a second.

    @param kept: how many of the most frequent texts are wanted; 0 for no sketches at all.
    """

    _log = Logger()

    def __init__(self, kept: int) -> None:
        self._size = (kept * TIMES * 4 // 3).bit_length()  # the library uses three quarters of a power of two
        self._library: Any = None
        if kept:
            threading.Thread(target=self._load, name="hot keys", daemon=True).start()

    def _load(self) -> None:
        try:
            self._library = importlib.import_module("datasketches")
        except ImportError as error:
            self._log.error("hot_keys: nothing is sampled, because its library can't be loaded: {error}", error=error)

    @property
    def ready(self) -> bool:
        """Whether the library is loaded."""
        return self._library is not None

    def new(self) -> Any:
        """An empty sketch. Once L{ready}."""
        return self._library.frequent_strings_sketch(self._size)

    def most(self, sketches: Iterable[Any]) -> list[tuple[str, int]]:
        """Texts, the most frequent first, with how often they were counted in all of these. Once L{ready}."""
        whole = self.new()
        for each in sketches:
            whole.merge(each)
        items = whole.get_frequent_items(self._library.frequent_items_error_type.NO_FALSE_NEGATIVES)
        return [(text, count) for text, count, _, _ in sorted(items, key=lambda item: -item[1])]
