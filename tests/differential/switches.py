"""What is not compared yet because the proxy answers otherwise than Redis: to be switched on when it does no more."""

from __future__ import annotations

LOCAL_INSIDE_MULTI = True
"""CLIENT and ACL WHOAMI inside of MULTI: the proxy refuses what Redis queues."""
REFUSED_INSIDE_MULTI = False
"""What the proxy refuses, inside of MULTI: its EXEC fails then."""
HTTP_INSIDE_MULTI = True
"""A line of HTTP inside of MULTI: Redis closes the connection."""
MUTED_SUBSCRIBERS = True
"""CLIENT REPLY OFF and subscriptions of one client with RESP3."""
UNSUBSCRIBE_WHILE_WATCHING = True
"""UNSUBSCRIBE between WATCH and MULTI."""
UNBLOCK_AT_ONCE = False
"""CLIENT UNBLOCK right behind what serves the client: the proxy counts a client as blocked until it has its reply."""
LARGE_BEHIND_BLOCKED = False
"""More than the proxy holds behind a blocking command: then it does not notice that the client leaves."""
CLIENT_FIELDS = ("name", "db", "user", "resp", "sub", "psub", "multi")
"""What is compared of CLIENT INFO and CLIENT LIST ID.

Of "multi" only whether there is one, because the proxy counts commands that the server has refused to queue, too. Not
"cmd", because the proxy does not look at the names of plain commands, and not "flags", where it tells no "e".
"""
