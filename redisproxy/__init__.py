"""A Redis proxy for moving live applications between Redis servers with no lost command and no dropped client."""

__version__ = "0.1.0"
