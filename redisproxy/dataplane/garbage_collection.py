"""Keeps Python's collector of cyclic garbage from holding up commands.

It looks at every object that there is, now and then, and nothing else runs meanwhile: a tenth of a second with some
thousand clients. What was imported and built at the start is never garbage, so that it need not look at that; and it
does not look while a switchover holds the clients.
"""

from __future__ import annotations

import gc


def leave_out_what_there_is() -> None:
    """Never look again at what exists now; to be called once everything has been built."""
    gc.collect()
    gc.freeze()


def hold() -> None:
    """Do not look until L{go_on}."""
    gc.disable()


def go_on() -> None:
    """Look again."""
    gc.enable()
