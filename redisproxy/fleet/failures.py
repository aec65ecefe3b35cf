"""How an order to a peer may fail, and what is told of that."""

from __future__ import annotations

from typing import TYPE_CHECKING

from twisted.internet.defer import TimeoutError

from redisproxy.dataplane.interface import ERRORS, DataPlaneLost, NotSupported, WrongOrder
from redisproxy.remote.errors import DataPlaneFailed

if TYPE_CHECKING:
    from twisted.python.failure import Failure

FAILURES: tuple[type[Exception], ...] = (*ERRORS, DataPlaneFailed, TimeoutError)
"""All that may come of an order to a peer but its answer."""
OUT_OF_STEP: tuple[type[Exception], ...] = (DataPlaneLost, TimeoutError, NotSupported, WrongOrder, DataPlaneFailed)
"""Those after which nobody knows what the peer does, so that it has to go on by itself."""
OLDER = "it runs an older version, which does not know the order: have all proxies run the same one"


def why(failure: Failure, limit_s: float) -> str:
    """What has failed at a peer. @param limit_s: within which it had to answer."""
    if failure.check(TimeoutError):
        return f"it has not answered within {limit_s:g} s"
    return OLDER if failure.check(NotSupported) else failure.getErrorMessage()
