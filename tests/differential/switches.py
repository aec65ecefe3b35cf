"""What is not compared yet because the proxy answers otherwise than Redis: to be switched on when it does no more."""

from __future__ import annotations

LOCAL_INSIDE_MULTI = False
"""CLIENT and ACL WHOAMI inside of MULTI: the proxy refuses what Redis queues."""
REFUSED_INSIDE_MULTI = False
"""What the proxy refuses, inside of MULTI: its EXEC fails then."""
HTTP_INSIDE_MULTI = False
"""A line of HTTP inside of MULTI: Redis closes the connection."""
MUTED_SUBSCRIBERS = False
"""CLIENT REPLY OFF and subscriptions of one client with RESP3."""
UNSUBSCRIBE_WHILE_WATCHING = False
"""UNSUBSCRIBE between WATCH and MULTI."""
UNBLOCK_AT_ONCE = False
"""CLIENT UNBLOCK right behind what serves the client: the proxy counts a client as blocked until it has its reply."""
LARGE_BEHIND_BLOCKED = False
"""More than the proxy holds behind a blocking command: then it does not notice that the client leaves."""
CLIENT_FIELDS = ("name", "db", "user", "resp")
"""What is compared of CLIENT INFO and CLIENT LIST ID; "cmd", "sub", "psub", "multi" and "flags" may follow."""
