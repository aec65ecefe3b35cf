"""How a configuration is refused."""

from __future__ import annotations

from collections.abc import Iterable


class ConfigError(Exception):
    """A configuration that can't be used.

    @ivar faults: one text for each fault: C{key.path: what is wrong}.
    """

    def __init__(self, faults: Iterable[str]) -> None:
        self.faults = tuple(faults)
        super().__init__("\n".join(self.faults))
