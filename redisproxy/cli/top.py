"""C{redisproxy top}: the proxy and its clients, live."""

from __future__ import annotations

import json
import os
import re
import select
import signal
import sys
import termios
import threading
import tty
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

import click

from redisproxy.cli.admin_client import ANSWER_S, AdminUnreachable, call
from redisproxy.cli.asking import AS_JSON, DONE, REFUSED, WRONG_PASSWORD, admin_of, ask_admin, json_of

if TYPE_CHECKING:
    from redisproxy.cli.top_screen import Told, View
    from redisproxy.config import AdminSettings

SORTED_BY = ("pending", "idle_s", "age_s", "id", "addr", "name", "cmd", "state")
UP, DOWN, PAGE_UP, PAGE_DOWN, ESCAPE = b"\x1b[A", b"\x1b[B", b"\x1b[5~", b"\x1b[6~", b"\x1b"
KEY = re.compile(rb"\x1b\[[0-?]*[ -/]*[@-~]|\x1bO[@-~]|.", re.DOTALL)
"""What one key sends: a control sequence (ECMA-48, 5.4), that of a keypad in application mode, or a byte."""
SCROLL = {UP: -1, b"k": -1, DOWN: 1, b"j": 1, PAGE_UP: -10, PAGE_DOWN: 10}
ROWS = 500
MAX_TEXT = 100


@click.command(short_help="Watch the proxy and its clients, live.")
@ask_admin
@click.option(
    "--interval", type=click.FloatRange(0.2, 60), default=1.0, show_default=True, help="Seconds between looks."
)
@click.option("--once", is_flag=True, help="Print one screen and end; done anyway where there is no terminal.")
@AS_JSON
def top(path: str, cacert: str | None, interval: float, once: bool, as_json: bool) -> None:
    """Watch the proxy and its clients, live: q or Ctrl-C ends it.

    s takes the next column to sort by, r reverses, / filters, arrows scroll.

    Exit code 0: ended by the user. 2: there was no answer at the start; later ones are waited for.
    """
    from redisproxy.cli.top_screen import Told, View

    info = json_of(path, "/info.json", cacert, "state", as_json)
    asking = _Asking(admin_of(path), cacert, View())
    told = asking.look(Told(info))
    if as_json:
        click.echo(json.dumps({"info": told.info, "figures": told.figures, "clients": told.clients}, indent=2))
    elif once or not (sys.stdin.isatty() and sys.stdout.isatty()):
        _print(told, asking.view)
    else:
        _watch(asking, told, interval)


def _print(told: Told, view: View) -> None:
    from rich.console import Console

    from redisproxy.cli.top_screen import HEAD_LINES, frame

    console = Console(highlight=False)
    height = HEAD_LINES + len(told.clients.get("clients", ()))
    for line in frame(told, view, console.width, height, _speaks_unicode(console)):
        console.print(line, crop=True)


def _speaks_unicode(console: Any) -> bool:
    return str(console.encoding).lower().startswith("utf")


class _Asking:
    """Asks the proxy, again and again, in a thread: the screen answers to keys while the proxy does not.

    @ivar view: what the user wants to see. @ivar changed: a descriptor that can be read when there is news.
    @ivar code: the exit code, when the program is to end.
    """

    def __init__(self, admin: AdminSettings | None, cacert: str | None, view: View) -> None:
        self._admin = admin
        self._cacert = cacert
        self._wanted = threading.Event()
        self.view = view
        self.told: Told | None = None
        self.code: int | None = None
        self.changed, self._tell = os.pipe()

    def start(self, told: Told, interval_s: float) -> None:
        """Look every `interval_s` seconds, and at once when L{hurry} is called."""
        self.told = told
        threading.Thread(target=self._run, args=(interval_s,), daemon=True).start()

    def hurry(self) -> None:
        """The user wants to see something else."""
        self._wanted.set()

    def end(self, code: int) -> None:
        """The program is to end. A signal says so at any time, so that nothing more is done here."""
        self.code = code
        os.write(self._tell, b".")

    def _run(self, interval_s: float) -> None:
        while True:
            self._wanted.wait(interval_s)
            self._wanted.clear()
            assert self.told is not None
            self.told = self.look(self.told)
            os.write(self._tell, b".")

    def look(self, before: Told) -> Told:
        """What the proxy tells now; what it does not tell stays as it was, with the reason."""
        view = self.view
        which = {"sort": f"{'-' if view.descending else ''}{view.sort}", "limit": str(ROWS)}
        which |= {"text": view.text} if view.text else {}
        try:
            info = self._page("/info.json")
            figures, clients = self._page("/figures.json"), self._page(f"/clients.json?{urlencode(which)}")
        except AdminUnreachable as error:
            return replace(before, error=str(error))
        return replace(before, info=info or before.info, figures=figures, clients=clients, error="")

    def _page(self, path: str) -> dict[str, Any]:
        status, answer = call(self._admin, path, None, self._cacert, ANSWER_S)
        if status == 401:
            raise AdminUnreachable(WRONG_PASSWORD)
        if status not in (200, 404):
            raise AdminUnreachable(str(answer.get("error", f"HTTP status {status}")))
        return dict(answer) if status == 200 else {}


def _watch(asking: _Asking, told: Told, interval_s: float) -> None:
    from rich.console import Console, Group
    from rich.live import Live

    from redisproxy.cli.top_screen import frame

    console = Console(highlight=False)
    if console.is_dumb_terminal:
        click.echo("this terminal can't show a screen that changes: use --once", err=True)
        sys.exit(REFUSED)
    unicode = _speaks_unicode(console)

    def screen() -> Group:
        assert asking.told is not None
        return Group(*frame(asking.told, asking.view, console.width, console.height, unicode))

    asking.start(told, interval_s)
    with _keyboard(asking) as keys, Live(screen(), console=console, screen=True, auto_refresh=False) as live:
        while asking.code is None:
            live.update(screen(), refresh=True)
            _wait(keys, asking)
    sys.exit(asking.code)


@contextmanager
def _keyboard(asking: _Asking) -> Iterator[int]:
    """Keys come at once and are not shown, until this ends. Signals end the program at its next look, in order."""
    keys = sys.stdin.fileno()
    before = termios.tcgetattr(keys)
    signal.signal(signal.SIGINT, lambda number, frame: asking.end(DONE))  # the usual way to end it
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda number, frame: asking.end(128 + number))
    signal.signal(signal.SIGTSTP, signal.SIG_IGN)  # a shell would come back to a screen that is not its own
    try:
        tty.setcbreak(keys, termios.TCSANOW)
        yield keys
    finally:
        termios.tcsetattr(keys, termios.TCSANOW, before)


def _wait(keys: int, asking: _Asking) -> None:
    """Wait for a key or for news."""
    ready, _, _ = select.select([keys, asking.changed], [], [], 1)
    if asking.changed in ready:
        os.read(asking.changed, 4096)
    if keys in ready:
        _typed(os.read(keys, 4096) or b"q", asking)


def _typed(typed: bytes, asking: _Asking) -> None:
    view = asking.view
    before = view.sort, view.descending, view.text
    for key in _keys_of(typed):
        if view.typing:
            _type(key, view)
        elif key == b"q":
            asking.code = DONE
        else:
            _choose(key, view)
    if (view.sort, view.descending, view.text) != before:
        asking.hurry()


def _keys_of(typed: bytes) -> Iterator[bytes]:
    """One key after the other; one that sends several bytes is one key, also when nothing is known of it."""
    yield from KEY.findall(typed)


def _type(key: bytes, view: View) -> None:
    if key in (b"\r", b"\n", ESCAPE):
        view.typing = False
        view.text = "" if key == ESCAPE else view.text
    elif key in (b"\x7f", b"\b"):
        view.text = view.text[:-1]
    elif len(key) == 1 and 32 <= key[0] < 127 and len(view.text) < MAX_TEXT:
        view.text += key.decode()


def _choose(key: bytes, view: View) -> None:
    if key == b"s":
        view.sort = SORTED_BY[(SORTED_BY.index(view.sort) + 1) % len(SORTED_BY)]
    elif key == b"r":
        view.descending = not view.descending
    elif key == b"/":
        view.typing = True
    else:
        view.first += SCROLL.get(key, 0)
