"""Counters, and how they are shown. Others call it; it calls nobody."""
