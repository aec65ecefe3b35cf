"""Several proxies operated as one: any of them pauses, reloads and switches over all.

A peer is another proxy with a configuration file of its own. It takes the orders of C{dataplane.interface} from the one
that leads, and carries them out with its own settings; when it loses the leader, the servers say where its clients
belong (C{remote.interrupted}).
"""
