"""Makes values for arguments, by the name and type that COMMAND DOCS gives them, and odd ones."""

from __future__ import annotations

import hashlib
import random

PREFIXES = {
    "string": b"s",
    "list": b"l",
    "set": b"S",
    "sorted-set": b"z",
    "hash": b"h",
    "stream": b"x",
    "geo": b"g",
    "hyperloglog": b"p",
    "bitmap": b"b",
}
"""What the keys of each group begin with. Only sets whose names end with "text" hold anything but integers."""
SCRIPTS = [
    b"return 1",
    b"return {1,2,{3,'x'}}",
    b"return redis.call('get',KEYS[1])",
    b"return redis.call('set',KEYS[1],ARGV[1])",
    b"return redis.call('rpush',KEYS[1],unpack(ARGV))",
    b"return redis.pcall('incr',KEYS[1])",
    b"return {KEYS[1],ARGV[1],#KEYS,#ARGV}",
    b"return redis.error_reply('MY error')",
    b"return redis.status_reply('fine')",
    b"redis.setresp(3) return redis.call('hget',KEYS[1],'f1')",
    b"return {double=3.5}",
    b"return {map={a=1}}",
    b"return false",
    b"return nil",
    b"error('x')",
    b"this is no Lua",
    b"return redis.call('blpop',KEYS[1],0)",
    b"return redis.call('nope')",
    b"return redis.call('publish','ch1','from Lua')",
    b"return redis.call('select',1)",
    b"return redis.sha1hex(ARGV[1])",
    b"return string.rep('x',20000)",
    b"#!lua flags=no-writes\nreturn redis.call('exists',KEYS[1])",
    b"#!lua flags=allow-stale,nope\nreturn 1",
]
HASHES = [hashlib.sha1(script).hexdigest().encode() for script in SCRIPTS]
LIBRARIES = [
    b"#!lua name=one\nredis.register_function('f1', function(keys, args)"
    b" return redis.call('set', keys[1], args[1]) end)",
    b"#!lua name=two\nredis.register_function{function_name='f2', callback=function(keys, args) return #args end,"
    b" flags={'no-writes'}}",
    b"#!lua name=bad\nreturn nothing",
    b"no shebang",
]
ODD = [
    b"",
    b"\r\n",
    b"*1\r\n$4\r\nPING\r\n",
    b"\0\xff\xfe",
    b"a b",
    b'"',
    b"-0",
    b"+5",
    b"1e3",
    b"nan",
    b"-inf",
    b"inf",
    b"9223372036854775807",
    b"9223372036854775808",
    b"-9223372036854775808",
    b"0x10",
    b" 1",
    b"01",
    b"-1",
    b"0",
    b"1.5",
    b"x" * 200,
    b"%s%n",
    b"*",
    b"[",
    b"(1",
    b"$",
    b">",
    b"+",
    b"-",
    b"KEYS",
    b"COUNT",
    b"WITHSCORES",
]
_WORDS = [b"a", b"b", b"hello", b"1", b"2", b"10", b"3.5", b"foo bar", b"x" * 70, b"\xc3\xa9", b"with\r\nbreak"]
_INTEGERS = [b"0", b"1", b"2", b"3", b"5", b"10", b"-1", b"-2", b"100"]
_DOUBLES = [b"0", b"1", b"1.5", b"-3", b"2e2", b"inf", b"-inf", b"0.1", b"17"]
_IDS = [b"0", b"0-0", b"1-1", b"2-1", b"3-3", b"5", b"9-*", b"7-7", b"100-0", b"200-5"]
BY_NAME: dict[str, list[bytes]] = {
    "script": SCRIPTS,
    "sha1": [*HASHES, b"0" * 40],
    "function": [b"f1", b"f2", b"nope"],
    "function-code": LIBRARIES,
    "library-name": [b"one", b"two", b"nope"],
    "field": [b"f1", b"f2", b"f3", b"f4", b""],
    "member": [b"1", b"2", b"3", b"4", b"55", b"-6"],
    "member1": [b"1", b"2", b"Palermo"],
    "member2": [b"3", b"4", b"Catania"],
    "increment": [b"1", b"-1", b"5", b"0.5", b"1e2"],
    "seconds": [b"100000", b"200000", b"0", b"-1"],
    "milliseconds": [b"100000000", b"200000000", b"0", b"-1"],
    "unix-time-seconds": [b"1", b"33177117420", b"0"],
    "unix-time-milliseconds": [b"1", b"33177117420000", b"0"],
    "longitude": [b"13.361389", b"15.087269", b"0", b"-180", b"200"],
    "latitude": [b"38.115556", b"37.502669", b"0", b"85", b"90"],
    "radius": [b"100", b"200.5", b"100000", b"-1"],
    "width": [b"400"],
    "height": [b"400", b"0"],
    "group": [b"g1", b"g2", b"nope"],
    "groupname": [b"g1", b"g1", b"g2"],
    "consumer": [b"c1", b"c2"],
    "consumername": [b"c1", b"c2"],
    "min-idle-time": [b"0", b"0", b"1000000000", b"x"],
    "id": [*_IDS, b"$", b">", b"-", b"+", b"*"],
    "last-id": _IDS,
    "max_deleted_entry_id": _IDS,
    "cursor": [b"0", b"0", b"0", b"0", b"x", b"-1"],
    "pattern": [b"*", b"s*", b"?1", b"[sl]2", b"nope", b"w_*", b"#", b"h1->f1", b"\\", b"[^a]*"],
    "encoding": [b"u8", b"i16", b"u63", b"u64", b"i64", b"x", b"WITHVALUES"],
    "offset": [b"0", b"1", b"7", b"10", b"100", b"-1", b"#1", b"#2"],
    "bit": [b"0", b"1", b"2"],
    "channel": [b"ch1", b"ch2", b""],
    "shardchannel": [b"sh1", b"sh2"],
    "message": _WORDS,
    "db": [b"0", b"1", b"2", b"99", b"-1", b"x"],
    "destination-db": [b"0", b"1", b"2", b"99"],
    "index1": [b"0", b"1", b"2", b"99"],
    "index2": [b"0", b"1", b"2", b"99"],
    "host": [b"127.0.0.1"],
    "port": [b"1"],
    "type": [b"string", b"list", b"set", b"zset", b"hash", b"stream", b"nope"],
    "serialized-value": [b"\x00\x01a\n\x00\xf1\x9dF\xb1J\x0c\x9e\xa9", b"nonsense", b""],
    "timeout": [b"0.001"],
    "operation": [b"AND", b"OR", b"XOR", b"NOT", b"nope"],
    "threshold": [b"0", b"1", b"3", b"2-1", b"100"],
    "numreplicas": [b"0", b"0", b"1"],
    "section": [b"server", b"clients", b"nope"],
    "start": [b"0", b"1", b"-3", b"-", b"1-0", b"[a", b"(1"],
    "end": [b"-1", b"3", b"+", b"9-9", b"100"],
    "stop": [b"-1", b"3", b"100"],
    "min": [b"-", b"-inf", b"0", b"(1", b"[a", b"1"],
    "max": [b"+", b"+inf", b"10", b"(5", b"[z"],
    "command": [b"get", b"xadd", b"mset", b"nope", b"sort"],
    "command-name": [b"get", b"client|id", b"nope", b"xadd"],
    "frequency": [b"0", b"5", b"300"],
    "ttl": [b"0", b"100000000", b"-1"],
}
_BY_TYPE = {
    "integer": _INTEGERS,
    "double": _DOUBLES,
    "pattern": BY_NAME["pattern"],
    "unix-time": [b"1", b"33177117420000"],
}


def value(chance: random.Random, name: str, kind: str) -> bytes:
    """One argument that is no key: mostly a valid one."""
    if chance.random() < 0.03:
        return chance.choice(ODD)
    return chance.choice(BY_NAME.get(name) or _BY_TYPE.get(kind) or _WORDS)


def key(chance: random.Random, group: str, prefix: bytes = b"") -> bytes:
    """The name of a key, mostly one that has the type of the group."""
    kinds = list(PREFIXES.values())
    kind = PREFIXES.get(group) or chance.choice(kinds)
    if chance.random() < 0.06:
        kind = chance.choice(kinds)
    if kind == b"S" and group == "set" and chance.random() < 0.3:
        return prefix + b"S%dtext" % chance.randint(1, 2)
    if chance.random() < 0.02:
        return prefix + chance.choice([b"", b"odd key", b"\r\n", b"\0\xff", b"k" * 100])
    return prefix + kind + b"%d" % chance.randint(1, 4)
