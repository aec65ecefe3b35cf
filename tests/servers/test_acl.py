"""ACL users of two servers are compared whatever the version that writes them down, and their passwords never shown."""

from __future__ import annotations

from redisproxy.servers.acl import AclUser, users_of, without_hashes

HASH, OTHER_HASH = b"#" + b"ab12" * 16, b"#" + b"cd34" * 16


def user(rules: bytes) -> AclUser:
    (found,) = users_of([b"user alice " + rules]).values()
    return found


def differences(old: bytes, new: bytes, passwords: bool = True) -> list[str]:
    return list(user(old).differences(user(new), passwords))


def test_what_versions_write_down_differently_is_the_same() -> None:
    redis_6 = b"on " + HASH + b" ~a* ~b* resetchannels &c -@all +get"
    redis_8 = b"on sanitize-payload " + HASH + b" ~b* ~a* resetchannels &c -@all +get"
    assert differences(redis_6, redis_8) == []
    assert differences(b"on nopass ~* &* +@all", b"on nopass sanitize-payload allkeys allchannels allcommands") == []
    selector = b"on ~a (~b resetchannels -@all +get)"
    assert differences(selector, b"on ~a (~b -@all +get)") == []


def test_every_kind_of_difference_is_told_and_no_password() -> None:
    old = b"on " + HASH + b" ~a &c -@all +get (~x +set)"
    assert differences(old, b"off " + OTHER_HASH + b" ~b &d -@all +set (~x +del)") == [
        "disabled", "other passwords", "other keys", "other channels", "other commands", "other selectors",
    ]  # fmt: skip
    assert differences(old, old.replace(HASH, OTHER_HASH), passwords=False) == []
    assert differences(old, old.replace(HASH, b"nopass")) == ["other passwords"]
    assert differences(b"on +get -@write", b"on -@write +get") == ["other commands"], "their order counts"


def test_the_arguments_make_the_same_user_from_any_other() -> None:
    written = user(b"on " + HASH + b" " + OTHER_HASH + b" ~a* (%R~b -@all +get) -@all +get")
    assert written.arguments == (
        b"alice", b"reset", b"on", b"~a*", b"(%R~b -@all +get)", b"-@all", b"+get", HASH, OTHER_HASH,
    )  # fmt: skip


def test_no_hash_gets_into_a_text() -> None:
    assert "ab12" not in repr(user(b"on " + HASH))
    assert without_hashes(f"Error in modifier '{HASH.decode()}'") == "Error in modifier '(a password)'"


def test_what_is_no_list_of_users_has_none() -> None:
    assert users_of(None) == {} and users_of([17, b"", b"user", b"nonsense on"]) == {}
