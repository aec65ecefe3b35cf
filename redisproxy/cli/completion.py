"""C{redisproxy completion}: lets a shell complete commands and options."""

from __future__ import annotations

import click

VARIABLE = "_REDISPROXY_COMPLETE"
"""Set by the shell's function: the program then prints what may follow, and does nothing else."""


@click.command(short_help="Let bash, zsh or fish complete commands and options.")
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def completion(context: click.Context, shell: str) -> None:
    """Print what makes SHELL complete the commands and options of redisproxy.

    \b
    bash:  redisproxy completion bash > ~/.local/share/bash-completion/completions/redisproxy
    zsh:   redisproxy completion zsh > "${fpath[1]}/_redisproxy"
    fish:  redisproxy completion fish > ~/.config/fish/completions/redisproxy.fish
    """
    from click.shell_completion import get_completion_class

    kind = get_completion_class(shell)
    assert kind is not None
    click.echo(kind(context.find_root().command, {}, "redisproxy", VARIABLE).source())
