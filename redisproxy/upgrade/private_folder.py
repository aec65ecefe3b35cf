"""A folder for the Unix sockets over which clients cross; nobody but this user may look into it."""

from __future__ import annotations

import shutil
import tempfile


class PrivateFolder:
    """Made when it is first needed."""

    def __init__(self) -> None:
        self._path = ""

    def path_of(self, name: str) -> str:
        """Where the file of this name is to be."""
        if not self._path:
            self._path = tempfile.mkdtemp(prefix="redisproxy-")
        return f"{self._path}/{name}"

    def remove(self) -> None:
        """It is not needed any more."""
        path, self._path = self._path, ""
        if path:
            shutil.rmtree(path, ignore_errors=True)
