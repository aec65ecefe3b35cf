"""Copies a keyspace from one Redis server to another where replication can't, and compares two servers."""
