"""What the clients of a data plane share and count on when another process goes on with them, as a value.

It goes there before the first of them: a cursor that a client holds bears the number of the server it comes from, a
script may have been loaded by somebody who has left, and no id may be given twice. It is taken in by a data plane that
has no clients yet. One that has some learns the scripts of another that ends.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from redisproxy.client.session_value import MAX_ID, Value, read
from redisproxy.shared.scan_cursors import NUMBERS

if TYPE_CHECKING:
    from redisproxy.client import Client
    from redisproxy.shared.core import Core
    from redisproxy.shared.registry import ClientRegistry

_NUMBER = Annotated[int, Field(ge=0, le=MAX_ID)]
_MARK = Annotated[int, Field(ge=1, lt=NUMBERS)]


class SharedValue(Value):
    """What clients share.

    @ivar server_number, cursor_marks: see C{scan_cursors}.
    @ivar scripts: bodies, the longest unused one first.
    @ivar last_id: the highest id that a client has had.
    """

    version: Literal[1] = 1
    server_number: _NUMBER
    cursor_marks: Annotated[tuple[tuple[_MARK, _NUMBER, _NUMBER], ...], Field(max_length=NUMBERS)]
    scripts: tuple[bytes, ...] = Field(repr=False)
    last_id: _NUMBER


def export(core: Core, registry: ClientRegistry[Client]) -> bytes:
    """What the clients of this data plane share, in its form as bytes."""
    value = SharedValue(
        server_number=core.cursors.server_number,
        cursor_marks=core.cursors.marks.export(),
        scripts=core.scripts.bodies,
        last_id=registry.last_id,
    )
    return value.model_dump_json().encode()


def take_in(state: bytes, core: Core, registry: ClientRegistry[Client]) -> None:
    """Go on with what another data plane has exported.

    @raise InvalidState: it is nothing of the kind, or of a version that this process does not read.
    """
    value = read(SharedValue, state, "what clients share")
    core.cursors.server_number = value.server_number
    core.cursors.marks.take_in(value.cursor_marks)
    core.scripts.learn(value.scripts)
    registry.give_no_id_up_to(value.last_id)


def learn(state: bytes, core: Core) -> None:
    """Know the scripts that another data plane has exported, beside what there is. This one may have clients.

    @raise InvalidState: as L{take_in} does.
    """
    core.scripts.learn(scripts_of(state))


def of_scripts(bodies: tuple[bytes, ...]) -> bytes:
    """These scripts, and nothing else, for L{learn}."""
    return SharedValue(server_number=0, cursor_marks=(), scripts=bodies, last_id=0).model_dump_json().encode()


def scripts_of(state: bytes) -> tuple[bytes, ...]:
    """The scripts that another data plane has exported.

    @raise InvalidState: as L{take_in} does.
    """
    return read(SharedValue, state, "what clients share").scripts


def last_id(state: bytes) -> int:
    """The highest id that a client has had.

    @raise InvalidState: as L{take_in} does.
    """
    return read(SharedValue, state, "what clients share").last_id


def with_no_id_up_to(state: bytes, after: int) -> bytes:
    """The same, for a process whose clients get higher ids than this."""
    value = read(SharedValue, state, "what clients share")
    return value.model_copy(update={"last_id": max(value.last_id, after)}).model_dump_json().encode()
