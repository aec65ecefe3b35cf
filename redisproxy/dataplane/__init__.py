"""The data plane: everything in one process that carries commands, and how it is exchanged for another server."""
