"""Passes on which keys clients change without the old server telling of it: the data plane notes them as they pass."""

from __future__ import annotations

from typing import TYPE_CHECKING

from redisproxy.dataplane.interface import DataPlaneLost

if TYPE_CHECKING:
    from redisproxy.copying.interface import Copying
    from redisproxy.dataplane.interface import NoteOrders

BEGIN_S = 10.0
"""How long commands may take that were sent before the copy began."""


class SilentChanges:
    """Takes them from the data plane to the copy."""

    def __init__(self, notes: NoteOrders, copying: Copying) -> None:
        self._notes = notes
        self._copying = copying

    async def begin(self) -> None:
        """Have them noted from now on.

        @raise UplinkError: commands take too long that are under way.
        @raise DataPlaneLost: it is.
        """
        await self._notes.begin(BEGIN_S)

    async def pass_on(self) -> None:
        """Tell the copy what was noted since the last time.

        @raise UplinkError: the copy can't go on. @raise DataPlaneLost: nobody knows what was noted.
        """
        noted = await self._notes.take()
        names = tuple({name for _, name in (*noted.keys, *noted.perhaps)})
        if names or noted.everything:
            await self._copying.note(names, noted.everything)

    async def end(self) -> None:
        """Note no more. A data plane that is lost notes nothing."""
        try:
            await self._notes.end()
        except DataPlaneLost:
            return
