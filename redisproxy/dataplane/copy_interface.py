"""Orders to a data plane while a copy of the keyspace is made. Used through L{redisproxy.dataplane.interface}."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from twisted.internet.defer import Deferred

    from redisproxy.shared.notes import Noted


class NoteOrders(Protocol):
    """Noting which keys clients change without the server telling of it (CLIENT TRACKING), for a copy of its keyspace.

    What is silent is told in C{commands.changed_keys}. A change is noted when the command's reply has come, before the
    client has it; that of a command whose reply is lost, too. So once nothing is in flight, all is noted.
    """

    def begin(self, limit_s: float) -> Deferred[None]:
        """Note from now on; fire when every command that was sent before has been answered. Can be cancelled.

        What those have changed can be read then, and is not noted. Failed or cancelled, nothing is noted. Twice begins
        anew.

        @param limit_s: how long to wait for them; blocking ones are not waited for.
        @raise ServerBusy: they were not answered in time.
        """

    def take(self) -> Deferred[Noted]:
        """What was noted since it was last taken. Who does not learn the answer has to take it for "everything".

        @raise WrongOrder: nothing is being noted.
        """

    def end(self) -> Deferred[None]:
        """Note no more. At any time; twice is the same as once."""
