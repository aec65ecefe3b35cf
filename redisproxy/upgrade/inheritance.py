"""What a process passes to the program that it starts to take its place: descriptors, and which is what.

It is in one variable of the environment, and removed there at once, so that no further process takes it for its own.
"""

from __future__ import annotations

import json
import os
import socket
from collections.abc import MutableMapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from redisproxy.net import passed_sockets
from redisproxy.net.listening import ListeningSocket, Sockets
from redisproxy.net.passed_sockets import PassedSocket

if TYPE_CHECKING:
    from redisproxy.config import Settings

VARIABLE = "REDISPROXY_UPGRADE"
OWN = "unknown"


class InheritanceFault(Exception):
    """What was passed can't be used. C{str()} says why."""


@dataclass(frozen=True)
class Inheritance:
    """Descriptors that the process was started with.

    @ivar pid: the process whose place is taken. @ivar link: to it, see L{orders}.
    @ivar output: the standard output and standard error of that process; until the new one is ready its own go there.
    @ivar sockets: listening sockets, and what the service manager calls them; empty for those of the program itself.
    """

    pid: int
    link: int
    output: tuple[int, int]
    sockets: tuple[tuple[int, str], ...]

    @property
    def variable(self) -> dict[str, str]:
        """As the environment has it."""
        return {VARIABLE: json.dumps(asdict(self))}

    @classmethod
    def take(cls, environ: MutableMapping[str, str]) -> Inheritance | None:
        """What this process was started with, if it was started to take another one's place.

        @raise InheritanceFault: it makes no sense.
        """
        text = environ.pop(VARIABLE, None)
        if text is None:
            return None
        try:
            told = json.loads(text)
            found = cls(
                int(told["pid"]),
                int(told["link"]),
                (int(told["output"][0]), int(told["output"][1])),
                tuple((int(fd), str(name)) for fd, name in told["sockets"]),
            )
            for descriptor in found.descriptors:
                os.set_inheritable(descriptor, False)
        except (ValueError, KeyError, TypeError, IndexError, OSError) as error:
            raise InheritanceFault(f"{VARIABLE} is set, and no process has passed its sockets: {error!r}") from None
        return found

    @property
    def descriptors(self) -> tuple[int, ...]:
        """All of them."""
        return (self.link, *self.output, *(fd for fd, _ in self.sockets))

    def restore_output(self) -> None:
        """Have standard output and standard error be those of the process whose place is taken."""
        for ours, theirs in enumerate(self.output, 1):
            os.dup2(theirs, ours)
            os.close(theirs)

    def sockets_of(self, settings: Settings) -> tuple[Sockets, Sequence[ListeningSocket]]:
        """The sockets of each listener by its address, and those for which there is no listener any more.

        @raise PassedSocketFault: one that the service manager has passed belongs to no listener.
        """
        passed, left = [], []
        for descriptor, name in self.sockets:
            listening = socket.socket(fileno=descriptor)
            listening.setblocking(False)
            each = PassedSocket(listening, name or OWN)
            if name or passed_sockets.has_owner(each, settings):
                passed.append(each)
            else:
                left.append(ListeningSocket(listening, of_another=True))
        assigned = passed_sockets.assign(passed, settings).items()
        return {address: [self._listening(each) for each in sockets] for address, sockets in assigned}, left

    def _listening(self, passed: PassedSocket) -> ListeningSocket:
        return ListeningSocket(passed.listening, dict(self.sockets)[passed.listening.fileno()], of_another=True)
