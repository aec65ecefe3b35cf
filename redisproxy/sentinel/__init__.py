"""The uplink found through Redis Sentinel, and followed when the sentinels make another server the primary.

Nothing here is on a command's path: the sentinels are spoken to over connections of their own, and a change of the
primary is a reload with another address (https://redis.io/docs/latest/develop/reference/sentinel-clients/).
"""
