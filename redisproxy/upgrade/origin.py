"""How this process was started: what is needed to start the program on disk alike, and who takes whose place."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from redisproxy.upgrade.inheritance import Inheritance
    from redisproxy.upgrade.pidfile import Pidfile


@dataclass(frozen=True)
class CommandLine:
    """How this process was started, so that the program on disk can be started alike.

    @ivar folder: the working directory of then; a daemon has another one by now.
    @ivar environment: what is added to that of this process.
    """

    arguments: Sequence[str]
    folder: str
    environment: Mapping[str, str]

    @classmethod
    def of_this_process(cls, environment: Mapping[str, str]) -> CommandLine:
        """To be called before the process changes its working directory."""
        return cls([sys.executable, *sys.orig_argv[1:]], os.getcwd(), environment)


@dataclass(frozen=True)
class Origin:
    """What this process has from its start.

    @ivar inheritance: of the process whose place it takes; None when it was just started.
    """

    command: CommandLine
    pidfile: Pidfile
    inheritance: Inheritance | None
