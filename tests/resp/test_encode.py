"""What the proxy sends of its own."""

from __future__ import annotations

from redisproxy import resp
from redisproxy.forwarding.twins import encode_command, encode_each


def test_errors_can_not_break_the_line() -> None:
    assert resp.error("ERR a\r\n+OK") == b"-ERR a  +OK\r\n"


def test_commands_are_encoded_whatever_is_in_them() -> None:
    parts: list[bytes | str | int] = ["SET", b"\r\n\xff\x00", "", -12, "\u00e9", b"x" * 12345]
    expected = b"*6\r\n$3\r\nSET\r\n$4\r\n\r\n\xff\x00\r\n$0\r\n\r\n$3\r\n-12\r\n$2\r\n\xc3\xa9\r\n$12345\r\n%b\r\n"
    assert encode_command(*parts) == resp.encode_command(*parts) == expected % (b"x" * 12345)
    assert encode_command() == b"*0\r\n"


def test_commands_that_differ_in_one_argument() -> None:
    names = [b"a", b"", b"\r\n", b"x" * 1000]
    head, tail = b"*2\r\n$3\r\nGET\r\n", b"$1\r\n0\r\n"
    expected = b"".join(head + b"$%d\r\n%b\r\n" % (len(name), name) + tail for name in names)
    assert encode_each(head, names, tail) == resp.encode_each(head, names, tail) == expected
    assert encode_each(head, [], tail) == b""
