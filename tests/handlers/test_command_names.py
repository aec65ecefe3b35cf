"""What a command is called in CLIENT LIST."""

from __future__ import annotations

import pytest

from redisproxy.handlers.command_names import full_name
from tests.wire import Wire


@pytest.mark.parametrize(
    ("command", "name"),
    [
        ("CLIENT LIST", b"client|list"),
        ("client No-Evict", b"client|no-evict"),
        ("CONFIG GET x", b"config|get"),
        ("OBJECT ENCODING k", b"object|encoding"),
        ("GET k", b"get"),
        ("CLIENT", b"client"),
        ("CLIENT FOO", b""),
        ("AUTH list", b"auth"),
    ],
)
def test_a_command_with_subcommands_is_shown_with_its_subcommand(command: str, name: bytes) -> None:
    assert full_name(command.encode().split()) == name


def test_a_name_that_would_forge_a_line_is_not_shown() -> None:
    assert full_name([b"x\nid=1"]) == b""


def test_client_list_shows_it() -> None:
    wire = Wire()
    client = wire.client()
    assert b" cmd=client|list " in client.ask("CLIENT", "LIST")
    client.ask("CLIENT", "FOO")
    other = wire.client()
    assert b" cmd=NULL " in other.ask("CLIENT", "LIST", "ID", 1)
    assert b" cmd=client|info " in other.ask("CLIENT", "INFO")


def test_what_is_refused_is_counted_by_the_name_of_the_command() -> None:
    wire = Wire()
    wire.client().ask("CONFIG", "SET", "a", "b")
    assert dict(wire.metrics.clients.refused) == {"CONFIG": 1}
