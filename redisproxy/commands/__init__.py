"""How the proxy treats each Redis command, and what the setting C{allow_commands} changes. Pure: no Twisted."""
