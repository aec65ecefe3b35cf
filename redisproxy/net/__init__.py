"""Transports: Twisted's and the compiled ones, TLS, dialing, and the raw relay."""
