"""The compiled twins: of C{resp}'s framing, and of Twisted's transports. Everything works without them, only slower."""
