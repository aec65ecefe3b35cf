"""What conversations may hold: False where the proxy still answers otherwise than Redis, so that it is not compared."""

from __future__ import annotations

LOCAL_INSIDE_MULTI = True
"""CLIENT and ACL WHOAMI inside of MULTI."""
REFUSED_INSIDE_MULTI = False
"""Commands that the proxy refuses, inside of MULTI: EXEC fails then, and on Redis it does not."""
HTTP_INSIDE_MULTI = True
"""A line of HTTP inside of MULTI, after which the connection is closed."""
MUTED_SUBSCRIBERS = True
"""CLIENT REPLY OFF together with subscriptions, in RESP3."""
UNSUBSCRIBE_WHILE_WATCHING = True
"""UNSUBSCRIBE between WATCH and MULTI."""
UNBLOCK_AT_ONCE = False
"""CLIENT UNBLOCK right behind the command that serves the blocked client: the proxy counts it as blocked until then."""
LARGE_BEHIND_BLOCKED = False
"""More bytes behind a blocking command than the proxy holds: it does not notice then that the client leaves."""
CLIENT_FIELDS = ("name", "db", "user", "resp", "sub", "psub", "multi")
"""What is compared of CLIENT INFO and CLIENT LIST ID.

Of "multi" only whether there is one, because the proxy counts commands that the server has refused to queue, too. Not
"cmd", because the proxy does not look at the names of plain commands, and not "flags", where it tells no "e".
"""
