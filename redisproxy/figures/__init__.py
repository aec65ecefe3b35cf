"""Counters and histograms, and their text for Prometheus. Every room may call this one; it calls none."""
