"""The same conversations with a Redis and with the proxy before another one: the same bytes come back.

Each conversation is sent at once, and again a command at a time, in RESP2 and RESP3.
"""

from __future__ import annotations

import re
import shlex
import socket
from collections.abc import Iterator

import hiredis
import pytest

from redisproxy.resp import encode_command
from tests.end_to_end.harness import Proxy, RedisServer

CONVERSATIONS = {
    "plain": """
        PING; PING x; PING x y; ECHO; ECHO a; FOO; FOO bar baz; GET; GET a b; SET k v; GET k; TYPE k; DBSIZE
        HSET h a 1 b 2; HGETALL h; HGET h nope; SADD st a; SMEMBERS st; ZADD z 1.5 m; ZRANGE z 0 -1 WITHSCORES
        ZSCORE z m; ZSCORE z nope; LRANGE nope 0 -1; INCRBYFLOAT f 1.5; OBJECT HELP; COMMAND COUNT; CONFIG GET maxmemory
        CONFIG GET; CONFIG; SCAN 0 COUNT 1000 MATCH zzz*; SCAN x; SCAN; HSCAN h 0; FUNCTION LIST; FCALL foo 0
        PUBLISH c m; PUBSUB CHANNELS; PUBSUB NUMSUB c; SPUBLISH c m""",
    "what it is": """
        CLUSTER INFO; CLUSTER NODES; CLUSTER SLOTS; CLUSTER SHARDS; CLUSTER MYID; CLUSTER KEYSLOT k; CLUSTER LINKS
        CLUSTER; CLUSTER COUNTKEYSINSLOT 1; CLUSTER GETKEYSINSLOT 1 1; CLUSTER REPLICAS x; CLUSTER SLAVES x
        CLUSTER HELP; READONLY; READWRITE; ASKING; READONLY x; PING; MODULE LIST; MODULE HELP; MODULE; PFADD hl a
        PFDEBUG ENCODING hl; PFDEBUG GETREG nope; PFDEBUG; MULTI; CLUSTER INFO; CLUSTER KEYSLOT k; PING; EXEC
        MULTI; MODULE LIST; EXEC
        SELECT 3; READONLY; SET three 1; SELECT 0; GET three""",
    "databases": """
        SELECT; SELECT x; SELECT 99; SELECT -1; SELECT 1 2; SELECT 3; SET k v; GET k; SELECT 0; GET k; SELECT 1e1
        SELECT " 1"; SELECT 9999999999999999999999; GET k""",
    "login": """
        AUTH; AUTH x; AUTH default x; AUTH nobody x; AUTH a b c; HELLO x; HELLO 1; HELLO 4; HELLO 2 AUTH x; HELLO 2 FOO
        HELLO 2 SETNAME; HELLO 2 SETNAME "a b"; ACL WHOAMI; ACL WHOAMI x; RESET x; RESET; ACL WHOAMI""",
    "names": """
        CLIENT SETNAME nm; CLIENT GETNAME; CLIENT SETNAME ""; CLIENT GETNAME; CLIENT SETNAME "a b"; CLIENT SETNAME
        CLIENT; CLIENT FOO; CLIENT ID x; CLIENT REPLY; CLIENT REPLY FOO; CLIENT NO-EVICT; CLIENT NO-EVICT on
        CLIENT NO-EVICT off
        CLIENT NO-EVICT x; CLIENT GETREDIR; CLIENT TRACKINGINFO; CLIENT INFO x""",
    "other clients": """
        CLIENT KILL; CLIENT KILL 1.2.3.4:5; CLIENT KILL ID; CLIENT KILL ID x; CLIENT KILL ID 99999; CLIENT KILL ID 0
        CLIENT KILL FOO x; CLIENT KILL TYPE foo; CLIENT KILL TYPE master; CLIENT KILL USER default ID 99999
        CLIENT KILL USER nobody
        CLIENT KILL SKIPME x; CLIENT KILL ADDR 1.2.3.4:5 SKIPME no; CLIENT KILL LADDR 1.2.3.4:5; CLIENT KILL ID 5 SKIPME
        CLIENT LIST TYPE; CLIENT LIST TYPE foo; CLIENT LIST TYPE master; CLIENT LIST ID; CLIENT LIST ID x
        CLIENT LIST ID 99999; CLIENT LIST FOO; CLIENT UNBLOCK; CLIENT UNBLOCK x; CLIENT UNBLOCK 99999
        CLIENT UNBLOCK 1 foo; CLIENT UNBLOCK 0; CLIENT UNBLOCK -1; CLIENT UNBLOCK 01; CLIENT UNBLOCK +1
        CLIENT LIST ID 0; CLIENT LIST ID -1; CLIENT LIST ID 01; CLIENT KILL ID -1""",
    "transactions": """
        MULTI x; EXEC; EXEC x; DISCARD; DISCARD x; WATCH; UNWATCH x; UNWATCH; MULTI; MULTI; SET a 1; EXEC
        MULTI; WATCH a; GET a; EXEC; MULTI; GET; GET a; EXEC; MULTI; FOO; EXEC; MULTI; INCR a; LPUSH a x; EXEC
        MULTI; SELECT 5; SET five 1; EXEC; GET five; SELECT 0; MULTI; SELECT 99; PING; EXEC; MULTI; SELECT x; EXEC
        MULTI; DISCARD; MULTI; UNWATCH; EXEC; MULTI; BLPOP nolist 0; EXEC; MULTI; EXEC
        MULTI; SCAN 0 COUNT 1000 MATCH zzz; EXEC; MULTI; EVAL "return 1" 0; EXEC; MULTI; WAIT 0 0; EXEC
        WATCH a; SET a 2; MULTI; GET a; EXEC; WATCH a; UNWATCH; MULTI; GET a; EXEC
        WATCH a b; DISCARD; MULTI; GET a; DISCARD; EXEC""",
    "session inside of MULTI": """
        MULTI; CLIENT GETNAME; CLIENT SETNAME nm; CLIENT GETNAME; GET a; CLIENT SETNAME "a b"; CLIENT REPLY x; EXEC
        CLIENT GETNAME
        MULTI; CLIENT ID x; EXEC; MULTI; CLIENT; EXEC; MULTI; CLIENT FOO; GET; PING; EXEC; MULTI; CLIENT NO-EVICT; EXEC
        MULTI; CLIENT NO-EVICT on; CLIENT NO-EVICT x; CLIENT TRACKINGINFO; CLIENT GETREDIR; CLIENT LIST FOO; EXEC
        MULTI; CLIENT LIST ID 99999; CLIENT LIST TYPE master; CLIENT KILL foo; CLIENT UNBLOCK 99999; CLIENT UNBLOCK x
        EXEC; MULTI; CLIENT UNBLOCK; DISCARD; EXEC
        MULTI; AUTH; EXEC; MULTI; AUTH x; AUTH a b; AUTH a b c; ACL WHOAMI; EXEC; MULTI; ACL WHOAMI x; ACL WHOAMI; EXEC
        MULTI; HELLO; HELLO 4; HELLO 2 FOO; HELLO x; HELLO 2 AUTH a b; EXEC; MULTI; HELLO 2 SETNAME q; EXEC
        CLIENT GETNAME; HELLO 2; MULTI; GET nope; HELLO 3; GET nope; CLIENT TRACKINGINFO; HELLO 3 FOO; EXEC; GET nope
        CLIENT TRACKINGINFO; MULTI; HELLO 2; GET nope; EXEC; GET nope; MULTI; HELLO 3; DISCARD; GET nope
        MULTI; HELLO 3; HELLO 2; HELLO 3; CLIENT GETNAME; EXEC; GET nope; MULTI; HELLO 2; CLIENT FOO; EXEC; GET nope
        HELLO 2; MULTI; HELLO 3; SELECT 4; SET k v; EXEC; GET k; GET nope; SELECT 0
        MULTI; SELECT 3; CLIENT SETNAME three; SET k v; EXEC; GET k; CLIENT GETNAME; SELECT 0; GET k
        MULTI; CLIENT SETNAME four; SELECT 99; CLIENT GETNAME; EXEC; MULTI; CLIENT SETNAME gone; DISCARD; CLIENT GETNAME
        MULTI; CLIENT SETNAME gone; GET; EXEC; CLIENT GETNAME; MULTI; RESET x; EXEC; MULTI; MULTI; CLIENT GETNAME
        WATCH a; CLIENT GETNAME; LRANGE nope 0 -1; SET a 1; GET a; CLIENT GETNAME; EXEC
        WATCH a; SET a 2; MULTI; CLIENT SETNAME gone; EXEC; CLIENT GETNAME; MULTI; RESET; EXEC; GET a""",
    "subscribing": """
        UNSUBSCRIBE; UNSUBSCRIBE a; PUNSUBSCRIBE; SUNSUBSCRIBE a; SUBSCRIBE; PSUBSCRIBE; SSUBSCRIBE; GET a
        SUBSCRIBE a; PSUBSCRIBE a*; SSUBSCRIBE s; PING; PING x; PING x y; SUNSUBSCRIBE; UNSUBSCRIBE b
        UNSUBSCRIBE; PUNSUBSCRIBE; GET a; SUBSCRIBE a; UNSUBSCRIBE a; SUBSCRIBE a; RESET; GET a
        HELLO 3; SUBSCRIBE a; PING; GET a; LRANGE l 0 -1
        RPUSH l message a b; LRANGE l 0 -1; RPUSH m subscribe x; LRANGE m 0 -1; RESET""",
    "refused to a subscriber": """
        HELLO 2; SUBSCRIBE a; GET; GET x; FOO; CLIENT; CLIENT FOO; CLIENT ID; CLIENT ID x; CONFIG GET x; CONFIG SET a b
        OBJECT ENCODING k; ACL WHOAMI; AUTH; AUTH x; HELLO 3; MULTI; EXEC; DISCARD; WATCH k; SELECT 1
        BLPOP l 0; RESET""",
    "WATCH and subscriptions": """
        WATCH k; UNSUBSCRIBE; MULTI; PING; EXEC; WATCH k; SUBSCRIBE a; UNSUBSCRIBE a; MULTI; PING; EXEC
        WATCH k; SUBSCRIBE a; UNSUBSCRIBE a; SET k 1; MULTI; PING; EXEC; WATCH k; SUBSCRIBE a; RESET; SET k 2; MULTI
        PING; EXEC; SUBSCRIBE a; UNSUBSCRIBE; WATCH k; MULTI; UNSUBSCRIBE; PUNSUBSCRIBE x; SUNSUBSCRIBE; SET k 3; EXEC
        WATCH k; SET k 4; UNSUBSCRIBE; MULTI; UNSUBSCRIBE; EXEC; MULTI; SUBSCRIBE; EXEC; MULTI; SSUBSCRIBE a; PING; EXEC
        WATCH k; PSUBSCRIBE a*; PUNSUBSCRIBE; UNWATCH; SET k 5; MULTI; PING; EXEC; MULTI; UNSUBSCRIBE; DISCARD""",
    "waiting": """
        SET a 1; BLPOP; BLPOP x; BLPOP x foo; BLPOP x -1; BLPOP a 0.01; BLPOP x 0.02; RPUSH l 1 2 3; BLPOP l 0
        BRPOP l 0
        BLMOVE l m LEFT RIGHT 0; BRPOPLPUSH m l 0.01; BLMPOP 0.01 1 l LEFT; BLMPOP 0.01 0 l LEFT; BLMPOP foo 1 l LEFT
        BZPOPMIN z 0.01; ZADD z 1.5 m; BZPOPMAX z 0; BZMPOP 0.01 1 z MIN
        XADD s 1-1 f v; XREAD BLOCK 10 STREAMS s $; XREAD BLOCK x STREAMS s 0; XREAD STREAMS s 0
        XREAD BLOCK 10 STREAMS s 0; XREAD BLOCK 0; XREAD BLOCK; XREAD BLOCK 10 STREAMS s; XREAD BLOCK 10 STREAMS s t 0
        XREADGROUP GROUP g c BLOCK 10 STREAMS s >; XGROUP CREATE s g 0; XREADGROUP GROUP g c BLOCK 10 STREAMS s >
        XREADGROUP GROUP g c COUNT 1 STREAMS s 0; XREAD COUNT 1 BLOCK 5 STREAMS a $
        WAIT; WAIT x 0; WAIT 0 x; WAIT 0 -1; WAIT 0 0; WAIT 1 20""",
    "scripts": """
        SET a 1; EVAL "return redis.call('get',KEYS[1])" 1 a; EVAL "return {1,2,{3,'x'}}" 0; EVAL foo 0
        EVAL "redis.setresp(3) return redis.call('hgetall', 'h')" 0; EVALSHA 0000000000000000000000000000000000000000 0
        EVAL "return {double=3.5}" 0; EVAL "return {big_number='12345678901234567890'}" 0; EVAL "return false" 0
        EVAL "return {map={a=1}}" 0; EVAL "return {set={a=true}}" 0
        EVAL "return {verbatim_string={format='txt',string='x'}}" 0
        SCRIPT EXISTS 0000000000000000000000000000000000000000; SCRIPT LOAD "return 7"; SCRIPT; SCRIPT FOO
        EVALSHA 4ca238f611c9d0ae4e9a75a5dbac22aedc1e44e1 0""",
}
RAW = {
    "inline": b'PING\r\nping hello\r\n\r\nPING "a b"\r\nSET a "x\\x41\\n"\r\nGET a\r\nset a \'b c\'\r\nget a\r\n',
    "empty": b"*0\r\n*-1\r\n*0\r\nPING\r\n*1\r\n$4\r\npInG\r\n",
    "quote": b'PING "a\r\n',
    "quote-end": b"PING 'a'b\r\n",
    "negative": b"*1\r\n$-1\r\n",
    "letters": b"*1\r\n$x\r\n",
    "count": b"*x\r\n",
    "type": b"*1\r\n+4\r\n",
    "bulk": b"*1\r\n$536870913\r\n",
    "arguments": b"*2147483648\r\n",
    "end": b"*1\r\n$3\r\nGETX\r\n*1\r\n$4\r\nPING\r\n",
    "line-feed": b"*1\n$4\nPING\n",
    "mute": b"".join(encode_command("CLIENT", "REPLY", how) + encode_command("PING") for how in ("SKIP", "OFF", "ON")),
    "mute inside": b"".join(
        encode_command(*line.split())
        for how in ("SKIP", "OFF", "ON")
        for line in ("MULTI", f"CLIENT REPLY {how}", "ECHO e", "UNSUBSCRIBE", "EXEC", "PING", "PING", "CLIENT REPLY ON")
    ),
    "mute and subscribe": b"".join(
        encode_command(*line.split())
        for how in ("SKIP", "OFF", "ON")
        for version in (2, 3)
        for line in (
            f"HELLO {version}",
            f"CLIENT REPLY {how}",
            "SUBSCRIBE a",
            "PING",
            "UNSUBSCRIBE a",
            "PING",
            "UNSUBSCRIBE",
            "SUBSCRIBE",
            "PSUBSCRIBE a*",
            "PING x",
            "PUNSUBSCRIBE",
            "CLIENT REPLY SKIP",
            "UNSUBSCRIBE",
            "PING",
            "CLIENT REPLY ON",
        )
    ),
    "mute again": b"".join(
        encode_command(*line.split())
        for line in (
            "CLIENT REPLY SKIP",
            "CLIENT REPLY SKIP",
            "PING x",
            "PING y",
            "CLIENT REPLY SKIP",
            "RESET",
            "PING z",
        )
    ),
    "mute and reset": b"".join(
        encode_command(*line.split()) for line in ("CLIENT REPLY OFF", "SUBSCRIBE a", "RESET", "PING")
    ),
    "http": b"POST / HTTP/1.1\r\nHost: x\r\n\r\n",
}
INCOMPLETE = object()
IDENTITY = re.compile(rb"(\$2\r\nid\r\n:)\d+")


@pytest.fixture(scope="module")
def ports() -> Iterator[tuple[int, int]]:
    with RedisServer() as alone, RedisServer() as behind, Proxy(behind.uplink, pubsub=True) as proxy:
        yield alone.port, proxy.port


def commands(text: str) -> list[bytes]:
    """Split a conversation into its commands, at semicolons and ends of lines."""
    lines = [each.strip() for each in text.replace("\n", "; ").split("; ")]
    return [encode_command(*shlex.split(line)) for line in lines if line]


def talk(port: int, data: bytes) -> bytes:
    """Send a conversation at once and return what comes back until the connection is closed."""
    answer = b""
    with socket.create_connection(("127.0.0.1", port), 10) as sock:
        sock.sendall(data)
        while True:
            try:
                piece = sock.recv(65536)
            except ConnectionResetError:
                piece = b""
            if not piece:
                return answer
            answer += piece


def ask(port: int, parts: list[bytes]) -> list[bytes]:
    """Send one command after the other and return the replies."""
    answers = []
    with socket.create_connection(("127.0.0.1", port), 10) as sock:
        for part in parts:
            sock.sendall(part)
            reader, answer = hiredis.Reader(notEnoughData=INCOMPLETE), b""
            while reader.gets() is INCOMPLETE:
                answer += (piece := sock.recv(65536))
                reader.feed(piece)
            answers.append(IDENTITY.sub(rb"\g<1>0", answer))
    return answers


@pytest.mark.parametrize("version", [2, 3])
@pytest.mark.parametrize("name", CONVERSATIONS)
def test_a_conversation_sent_at_once(ports: tuple[int, int], name: str, version: int) -> None:
    begin = [encode_command("HELLO", version), encode_command("FLUSHALL"), encode_command("CLIENT", "SETNAME", "x")]
    data = b"".join([*begin, *commands(CONVERSATIONS[name]), encode_command("QUIT")])
    theirs, ours = (IDENTITY.sub(rb"\g<1>0", talk(port, data)) for port in ports)
    assert ours == theirs


@pytest.mark.parametrize("version", [2, 3])
@pytest.mark.parametrize("name", CONVERSATIONS)
def test_a_conversation_a_command_at_a_time(ports: tuple[int, int], name: str, version: int) -> None:
    parts = [encode_command("HELLO", version), encode_command("FLUSHALL"), *commands(CONVERSATIONS[name])]
    theirs, ours = (ask(port, parts) for port in ports)
    for part, their, our in zip(parts, theirs, ours, strict=True):
        assert our == their, part


@pytest.mark.parametrize("name", RAW)
def test_odd_bytes(ports: tuple[int, int], name: str) -> None:
    theirs, ours = (IDENTITY.sub(rb"\g<1>0", talk(port, RAW[name] + encode_command("QUIT"))) for port in ports)
    assert ours == theirs
