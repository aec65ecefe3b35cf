"""Programs that a configuration names, each a list of arguments: where they are, and whether they can be run."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any


def take_program(where: str, section: dict[str, Any], key: str, folder: Path, faults: list[str]) -> None:
    """Make the program in `section` absolute if it is named with a folder, and see that it is there.

    Without a folder it is looked for in C{PATH}. A value of another type is left for whoever checks that.

    @param where: the path of `section`, with which what is added to `faults` begins.
    @param folder: what the names of programs are relative to.
    """
    command = section.get(key)
    if not isinstance(command, list) or not command or not isinstance(command[0], str) or not command[0]:
        return
    name = command[0]
    if os.sep in name:
        name = os.path.normpath(os.path.join(folder, name))
        section[key] = [name, *command[1:]]
    try:
        found = shutil.which(name)
    except ValueError:
        found = None
    if found is None:
        faults.append(f"{where}.{key}: {command[0]} is no program that can be run")
