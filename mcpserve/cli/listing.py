"""`mcpserve tools`, `resources`, `prompts`: what a server offers."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import click

from mcpserve.cli.options import ServerCommand, talks
from mcpserve.cli.reaching import Reaching
from mcpserve.cli.surroundings import Job
from mcpserve.cli.talking import Talk, talking
from mcpserve.cli.things import Template, Thing
from mcpserve.cli.verdicts import FINE
from mcpserve.errors import ConfigurationError, MethodNotFound, RemoteError
from mcpserve.protocol.types import PromptDefinition, ResourceDefinition, ToolDefinition


@click.command(cls=ServerCommand)
@talks()
@click.argument("names", nargs=-1)
def tools(reaching: Reaching, names: Sequence[str]) -> Job:
    """List the tools of SERVER; only those of NAMES, if there are any."""

    async def use(talk: Talk) -> int:
        return _show(talk, _named(await talk.client.list_tools(), names))

    return talking(reaching, use)


@click.command(cls=ServerCommand)
@talks()
@click.argument("names", nargs=-1)
def prompts(reaching: Reaching, names: Sequence[str]) -> Job:
    """List the prompts of SERVER; only those of NAMES, if there are any."""

    async def use(talk: Talk) -> int:
        return _show(talk, _named(await talk.client.list_prompts(), names))

    return talking(reaching, use)


@click.command(cls=ServerCommand)
@talks()
def resources(reaching: Reaching) -> Job:
    """List the resources of SERVER, and the templates of resources."""

    async def use(talk: Talk) -> int:
        _show(talk, await talk.client.list_resources())
        return _show(talk, map(Template, await _templates(talk)))

    return talking(reaching, use)


def _named(
    offered: Sequence[ToolDefinition] | Sequence[PromptDefinition], names: Sequence[str]
) -> Iterable[ToolDefinition | PromptDefinition]:
    missing = set(names) - {one.name for one in offered}
    if missing:
        raise ConfigurationError(f"the server has no {', '.join(sorted(missing))}")
    return [one for one in offered if not names or one.name in names]


async def _templates(talk: Talk) -> Sequence[ResourceDefinition]:
    try:
        return await talk.client.list_resource_templates()
    except RemoteError as error:
        if error.code != MethodNotFound.code:
            raise
        return []  # who has resources need not have templates


def _show(talk: Talk, things: Iterable[Thing]) -> int:
    for thing in things:
        talk.screen.show(thing)
    return FINE
