"""`mcpserve listen`: what changes on a server, as it says so."""

from __future__ import annotations

from collections.abc import Sequence

import click

from mcpserve.cli.options import ServerCommand, talks
from mcpserve.cli.reaching import Reaching
from mcpserve.cli.surroundings import Job
from mcpserve.cli.talking import Talk, talking
from mcpserve.cli.verdicts import FINE

_LISTS = ("tools", "prompts", "resources")


@click.command(cls=ServerCommand)
@talks()
@click.argument("uris", nargs=-1, metavar="[URI]...")
@click.option("--tools", is_flag=True, help="The list of tools.")
@click.option("--prompts", is_flag=True, help="The list of prompts.")
@click.option("--resources", is_flag=True, help="The list of resources.")
def listen(reaching: Reaching, uris: Sequence[str], **lists: bool) -> Job:
    """Show what changes on SERVER: its lists, and the resources of these URIs. Without any, all lists that it has.

    Goes on until the server ends it, or Ctrl-C does.
    """

    async def use(talk: Talk) -> int:
        wanted = lists
        if not (uris or any(lists.values())):
            wanted = {name: name in talk.client.server.capabilities for name in _LISTS}
        named = ", ".join([*(name for name, on in wanted.items() if on), *uris])
        async with talk.client.listen(uris=uris, **wanted) as changes:
            if not reaching.quiet:
                talk.screen.note(f"listening for changes of {named or 'nothing'}; Ctrl-C ends it")
            async for change in changes:
                talk.screen.show(change)
        talk.screen.note("the server has ended it")
        return FINE

    return talking(reaching, use)
