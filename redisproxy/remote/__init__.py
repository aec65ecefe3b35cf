"""A data plane in another process: the orders of C{dataplane.interface} over AMP, and what becomes of a lost link."""
