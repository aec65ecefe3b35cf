"""What can go wrong between the proxy and its Redis server; no message ever holds a password."""


class UplinkError(Exception):
    """The base of all of them; C{str()} of each is fit to be shown."""


class UplinkRefused(UplinkError):
    """The server answered the connection's first commands with an error (wrong password, no such user...)."""


class DatabaseRefused(UplinkError):
    """The server refused to SELECT the database, or does not speak the RESP version that was asked for.

    C{str()} is the error text without the leading C{-}.
    """


class ServerBusy(UplinkError):
    """The server runs a script and answers nothing else; C{str()} is its error text without the leading C{-}."""


def is_busy(text: str) -> bool:
    """Whether an error of the server, without the leading C{-}, says that it runs a script."""
    return text.startswith("BUSY ")


class UplinkUnavailable(UplinkError):
    """No connection could be had within the time that a command may wait for one."""


class OutcomeUnknown(UplinkError):
    """The connection was lost before the reply came to what was sent."""


class UplinkMoved(UplinkError):
    """The set was closed because the proxy has moved to another; ask the new one."""
