"""No descriptor is free, or no memory: accepting again at once would only burn time, so accepting rests a moment."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable

from twisted.logger import Logger

from redisproxy.net.few_lines import SELDOM_S, FewLines

SHORTAGES = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)
REST_S = 0.2


class Shortage:
    """What the log is told of it: it may last for hours, and whoever can connect can cause it."""

    log = Logger(namespace="redisproxy.network")

    def __init__(self, seconds: Callable[[], float]) -> None:
        self._lines = FewLines(seconds, 1, SELDOM_S)

    def tell(self, error: int) -> None:
        """Another rest begins, for this C{errno}."""
        more = self._lines.another()
        if more is not None:
            self.log.error("can't accept for a moment: {error}{more}", error=os.strerror(error), more=more)
