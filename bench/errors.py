"""What can go wrong in a run."""

from __future__ import annotations


class BenchError(Exception):
    """A peer that did not start, died or gave a wrong answer, or a load that did not finish."""
