"""Between a client and its uplink connection: the gate, the lane of plain commands, the queue of replies.

Both sides know each other only through the interfaces in here.
"""
