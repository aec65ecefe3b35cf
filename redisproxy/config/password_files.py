"""Files with passwords, one a line."""

from __future__ import annotations

from redisproxy.config.certificates import read_file
from redisproxy.config.section import MAX_PASSWORDS


def passwords_in(path: str) -> tuple[str, ...]:
    """The passwords in the file at `path`: each line is one, spaces and all; empty lines are none.

    @raise ValueError: it can't be read, or has none, or too many; the text never holds any of it.
    """
    try:
        lines = read_file(path).decode("utf-8").split("\n")
    except UnicodeDecodeError:
        raise ValueError("the file is not UTF-8") from None
    found = tuple(line for line in (each.removesuffix("\r") for each in lines) if line)
    if not found:
        raise ValueError("the file is empty")
    if len(found) > MAX_PASSWORDS:
        raise ValueError(f"the file has more than {MAX_PASSWORDS} lines, each of which would be a password")
    return found
