"""What a switchover has changed so far: its steps note it, and a rollback undoes it."""

from __future__ import annotations

from dataclasses import dataclass

from twisted.internet.defer import CancelledError


@dataclass
class Effects:
    """What was changed, or may have been if an answer was lost; undoing what did not happen does no harm.

    @ivar following: the new server was told to follow the old one.
    @ivar hooked: a hook was begun that has it follow, or promotes it.
    @ivar carried: the new server was given settings or users of the old one.
    @ivar fenced: the old server refuses writes.
    @ivar promoted: the new server is a primary.
    @ivar copying: keys are being copied to the new server, or were.
    @ivar lifted: the fence of the new server was lifted.
    @ivar copied: the new server is marked as the one that clients go to.
    @ivar swap_ordered: the data plane was told to use the new server.
    @ivar swapped: clients are on the new server, and there is no way back.
    @ivar undoing: it has failed, and is being undone or was. @ivar aborted: an operator has aborted it.
    """

    following: bool = False
    hooked: bool = False
    carried: bool = False
    fenced: bool = False
    promoted: bool = False
    copying: bool = False
    lifted: bool = False
    copied: bool = False
    swap_ordered: bool = False
    swapped: bool = False
    undoing: bool = False
    aborted: bool = False

    @property
    def too_late(self) -> bool:
        """Whether clients are going to the new server, or may be, so that nobody may stop that any more."""
        return (self.promoted or self.copied or self.swap_ordered) and not self.undoing

    def abort(self) -> bool:
        """Note that an operator aborts it; whether it has to be cancelled for that, and is not being undone already."""
        self.aborted = True
        return not self.undoing

    def require_wanted(self) -> None:
        """
        @raise CancelledError: it was aborted, and somebody who was waited for took no notice of that.
        """
        if self.aborted:
            raise CancelledError
