"""What a Redis server says of itself, and what it is told in a switchover."""
