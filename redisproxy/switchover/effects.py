"""What a switchover has changed so far: its steps note it, and a rollback undoes it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass
class Effects:
    """What was changed, or may have been if an answer was lost; undoing what did not happen does no harm.

    @ivar following: the new server was told to follow the old one.
    @ivar carried: the new server was given settings or users of the old one.
    @ivar fenced: the old server refuses writes.
    @ivar promoted: the new server is a primary.
    @ivar copying: keys are being copied to the new server, or were. @ivar lifted: the fence of the new server was lifted.
    @ivar copied: the new server is marked as the one that clients go to.
    @ivar swap_ordered: the data plane was told to use the new server.
    @ivar swapped: clients are on the new server, and there is no way back.
    """

    following: bool = False
    carried: bool = False
    fenced: bool = False
    promoted: bool = False
    copying: bool = False
    lifted: bool = False
    copied: bool = False
    swap_ordered: bool = False
    swapped: bool = False
