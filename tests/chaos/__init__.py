"""Chaos: faults with real processes, while clients compare every reply; see C{python -m tests.chaos --help}.

A run is a seeded order of rounds. Each round makes one fault, heals it, waits until every client gets on again and
says what the clients may have seen of it: mostly nothing. Between rounds they may see nothing at all. In the end the
server's data is compared with what was acknowledged, and the proxy has to be as small as it was at the beginning.
"""
