"""The command endpoint and the pages around it: parse, call one operation, render.

It knows operations, never protocols.
"""

from redisproxy.admin.resources import Operations
from redisproxy.admin.site import make_site

__all__ = ["Operations", "make_site"]
