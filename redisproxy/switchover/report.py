"""What a switchover tells of itself, and how it fails."""

from __future__ import annotations

from typing import Any

Report = dict[str, Any]


class SwitchoverFailed(Exception):
    """It did not take place, and everything is as before unless C{str()} says what is not.

    @ivar refused: the preflight said no; nothing has been touched.
    @ivar late: a deadline was not met.
    """

    def __init__(self, message: str, *, refused: bool = False, late: bool = False) -> None:
        super().__init__(message)
        self.refused = refused
        self.late = late
