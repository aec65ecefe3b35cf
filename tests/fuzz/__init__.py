"""Fuzzing: each target takes any bytes and raises when something that must hold does not.

The ordinary tests run each target on its seeds and on what hypothesis makes of them; C{python -m tests.fuzz} goes on
for as long as one likes, guided by coverage.
"""
