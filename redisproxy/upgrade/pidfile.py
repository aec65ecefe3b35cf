"""twistd's pidfile, which names the process that is in charge: one that is to be so writes it then, and removes it.

twistd itself writes it at the start, would not start beside a process that it names, and removes it at the end.
"""

from __future__ import annotations

import os
from collections.abc import MutableMapping
from contextlib import suppress
from typing import Any

from twisted.logger import Logger

KEY = "pidfile"


class Pidfile:
    """The pidfile of this process.

    @param options: twistd's; None for a program that has no pidfile.
    """

    log = Logger(namespace="redisproxy.upgrade")

    def __init__(self, options: MutableMapping[str, Any] | None) -> None:
        self._options = options
        path = (options or {}).get(KEY)
        self._path = os.path.abspath(path) if path else ""

    def disown(self) -> None:
        """It is another process's: twistd is to leave it alone."""
        if self._options is not None and self._path:
            self._options[KEY] = ""

    def own(self) -> None:
        """It names this process from now on, which removes it at its end."""
        if self._options is None or not self._path:
            return
        self._options[KEY] = self._path
        try:
            self._write()
        except OSError as error:
            text = "{path} can't be written and does not name this process, {pid}: {error}"
            self.log.error(text, path=self._path, pid=os.getpid(), error=str(error))

    def _write(self) -> None:
        """At once, so that whoever reads it finds one of the two."""
        beside = f"{self._path}.{os.getpid()}"
        try:
            with open(beside, "w", encoding="ascii") as file:
                file.write(str(os.getpid()))
            os.replace(beside, self._path)
        except OSError:
            with suppress(OSError):
                os.unlink(beside)
            self._write_over()

    def _write_over(self) -> None:
        """For a folder in which no file can be made. On a full disk it names what it has named: twistd starts beside
        a pidfile of a process that is gone, and not beside an empty one."""
        with open(os.open(self._path, os.O_WRONLY | os.O_CREAT, 0o666), "w", encoding="ascii") as file:
            file.write(str(os.getpid()))
            file.truncate()
