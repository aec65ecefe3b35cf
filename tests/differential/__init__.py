"""A differential test: random conversations with a Redis and, through a proxy, with another one get the same replies.

`grammar`, `values`, `lists` and `hand` make commands, from the server's own COMMAND DOCS and by hand; `making` and
`scenes` write the steps of two clients with them; `runner` plays the steps on both sides and compares every reply;
`shrink` makes a conversation that fails short. `differences` has what the proxy answers otherwise on purpose, and
`switches` what is not compared yet.
"""
