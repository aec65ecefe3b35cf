"""A proxy with a planted fault: a relay between the clients and the real one, which does one thing wrong."""
