"""A data plane of several processes: the control process accepts clients, and workers carry their commands."""
