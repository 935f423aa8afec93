"""`mcpserve stdio`, as it stands among the other commands; `entry` goes there at once, to `service.commands`."""

from __future__ import annotations

import click

from mcpserve.cli.entry import STDIO, main


@click.command(context_settings={"ignore_unknown_options": True}, add_help_option=False)
@click.argument("words", nargs=-1, type=click.UNPROCESSED)
def stdio(words: tuple[str, ...]) -> None:
    """Serve over standard input and output."""
    main([STDIO, *words])
