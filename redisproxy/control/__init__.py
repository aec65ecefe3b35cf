"""The control plane: decides on pause, reload, switchover and failover, and gives the data plane its orders."""
