"""A prepared move and clients on their way to or from another data plane exclude each other in one data plane.

What a client has at the server is made at the server in use: a move meanwhile would leave it at the old one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from redisproxy.dataplane.values import HandoverRefused, Rejected

if TYPE_CHECKING:
    from collections.abc import Callable


class Turns:
    """Whose turn it is.

    @ivar prepared: a move is. @ivar giving: handovers that run now.
    @ivar coming: how many clients are expected from others.
    """

    def __init__(self) -> None:
        self.prepared = False
        self.giving = 0
        self.coming: Callable[[], int] = lambda: 0

    def prepare(self) -> None:
        """A move is to be prepared.

        @raise Rejected: clients are on their way, and nobody can be sure where they will be.
        """
        if self.giving or self.coming():
            raise Rejected("clients are on their way to or from another data plane: try again in a moment")
        self.prepared = True

    def hand_over(self) -> None:
        """Clients are to come or go.

        @raise HandoverRefused: a move is prepared.
        """
        if self.prepared:
            raise HandoverRefused("a move to other settings is prepared")
