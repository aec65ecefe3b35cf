"""A running proxy hands its sockets, its clients and its place to the program as it is on disk now."""
