"""Workers that were to join after a move, in which their control process was killed: they are at the server before it.

They never had a client, and their settings are not those in force. The next control process ends them rather than go
on with them, or with their settings.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from redisproxy.dataplane.interface import DataPlaneLost
from redisproxy.remote.errors import DataPlaneFailed

if TYPE_CHECKING:
    from redisproxy.config import Address
    from redisproxy.workers.orders import Introduction
    from redisproxy.workers.worker import Worker


async def without_newcomers(found: list[tuple[Worker, Introduction]]) -> list[tuple[Worker, Introduction]]:
    """Those of the workers found that go on; the others are ended."""
    new = [worker for worker, introduction in found if not (introduction.given or introduction.given_raw)]
    servers = {_server_of(worker) for worker, _ in found if worker not in new}
    elsewhere = [worker for worker in new if servers and _server_of(worker) not in servers]
    empty = [worker for worker in elsewhere if await _is_empty(worker)]
    for worker in empty:
        worker.end(f"it was left at {_server_of(worker)}, before it had a client")
    return [each for each in found if each[0] not in empty]


def _server_of(worker: Worker) -> Address | None:
    """Where its clients go to."""
    return None if worker.links.found is None else worker.links.found.uplink.address


async def _is_empty(worker: Worker) -> bool:
    """Clients may have come from other workers, too."""
    try:
        figures = await worker.plane.figures()
    except (DataPlaneLost, DataPlaneFailed):
        return False
    return not (figures.clients_open or figures.raw_connections)
