"""`mcpserve completion`: what a shell has to read so that it completes the commands."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

from mcpserve.cli.program import PROGRAM, program

VARIABLE = "_MCPSERVE_COMPLETE"


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(shell: str) -> int:
    """Print what SHELL has to read: eval "$(mcpserve completion bash)"."""
    made = get_completion_class(shell)
    assert made is not None
    click.echo(made(program, {}, PROGRAM, VARIABLE).source())
    return 0
