"""What is special about which Redis command, and which of them the configuration allows. Pure: no Twisted."""
