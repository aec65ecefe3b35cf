"""What a client has sent and the proxy has not taken yet: the first station on a command's path, behind framing."""

from __future__ import annotations

from typing import Any

from redisproxy.client.upload import Upload
from redisproxy.forwarding.twins import RequestFramer
from redisproxy.resp import RUN

Unit = tuple[int, bytes, Any]
"""What framing makes of the stream: its kind (C{RUN}, C{COMMAND}, ...), the bytes, and what the kind has besides."""


class ReceiveBuffer:
    """The units of one client, in the order in which they are to be taken.

    @ivar current: the unit that is being handled, or that waits.
    """

    __slots__ = ("_parked", "_upload", "current", "framer")

    def __init__(self, framer: RequestFramer) -> None:
        self.framer = framer
        self.current: Unit | None = None
        self._upload: Upload | None = None
        self._parked: list[Unit] | None = None

    @property
    def upload(self) -> Upload:
        """The command too large to hold of which the next units are pieces; few clients ever send one."""
        if self._upload is None:
            self._upload = Upload()
        return self._upload

    @property
    def uploading(self) -> bool:
        """Whether what arrives next is a piece of a command too large to hold."""
        return self._upload is not None and self._upload.under_way

    @property
    def sending_upload(self) -> bool:
        """Whether the beginning of a command too large to hold was sent, and more is to come."""
        return self._upload is not None and self._upload.sending

    @property
    def empty(self) -> bool:
        """Whether nothing has been taken out of framing that is not done with."""
        return self.current is None and self._parked is None

    @property
    def waiting(self) -> bool:
        """Whether anything has arrived that is not done with."""
        return not self.empty or bool(self.framer.buffered)

    @property
    def first(self) -> Unit | None:
        """The unit that is to be taken next, if it has left framing."""
        return self.current or (self._parked[0] if self._parked else None)

    def peek(self) -> bytes:
        """What has not left framing yet; nothing while units are parked: framing may be within a large command."""
        data = self.framer.take_buffer() if self._parked is None else b""
        if data:
            self.framer.feed(data)
        return data

    def export(self) -> bytes:
        """Everything that has arrived and is not done with, in order; framing finds the same units in it again."""
        units = [*([] if self.current is None else [self.current]), *(self._parked or ())]
        return b"".join([*(data for _, data, _ in units), self.framer.unread])

    def take_in(self, data: bytes, first_waits: bool) -> bytes | None:
        """Begin with what L{export} has told.

        @param first_waits: the first unit has been looked at already.
        @return: its bytes; None when it is not there.
        @raise ProtocolError: there is an error in place of the first unit.
        """
        self.framer.feed(data)
        self.current = self.framer.next() if first_waits else None
        return None if self.current is None else self.current[1]

    def frame_again(self) -> None:
        """Other commands are special than before: look again at what has left framing as plain and was not sent."""
        units = [*([] if self.current is None else [self.current]), *(self._parked or ())]
        again = [each for unit in units for each in self._frame(unit)]
        waited = self.current is not None
        self.current = again.pop(0) if waited else None
        self._parked = again or None

    def _frame(self, unit: Unit) -> list[Unit]:
        if unit[0] != RUN:
            return [unit]
        framer = RequestFramer(self.framer.special, max_held_bytes=len(unit[1]))
        framer.feed(unit[1])
        return list(iter(framer.next, None))

    def next(self) -> Unit | None:
        """The unit after the current one; None when more has to arrive first.

        @raise ProtocolError: framing found an error.
        """
        if self._parked is None:
            return self.framer.next()
        unit = self._parked.pop(0)
        if not self._parked:
            self._parked = None
        return unit

    def park(self, units: list[Unit]) -> None:
        """Put units back that were taken too early; they come next."""
        if units:
            self._parked = [*units, *(self._parked or ())]

    def take_again(self, unit: Unit) -> None:
        """Take `unit`, which was taken before, before everything that has not been."""
        waiting, self.current = self.current, None
        self.park([unit] if waiting is None else [unit, waiting])

    def drop_current(self) -> None:
        """Forget the unit that waits; another one comes next."""
        waiting, self.current = self.current, None
        if waiting is None:
            self.next()
