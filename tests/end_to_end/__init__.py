"""Scenarios with real processes: twistd, redis-server, and the clients that people use."""
