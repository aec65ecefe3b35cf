"""What is read as a configuration file, and what is told of one that is none."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.config.loading import faults, load


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("{", "not JSON: "),
        ("[]", "expected an object"),
        ('{"a": 1, "a": 2}', "a: the key is there twice"),
        ('{"a": NaN}', "NaN"),
        ("[" * 100000, "nested too deeply"),
    ],
)
def test_files_that_are_no_configuration(write: Any, text: str, part: str) -> None:
    assert part in faults(write(text))[0]


def test_a_file_that_is_not_there_is_too_large_or_not_utf8(tmp_path: Path) -> None:
    assert "No such file" in faults(str(tmp_path / "none.json"))[0]
    path = tmp_path / "x.json"
    path.write_bytes(b" " * 1048577)
    assert "larger than" in faults(str(path))[0]
    path.write_bytes(b'{"\xff": 1}')
    assert "not UTF-8" in faults(str(path))[0]


def test_every_key_that_is_there_twice_is_told_with_its_path(write: Any) -> None:
    text = '{"uplink": {"addr": "a:1", "addr": "b:1"}, "listen": [{"addr": ":1", "tls": false, "tls": false}]}'
    assert faults(write(text)) == ("uplink.addr: the key is there twice", "listen[0].tls: the key is there twice")


def test_numbers_of_any_length_and_a_byte_order_mark(write: Any, tmp_path: Path) -> None:
    assert "too many digits" in faults(write('{"read_time_limit_ms": ' + "9" * 5000 + "}"))[0]
    path = write()
    Path(path).write_bytes(b"\xef\xbb\xbf" + Path(path).read_bytes())
    assert load(path)


COMMENTED = """// The proxy of the shop.
{
  /* Where clients
     connect. */
  "listen": {"addr": ":7010"}, // all interfaces
  "uplink": {"addr": "a//b:1".replace} /**/
}
"""


def test_comments_are_passed_over_and_strings_are_left_alone(write: Any) -> None:
    text = COMMENTED.replace('"a//b:1".replace', '"a:1", "user": "x // y /* z */ \\\\", "pass": "\\"// no comment"')
    settings = load(write(text))
    assert settings.uplink.user == "x // y /* z */ \\" and str(settings.listen[0].address) == ":7010"
    assert settings.uplink.password is not None and settings.uplink.password.get_secret_value() == '"// no comment'


@pytest.mark.parametrize(
    ("text", "place"),
    [
        (COMMENTED, "line 6, column 30"),
        ('/* ä */ {"a" 1}', "line 1, column 14"),
        ('/* two\nlines */ {"a": 1} x', "line 2, column 19"),
        ('{"a": 1} /* no end', "line 1, column 10"),
        ('{"a": 1} /*/', "line 1, column 10"),
        ('{"a": "no end // ', "line 1, column 7"),
        ("/" * 500_000, "line 1, column 500001"),
        ("/* " * 300_000, "line 1, column 1"),
        ('\\"' * 500_000, "line 1, column 1"),
    ],
)
def test_a_fault_after_comments_is_told_where_it_is(write: Any, text: str, place: str) -> None:
    (fault,) = faults(write(text))
    assert "not JSON: " in fault and place in fault


def test_a_file_may_name_its_schema(write: Any) -> None:
    assert load(write('{"$schema": "schema.json", "uplink": {"addr": "a:1"}, "listen": {"addr": ":1"}}'))
    found = faults(write('{"$schema": 1, "uplink": {"addr": "a:1"}, "listen": {"addr": ":1"}}'))
    assert found == ("$schema: unknown key",)
