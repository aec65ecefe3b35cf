"""The private directory in which data planes listen for control planes and for clients of other data planes.

It outlives the processes: a control process that starts anew finds the data planes there that go on without one.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import socket
import stat
import tempfile
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import TextIO

from redisproxy.remote.other_end import pid_at_other_end

MAX_PATH = 80
"""Of the directory: a Unix socket's whole path has to fit into 107 bytes."""
MAX_NAMED = 1000
_CONTROL = ".control"
_KINDS = ("orders", "asking", "clients")


class RunDirectoryFault(Exception):
    """The directory can't be used; C{str()} says why."""


@dataclass(frozen=True)
class Sockets:
    """Where one data plane listens.

    @ivar orders: for a control plane. @ivar asking: for what it asks its control plane.
    @ivar clients: for other data planes that give clients to it.
    """

    orders: str
    asking: str
    clients: str


class RunDirectory:
    """The sockets in one directory. A data plane's name is what their files begin with.

    @ivar path: of the directory.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        self._claim: TextIO | None = None

    def make(self) -> None:
        """See that it is there, and private.

        @raise RunDirectoryFault: it can't be made, or others may use it.
        """
        if len(os.fsencode(self.path)) > MAX_PATH:
            raise RunDirectoryFault(f"run_directory: {self.path} is longer than {MAX_PATH} bytes")
        try:
            with suppress(FileExistsError):
                os.mkdir(self.path, 0o700)
            private = self._private
        except OSError as error:
            raise RunDirectoryFault(f"run_directory: {self.path}: {os.strerror(error.errno or 0)}") from None
        if not private:
            raise RunDirectoryFault(
                f"run_directory: {self.path} has to be a directory that only this user may use (mode 0700)"
            )

    def claim(self, config_path: str) -> None:
        """Be a control process of this configuration file here until the process ends; there may be several.

        @raise RunDirectoryFault: one of another file lives: it would lose its data planes, and they their server.
        """
        try:
            self._take_claim(config_path)
        except OSError as error:
            raise RunDirectoryFault(f"run_directory: {self.path}: {os.strerror(error.errno or 0)}") from None

    def _take_claim(self, config_path: str) -> None:
        own = f"{_short_hash(config_path)}{_CONTROL}"
        # Kept open for the lock, which the system gives up when the process ends, however it does.
        self._claim = open(os.path.join(self.path, own), "a", encoding="utf-8", errors="replace")  # noqa: SIM115
        fcntl.flock(self._claim, fcntl.LOCK_SH)
        self._claim.truncate(0)
        self._claim.write(os.path.abspath(config_path))
        self._claim.flush()
        for other in sorted(each for each in os.listdir(self.path) if each.endswith(_CONTROL) and each != own):
            self._see_that_nobody_holds(os.path.join(self.path, other))

    def _see_that_nobody_holds(self, path: str) -> None:
        with open(path, encoding="utf-8", errors="replace") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise RunDirectoryFault(
                    f"run_directory: {self.path} is in use by the proxy with {file.read(MAX_NAMED)}:"
                    " each configuration file needs one of its own"
                ) from None

    @property
    def _private(self) -> bool:
        """
        @raise OSError: it is not there.
        """
        found = os.lstat(self.path)
        return stat.S_ISDIR(found.st_mode) and found.st_uid == os.geteuid() and not found.st_mode & 0o077

    def sockets(self, name: str) -> Sockets:
        """Where the data plane of this name listens."""
        return Sockets(*(os.path.join(self.path, f"{name}.{kind}") for kind in _KINDS))

    def names(self) -> list[str]:
        """The data planes that have left sockets here, whether they live or not; none of others' directory."""
        return self._with("orders")

    def _with(self, kind: str) -> list[str]:
        try:
            files = os.listdir(self.path) if self._private else []
        except OSError:
            return []
        return sorted(each.removesuffix(f".{kind}") for each in files if each.endswith(f".{kind}"))

    def new_name(self, of: str) -> str:
        """A name for a data plane of this process that no other one has, not even one of the same process id."""
        return f"{of}-{os.getpid()}-{os.urandom(3).hex()}"

    def living(self) -> list[str]:
        """Those whose process lives; what the others have left is removed."""
        names = self.names()
        dead = [name for name in names if not _listens(self.sockets(name).orders)]
        # Who only takes clients in has no other socket.
        doors = set(self._with("clients")).difference(names)
        dead += [name for name in doors if not _listens(self.sockets(name).clients)]
        for name in dead:
            self.remove(name)
        return [name for name in names if name not in dead]

    def of_process(self, pid: int) -> list[str]:
        """Those that have their names from this process, and live."""
        return [name for name in self.living() if name.split("-")[1:2] == [str(pid)]]

    def pid_of(self, name: str) -> int:
        """The process of this one; 0 if there is none any more."""
        return _pid_behind(self.sockets(name).orders)

    def leave(self) -> None:
        """The process ends: remove the directory if nothing of anybody is in it, and this one was the last."""
        if self._claim is not None:
            with suppress(OSError):
                fcntl.flock(self._claim, fcntl.LOCK_EX | fcntl.LOCK_NB)
                os.unlink(self._claim.name)
            self._claim.close()
            self._claim = None
        with suppress(OSError):
            os.rmdir(self.path)

    def retired_for_s(self, name: str) -> float:
        """For how long the data plane has been one that is to end, from the first time on that this was asked.

        It is the age of a file, so that every later control process knows.
        """
        path = self._retired(name)
        try:
            with suppress(FileExistsError):
                os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
            return max(0.0, time.time() - os.stat(path).st_mtime)
        except OSError:
            return 0.0

    def _retired(self, name: str) -> str:
        return os.path.join(self.path, f"{name}.retired")

    def remove(self, name: str) -> None:
        """Remove what a data plane has left."""
        sockets = self.sockets(name)
        for path in (sockets.orders, sockets.asking, sockets.clients, self._retired(name)):
            with suppress(OSError):
                os.unlink(path)


def _listens(path: str) -> bool:
    with socket.socket(socket.AF_UNIX) as probe:
        probe.setblocking(False)
        try:
            probe.connect(path)
        except BlockingIOError:
            return True  # its backlog is full: it is stopped, and there
        except OSError:
            return False
        return True


def _pid_behind(path: str) -> int:
    with socket.socket(socket.AF_UNIX) as probe:
        probe.setblocking(False)
        try:
            probe.connect(path)
        except OSError:
            return 0
        return pid_at_other_end(probe)


def run_directory(configured: str | None, config_path: str, environ: Mapping[str, str]) -> RunDirectory:
    """The directory of the proxy with this configuration file.

    @param configured: the setting C{run_directory}. @param environ: systemd names C{RuntimeDirectory=} there.
    """
    if configured is not None:
        return RunDirectory(configured)
    of_service = environ.get("RUNTIME_DIRECTORY", "").split(":")[0]
    if of_service:
        return RunDirectory(os.path.join(of_service, "proxy"))
    name = f"redisproxy-{os.geteuid()}-{_short_hash(config_path)}"
    return RunDirectory(os.path.join(tempfile.gettempdir(), name))


def _short_hash(config_path: str) -> str:
    return hashlib.sha256(os.path.abspath(config_path).encode()).hexdigest()[:12]
