"""C{redisproxy switch-test}: moves real clients between two Redis servers, again and again, and checks replies.

Nothing here stands on a command's path: it starts the proxy as anybody would, and looks at it from outside.
"""
