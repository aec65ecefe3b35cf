"""Versions of Redis and Valkey as numbers that can be compared."""

from __future__ import annotations


def version_of(text: str) -> tuple[int, ...]:
    """A version as numbers: C{7.0.15} is C{(7, 0, 15)}; what follows (C{-rc1}) is left out."""
    numbers = []
    for part in text.split("."):
        digits = ""
        for letter in part:
            if not letter.isdigit():
                break
            digits += letter
        if not digits:
            break
        numbers.append(int(digits))
    return tuple(numbers)
