"""How a command asks the running proxy, and what it says when there is no answer."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from typing import Any, NoReturn

import click

from redisproxy import config
from redisproxy.cli.admin_client import ANSWER_S, AdminUnreachable, call, fetch
from redisproxy.cli.fleet_answers import peers_lines
from redisproxy.cli.terminal import shown

DONE, REFUSED, UNREACHABLE, INTERRUPTED = 0, 1, 2, 130
"""Exit codes of all commands. 2 is also what a wrong command line ends with."""

CONFIG = click.option(
    "-c", "--config", "path", required=True, type=click.Path(), envvar="REDISPROXY_CONFIG", show_envvar=True,
    help="The configuration of the running proxy.",
)  # fmt: skip
CACERT = click.option("--cacert", type=click.Path(), help="CA file for the admin endpoint's certificate.")
AS_JSON = click.option("--json", "as_json", is_flag=True, help="The answer as JSON, and nothing else.")

WRONG_PASSWORD = """\
the admin endpoint wants another name and password than those of this configuration (section admin):
the running proxy may have been started with another file, or not have read a change of it (SIGHUP does).
Where the file has only a hash, set REDISPROXY_ADMIN_USER and REDISPROXY_ADMIN_PASSWORD."""


def ask_admin(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command the options with which the running proxy is found."""
    return CONFIG(CACERT(command))


def fail(text: str, code: int, as_json: bool) -> NoReturn:
    """End the program, and say why: people on standard error, programs with `as_json` on standard output, too."""
    if as_json:
        click.echo(json.dumps({"ok": False, "error": text}, indent=2))
    click.echo(text, err=True)
    sys.exit(code)


def answer_of(
    path: str,
    page: str,
    fields: dict[str, str] | None,
    cacert: str | None,
    as_json: bool,
    limit_s: float | None = ANSWER_S,
) -> tuple[int, dict[str, Any]]:
    """HTTP status and answer, read from JSON; GET without `fields`. Without an answer the program ends."""
    return _told(lambda: call(admin_of(path, as_json), page, fields, cacert, limit_s), as_json)


def page_of(path: str, page: str, cacert: str | None, as_json: bool) -> tuple[int, bytes]:
    """HTTP status and content of a page."""
    return _told(lambda: fetch(admin_of(path, as_json), page, None, cacert, ANSWER_S), as_json)


def _told(ask: Callable[[], tuple[int, Any]], as_json: bool) -> tuple[int, Any]:
    try:
        status, answer = ask()
    except AdminUnreachable as error:
        fail(str(error), UNREACHABLE, as_json)
    if status == 401:
        fail(WRONG_PASSWORD, UNREACHABLE, as_json)
    return status, answer


def admin_of(path: str, as_json: bool = False) -> config.AdminSettings | None:
    """Where the admin endpoint is. What else the file has wrong does not matter; faults there end the program."""
    try:
        return config.load_admin(path)
    except config.ConfigError as error:
        fail(str(error), REFUSED, as_json)


def show(status: int, answer: dict[str, Any], as_json: bool = False) -> None:
    """Print the answer to a command; one that was refused ends the program."""
    refused = not answer.get("ok")
    if as_json:
        click.echo(json.dumps(answer, indent=2))
    elif refused:
        error = str(answer.get("error", f"HTTP status {status}"))
        click.echo("\n".join(map(shown, error.split("\n"))), err=True)  # each fault has a line
    else:
        rest = {key: value for key, value in answer.items() if key not in ("ok", "peers") and value not in ([], "")}
        lines = [f"{key}: {shown(_words(value))}" for key, value in rest.items()]
        click.echo("\n".join([*lines, *map(shown, peers_lines(answer))]) or "ok")
    if refused:
        sys.exit(REFUSED)


def _words(value: object) -> object:
    return ", ".join(map(str, value)) if isinstance(value, list) else value


def json_of(path: str, page: str, cacert: str | None, what: str, as_json: bool) -> dict[str, Any]:
    """The JSON document at `page`. Without one the program ends.

    @param what: how it is called where the proxy has none, because it is of an older version.
    """
    status, answer = answer_of(path, page, None, cacert, as_json)
    if status == 404:
        old = f"the running proxy has no {what}: upgrade it to this version (redisproxy upgrade)"
        fail(old, REFUSED, as_json)
    if status != 200:
        show(status, answer, as_json)
    return answer
