"""Write commands with arguments that change something: one example at least of each that the servers of the tests have.

A line is C{setup; setup -> command}. C{@dump(k)} stands for what DUMP answers of C{k}, C{@library} for a library of
functions, C{@libraries} for what FUNCTION DUMP answers, C{@port} for the port of another server.
"""

from __future__ import annotations

import shlex
from typing import NamedTuple

_STREAM = "XADD s 1-1 f v; XADD s 2-1 f v; XADD s 3-1 f v"
_GROUP = f"{_STREAM}; XGROUP CREATE s g 0"
_PENDING = f"{_GROUP}; XREADGROUP GROUP g c COUNT 2 STREAMS s >"
_LISTS = "RPUSH l a b c; RPUSH m x"
_SETS = "SADD a 1 2 3; SADD b 2 3 4"
_ZSETS = "ZADD y 1 a 2 b 3 c; ZADD z 1 a 2 d"
_GEO = "GEOADD geo 13.361389 38.115556 P 15.087269 37.502669 C"
_HASH = "HSET h a 1 b 2"

EXAMPLES = f"""
    SET k 1 -> APPEND k 2
    SET k 1 -> BITFIELD k SET u8 0 255
    SET k 1; SET j 2 -> BITOP AND dst k j
    SET dst 1 -> BITOP AND dst nothing
    {_LISTS} -> BLMOVE l m LEFT RIGHT 1
    {_LISTS} -> BLMPOP 1 2 nothing l LEFT
    {_LISTS} -> BLPOP nothing l 1
    {_LISTS} -> BRPOP nothing l 1
    {_LISTS} -> BRPOPLPUSH l m 1
    {_ZSETS} -> BZMPOP 1 2 nothing y MIN
    {_ZSETS} -> BZPOPMAX nothing y 1
    {_ZSETS} -> BZPOPMIN nothing y 1
    SET k 1 -> COPY k other
    SET k 1 -> COPY k k DB 3
    SET k 1; SET other 2 -> COPY k other REPLACE
    SET k 1 -> DECR k
    -> DECR k
    SET k 1 -> DECRBY k 3
    SET k 1; SET j 1 -> DEL k nothing j
    SET k 1 -> DELIFEQ k 1
    SET k 1 -> EXPIRE k 100
    SET k 1 -> EXPIRE k -1
    SET k 1 -> EXPIREAT k 99999999999
    SET k 1; SET j 1 -> FLUSHALL
    SET k 1; SET j 1 -> FLUSHALL ASYNC
    SET k 1; SET j 1 -> FLUSHDB
    SET k 1; SET j 1 -> FLUSHDB ASYNC
    -> FUNCTION LOAD @library
    FUNCTION LOAD @library -> FUNCTION DELETE testlibrary
    FUNCTION LOAD @library -> FUNCTION FLUSH
    FUNCTION LOAD @library; FUNCTION FLUSH -> FUNCTION RESTORE @libraries
    -> GEOADD geo 13.361389 38.115556 P
    {_GEO} -> GEORADIUS geo 15 37 200 km STORE dst
    {_GEO}; SET dst 1 -> GEORADIUS geo 90 7 2 km STORE dst
    {_GEO} -> GEORADIUS geo 15 37 200 km STOREDIST dst
    {_GEO} -> GEORADIUSBYMEMBER geo P 200 km STORE dst
    {_GEO}; SET dst 1 -> GEORADIUSBYMEMBER geo P 200 km STORE dst
    {_GEO} -> GEOSEARCHSTORE dst geo FROMLONLAT 15 37 BYRADIUS 200 km
    {_GEO}; SET dst 1 -> GEOSEARCHSTORE dst geo FROMLONLAT 90 7 BYRADIUS 2 km
    SET k 1 -> GETDEL k
    SET k 1 -> GETEX k EX 100
    SET k 1 EX 100 -> GETEX k PERSIST
    SET k 1 -> GETEX k PXAT 1
    SET k 1 -> GETSET k 2
    {_HASH} -> HDEL h a
    {_HASH} -> HDEL h a b
    {_HASH} -> HEXPIRE h 100 FIELDS 1 a
    {_HASH} -> HEXPIRE h 0 FIELDS 1 a
    {_HASH} -> HEXPIREAT h 9999999999 FIELDS 1 a
    {_HASH} -> HGETDEL h FIELDS 1 a
    {_HASH} -> HGETDEL h FIELDS 2 a b
    {_HASH} -> HGETEX h EX 100 FIELDS 1 a
    {_HASH} -> HGETEX h PXAT 1 FIELDS 1 a
    {_HASH}; HEXPIRE h 100 FIELDS 1 a -> HGETEX h PERSIST FIELDS 1 a
    {_HASH} -> HINCRBY h a 2
    {_HASH} -> HINCRBYFLOAT h a 2.5
    {_HASH} -> HMSET h a 5 c 3
    {_HASH}; HEXPIRE h 100 FIELDS 1 a -> HPERSIST h FIELDS 1 a
    {_HASH} -> HPEXPIRE h 100000 FIELDS 1 a
    {_HASH} -> HPEXPIREAT h 999999999999 FIELDS 1 a
    {_HASH} -> HPEXPIREAT h 1 FIELDS 1 a
    {_HASH} -> HSET h a 7
    {_HASH} -> HSETEX h EX 100 FIELDS 1 a 4
    {_HASH} -> HSETEX h PXAT 1 FIELDS 1 a 4
    {_HASH} -> HSETNX h new 4
    SET k 1 -> INCR k
    SET k 1 -> INCRBY k 3
    SET k 1 -> INCRBYFLOAT k 1.5
    {_LISTS} -> LINSERT l BEFORE b z
    {_LISTS} -> LMOVE l m LEFT RIGHT
    {_LISTS} -> LMPOP 2 nothing l LEFT COUNT 2
    {_LISTS} -> LPOP l
    {_LISTS} -> LPOP l 3
    {_LISTS} -> LPUSH l z
    {_LISTS} -> LPUSHX l z
    {_LISTS} -> LREM l 1 b
    RPUSH l b -> LREM l 1 b
    {_LISTS} -> LSET l 1 z
    {_LISTS} -> LTRIM l 0 0
    {_LISTS} -> LTRIM l 5 9
    SET k 1 -> MIGRATE 127.0.0.1 @port k 0 1000
    SET k 1; SET j 1 -> MIGRATE 127.0.0.1 @port "" 0 1000 KEYS k j
    SET k 1 -> MOVE k 3
    SET k 1 PX 10000 -> MOVE k 3
    SET k 1 -> MSET k 2 j 3
    SET k 1 -> MSETEX 2 k 2 j 3 EX 100
    SET k 1 -> MSETNX j 2 i 3
    SET k 1 EX 100 -> PERSIST k
    SET k 1 -> PEXPIRE k 100000
    SET k 1 -> PEXPIRE k 0
    SET k 1 -> PEXPIREAT k 9999999999999
    -> PFADD p a b
    PFADD p a b -> PFADD p c
    PFADD p a b; PFADD p c -> PFCOUNT p
    PFADD p a b -> PFDEBUG TODENSE p
    PFADD p a b -> PFDEBUG GETREG p
    PFADD p a b; PFADD q c -> PFMERGE p q
    SET p 1; DEL p; PFADD q c -> PFMERGE p q
    SET k 1 -> PSETEX k 100000 2
    SET k 1 -> RENAME k j
    SET k 1; SET j 2 -> RENAME k j
    SET k 1 -> RENAMENX k j
    SET k 1; -> RESTORE new 0 @dump(k)
    SET k 1; SET j 2 -> RESTORE j 100000 @dump(k) REPLACE
    SET k 1; SET j 2 -> RESTORE j 1 @dump(k) REPLACE ABSTTL
    SET k 1; -> RESTORE-ASKING new 0 @dump(k)
    {_LISTS} -> RPOP l
    {_LISTS} -> RPOPLPUSH l m
    {_LISTS} -> RPUSH l z
    {_LISTS} -> RPUSHX l z
    {_SETS} -> SADD a 9
    {_SETS} -> SDIFFSTORE dst a b
    {_SETS}; SET dst 1 -> SDIFFSTORE dst nothing a
    {_SETS} -> SINTERSTORE dst a b
    SADD dst 1 -> SINTERSTORE dst nothing
    {_SETS} -> SUNIONSTORE dst a b
    SADD dst 1 -> SUNIONSTORE dst nothing
    SET k 1 -> SET k 2
    SET k 1 -> SET k 2 KEEPTTL GET
    SET k 1 -> SET k 2 PXAT 1
    SET k 1 -> SET k 2 EXAT 99999999999 XX
    SET k 1 -> SETBIT k 100 1
    SET k 1 -> SETEX k 100 2
    -> SETNX k 2
    SET k 1 -> SETRANGE k 3 abc
    {_SETS} -> SMOVE a b 1
    {_LISTS} -> SORT l ALPHA DESC STORE dst
    {_LISTS}; SET dst 1 -> SORT nothing STORE dst
    {_SETS} -> SPOP a
    {_SETS} -> SPOP a 3
    {_SETS} -> SREM a 1
    SET k 1; SELECT 2; SET j 1; SELECT 0 -> SWAPDB 0 2
    SET k 1; SET j 1 -> UNLINK k nothing j
    {_PENDING} -> XACK s g 1-1
    {_PENDING} -> XACKDEL s g KEEPREF IDS 1 1-1
    {_PENDING} -> XACKDEL s g DELREF IDS 1 1-1
    {_PENDING}; XGROUP CREATE s h 0; XREADGROUP GROUP h d STREAMS s > -> XACKDEL s g ACKED IDS 1 1-1
    {_PENDING}; XDEL s 1-1 -> XACKDEL s g DELREF IDS 1 1-1
    {_PENDING}; XDEL s 1-1 -> XDELEX s DELREF IDS 1 1-1
    {_PENDING}; XACK s g 1-1 -> XDELEX s ACKED IDS 1 1-1
    {_PENDING} -> XADD s 4-1 f v
    {_PENDING} -> XADD s MAXLEN 1 DELREF 4-1 f v
    {_STREAM} -> XADD s MAXLEN 1 4-1 f v
    {_STREAM} -> XADD s NOMKSTREAM 4-1 f v
    {_PENDING} -> XAUTOCLAIM s g other 0 0
    {_PENDING} -> XAUTOCLAIM s g other 9999999 0
    {_PENDING}; XDEL s 1-1 -> XAUTOCLAIM s g other 0 0
    {_PENDING} -> XCLAIM s g other 0 1-1
    {_PENDING} -> XCLAIM s g other 0 3-1 FORCE JUSTID
    {_PENDING} -> XCLAIM s g c 0 1-1 LASTID 3-1
    {_PENDING} -> XDEL s 1-1
    {_PENDING} -> XDELEX s DELREF IDS 1 1-1
    {_STREAM} -> XGROUP CREATE s new 0
    -> XGROUP CREATE s new 0 MKSTREAM
    {_GROUP} -> XGROUP CREATECONSUMER s g c
    {_PENDING} -> XGROUP DELCONSUMER s g c
    {_PENDING} -> XGROUP DESTROY s g
    {_PENDING} -> XGROUP SETID s g 3-1
    {_PENDING} -> XGROUP SETID s g $
    {_GROUP} -> XREADGROUP GROUP g c STREAMS s >
    {_GROUP} -> XREADGROUP GROUP g c NOACK STREAMS s >
    {_PENDING} -> XREADGROUP GROUP g c STREAMS s 0
    {_GROUP} -> XREADGROUP GROUP g c COUNT 1 BLOCK 1 STREAMS s >
    {_GROUP}; XREADGROUP GROUP g c STREAMS s > -> XREADGROUP GROUP g new STREAMS s >
    {_STREAM} -> XSETID s 9-9
    {_STREAM} -> XTRIM s MAXLEN 1
    {_PENDING} -> XTRIM s MAXLEN 0 DELREF
    {_ZSETS} -> ZADD y 5 e
    {_ZSETS} -> ZADD y INCR 5 a
    {_ZSETS} -> ZDIFFSTORE dst 2 y z
    SET dst 1 -> ZDIFFSTORE dst 1 nothing
    {_ZSETS} -> ZINCRBY y 2 a
    {_ZSETS} -> ZINTERSTORE dst 2 y z
    {_ZSETS}; SET dst 1 -> ZINTERSTORE dst 2 y nothing
    {_ZSETS} -> ZMPOP 2 nothing y MIN COUNT 2
    {_ZSETS} -> ZPOPMAX y
    {_ZSETS} -> ZPOPMIN y 3
    {_ZSETS} -> ZRANGESTORE dst y 0 1
    SET dst 1 -> ZRANGESTORE dst nothing 0 1
    {_ZSETS} -> ZREM y a
    {_ZSETS} -> ZREMRANGEBYLEX y - +
    {_ZSETS} -> ZREMRANGEBYRANK y 0 0
    {_ZSETS} -> ZREMRANGEBYRANK y 0 -1
    {_ZSETS} -> ZREMRANGEBYSCORE y 0 1
    {_ZSETS} -> ZUNIONSTORE dst 2 y z
    SET dst 1 -> ZUNIONSTORE dst 1 nothing
    -> VADD v VALUES 3 1 2 3 element
    VADD v VALUES 3 1 2 3 element; VADD v VALUES 3 1 3 3 another -> VREM v element
    VADD v VALUES 3 1 2 3 element -> VREM v element
    VADD v VALUES 3 1 2 3 element -> VSETATTR v element {{\\"a\\":1}}
"""

# Only with the modules that have them.
_JSON = r"JSON.SET j $ {\"a\":2,\"b\":[1,2],\"s\":\"x\",\"t\":true}"
_CMS = "CMS.INITBYDIM m 10 5; CMS.INITBYDIM n 10 5; CMS.INCRBY n x 4"
_TDIGEST = "TDIGEST.CREATE d; TDIGEST.ADD d 1 2 3; TDIGEST.CREATE e"

OF_MODULES = rf"""
    -> JSON.SET j $ 1
    {_JSON} -> JSON.ARRAPPEND j $.b 3
    {_JSON} -> JSON.ARRINSERT j $.b 0 3
    {_JSON} -> JSON.ARRPOP j $.b
    {_JSON} -> JSON.ARRTRIM j $.b 0 0
    {_JSON} -> JSON.CLEAR j $.b
    {_JSON} -> JSON.DEL j $.b
    {_JSON} -> JSON.DEL j $
    {_JSON} -> JSON.FORGET j $.b
    {_JSON} -> JSON.MERGE j $ {{\"z\":1}}
    {_JSON} -> JSON.MSET j $.a 3 i $ 5
    {_JSON} -> JSON.NUMINCRBY j $.a 3
    {_JSON} -> JSON.NUMMULTBY j $.a 3
    {_JSON} -> JSON.NUMPOWBY j $.a 3
    {_JSON} -> JSON.STRAPPEND j $.s \"y\"
    {_JSON} -> JSON.TOGGLE j $.t
    BF.ADD b x -> BF.ADD b y
    -> BF.INSERT b ITEMS x
    -> BF.MADD b x y
    -> BF.RESERVE b 0.01 100
    -> CF.ADD c x
    CF.ADD c x -> CF.ADDNX c y
    CF.ADD c x -> CF.DEL c x
    CF.ADD c x -> CF.INSERT c ITEMS y
    CF.ADD c x -> CF.INSERTNX c ITEMS y
    -> CF.RESERVE c 1000
    -> CMS.INITBYDIM m 10 5
    -> CMS.INITBYPROB m 0.01 0.01
    {_CMS} -> CMS.INCRBY m x 3
    {_CMS} -> CMS.MERGE m 1 n
    -> TOPK.RESERVE t 3
    TOPK.RESERVE t 3 -> TOPK.ADD t x
    TOPK.RESERVE t 3; TOPK.ADD t x -> TOPK.INCRBY t x 3
    -> TDIGEST.CREATE d
    {_TDIGEST} -> TDIGEST.ADD d 5
    {_TDIGEST} -> TDIGEST.RESET d
    {_TDIGEST} -> TDIGEST.MERGE e 1 d
    -> GRAPH.QUERY g "CREATE (:A {{x:1}})"
    GRAPH.QUERY g "CREATE (:A {{x:1}})" -> GRAPH.QUERY g "CREATE (:A {{x:2}})"
    GRAPH.QUERY g "CREATE (:A {{x:1}})" -> GRAPH.DELETE g
"""


class Example(NamedTuple):
    """Commands that prepare, and the one that changes something."""

    setup: tuple[tuple[str, ...], ...]
    command: tuple[str, ...]

    @property
    def name(self) -> str:
        """The command's name as COMMAND has it, in upper case: C{NAME} or C{NAME|SUBCOMMAND}."""
        words = [word.upper() for word in self.command[:2]]
        return "|".join(words) if words[0] in CONTAINERS else words[0]

    @property
    def of_module(self) -> bool:
        """Whether it is a module's command, which has a dot in its name."""
        return "." in self.command[0]


CONTAINERS = ("XGROUP", "FUNCTION")


def examples() -> list[Example]:
    """All of them."""
    lines = [line.partition("->") for line in (EXAMPLES + OF_MODULES).splitlines() if line.strip()]
    return [
        Example(
            tuple(tuple(shlex.split(each)) for each in setup.split(";") if each.strip()), tuple(shlex.split(command))
        )
        for setup, _, command in lines
    ]
