"""The reply of a command that changes keys without the server telling of it, while these changes are noted."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from redisproxy.commands.changed_keys import Change
    from redisproxy.forwarding.interfaces import ReplySink
    from redisproxy.shared.notes import Notes

Changes = tuple[tuple[int, "Change"], ...]
"""With the database of each."""


class NotedReply:
    """Notes `changes` when the command has been carried out, and passes its reply on afterwards.

    Whoever asks for the notes after the client has its reply finds them there. A command whose reply is lost may have
    been carried out.

    @ivar client: see C{uplink.outstanding.client_of}.
    """

    __slots__ = ("_changes", "_notes", "_sink", "client")

    def __init__(self, sink: ReplySink, client: object, changes: Changes, notes: Notes) -> None:
        self.client = client
        self._sink = sink
        self._changes = changes
        self._notes = notes

    def reply(self, data: bytes, done: int) -> None:
        if done:
            self._notes.add(self._changes)
        self._sink.reply(data, done)

    def lost(self) -> None:
        self._notes.add(self._changes)
        self._sink.lost()
