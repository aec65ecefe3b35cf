"""What a pinned connection is called on which messages come between the replies; see C{subscription} and C{monitor}."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from twisted.internet.defer import Deferred

    from redisproxy.client.stream_cut import StreamCut
    from redisproxy.forwarding.interfaces import Connection


MONITORS = "O"
"""The C{FLAG} of a client that monitors."""
NAME_BYTES = 128
"""What is kept of a name besides itself."""
MAX_NAMES_BYTES = 67108864
"""Of all channels, patterns and shard channels of one client. No server counts them."""


class MessageStream(Protocol):
    """Tells messages from replies, and can be made again at another server. True while the client is subscribed.

    @ivar connection: what brings it.
    @ivar names: channels, patterns and shard channels, by the prefix of their commands.
    @ivar names_bytes: what they take in memory, each with C{NAME_BYTES}.
    @ivar asked: the commands with which tracking was asked for at the server that is moved to.
    @ivar reads_on: the connection is read although the client does not read.
    @ivar cut: where the messages for the client end or begin here, while it changes over.
    """

    FLAG: str
    """What CLIENT LIST calls such a client."""
    connection: Connection
    names: dict[bytes, dict[bytes, None]]
    names_bytes: int
    asked: list[bytes]
    reads_on: bool
    cut: StreamCut | None

    @property
    def mid_message(self) -> bool:
        """Whether the client has the beginning of a message and not its end."""

    @property
    def amid(self) -> bool:
        """Whether nothing may be written to the client now. Of replies the connection's queue knows that."""

    def __bool__(self) -> bool: ...

    async def copy_to(self, connection: Connection) -> MessageStream:
        """Ask another server for the same; see C{subscription.Subscription.copy_to}."""

    async def last_messages(self) -> None:
        """Fire when everything that the server has sent up to now has been passed on."""

    async def reading_on(self, until: Deferred[Any]) -> None:
        """Wait for `until`, and pass on what comes meanwhile whether the client reads or not."""

    def take_over(self) -> None:
        """The client goes on at this connection, where everything has been made again."""

    def connection_lost(self) -> None:
        """Messages may be lost with the connection."""
