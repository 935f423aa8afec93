"""What a word may become: names of servers, from the file; names of tools, from a server that is quick to say them."""

from __future__ import annotations

import os
from collections.abc import Mapping

import attrs
import click
from click.shell_completion import CompletionItem

from mcpserve.cli.reaching import Reaching, names_in, way_to
from mcpserve.cli.running import run
from mcpserve.cli.surroundings import Job, Surroundings
from mcpserve.cli.visible import first_line, one_line
from mcpserve.client.servers import HttpServer
from mcpserve.client.ways import Options
from mcpserve.errors import ClientError, ConfigurationError
from mcpserve.protocol.types import ToolDefinition

PATIENCE = 2.0
"""Seconds that somebody waits who has pressed a key."""


def server_names(config: str | None, environment: Mapping[str, str] = os.environ) -> list[str]:
    """The names in the file of servers; none if it can't be read."""
    try:
        return list(names_in(config, environment))
    except ConfigurationError:
        return []


def tool_names(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """The tools of the server on the command line. No command is started for that, and no secret's file is read."""
    known = {field.name for field in attrs.fields(Reaching)} & ctx.params.keys()
    said = {name: ctx.params[name] for name in known if ctx.params[name] is not None}
    reaching = attrs.evolve(Reaching(**said), timeout=PATIENCE, token=None, api_key=None)
    found: list[ToolDefinition] = []
    run(asking_for_tools(reaching, found))
    return [
        CompletionItem(one_line(tool.name), help=first_line(tool.description))
        for tool in found
        if tool.name.startswith(incomplete)
    ]


def asking_for_tools(reaching: Reaching, found: list[ToolDefinition]) -> Job:
    """A job that asks a server over HTTP for its tools, and says nothing if there are none."""

    async def job(around: Surroundings) -> int:
        try:
            way = way_to(reaching, around)
            if isinstance(way.server, HttpServer):
                options = Options(reactor=around.reactor, timeouts=reaching.timeouts, revision=reaching.revision)
                async with around.connect(way, options) as client:
                    found.extend(await client.list_tools())
        except (ClientError, ConfigurationError):
            return 1
        return 0

    return job
