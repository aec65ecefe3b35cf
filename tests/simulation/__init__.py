"""Deterministic simulation: the proxy's own code on a simulated clock and network, against a small model of Redis.

One seed decides everything: what clients do, how bytes are cut and delayed, what fails and when, what the operator
does. C{world.run} plays one seed; C{history} says whether what the clients saw could have been; C{planted} holds bugs
that must be found. C{python -m tests.simulation} plays many seeds.
"""
