"""C{python -m redisproxy.cli}."""

from redisproxy.cli.commands import main

main()
