"""`mcpserve ping` and `mcpserve info`: is it there, what is it, and where does the time go?"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

import click
from twisted.internet.task import deferLater

from mcpserve.cli.dialing import dial
from mcpserve.cli.options import Seconds, ServerCommand, talks
from mcpserve.cli.reaching import Reaching
from mcpserve.cli.surroundings import Job
from mcpserve.cli.talking import Talk, talking
from mcpserve.cli.things import Phase, Pong, Report
from mcpserve.cli.verdicts import FINE
from mcpserve.client.servers import HttpServer
from mcpserve.errors import RemoteError


@click.command(cls=ServerCommand)
@talks()
@click.option("-c", "--count", type=click.IntRange(1), default=1, help="How often. [1]")
@click.option("-i", "--interval", type=Seconds(0), default=1.0, help="Seconds between two. [1]")
def ping(reaching: Reaching, count: int, interval: float) -> Job:
    """Ask SERVER for a sign of life, and say how long it took."""

    async def use(talk: Talk) -> int:
        for number in range(1, count + 1):
            talk.screen.show(Pong(number, await talk.client.ping()))
            if number < count:
                await deferLater(talk.around.reactor, interval)
        return FINE

    return talking(reaching, use)


@click.command(cls=ServerCommand)
@talks()
def info(reaching: Reaching) -> Job:
    """Say what SERVER is and can do, and how long each step of the way to it takes."""

    async def use(talk: Talk) -> int:
        phases = [*await _dialled(talk), Phase(name="open", seconds=talk.opening, outcome="era found, ready")]
        phases += await _tried(talk)
        talk.screen.show(_report(talk, phases))
        return FINE

    return talking(reaching, use)


async def _dialled(talk: Talk) -> Sequence[Phase]:
    """A connection of its own, that carries nothing: what the network takes of the time."""
    server = talk.way.server
    return await dial(talk.around.reactor, server.url) if isinstance(server, HttpServer) else []


async def _tried(talk: Talk) -> list[Phase]:
    client, capabilities = talk.client, talk.client.server.capabilities
    lists: Mapping[str, Callable[[], Awaitable[Sequence[Any]]]] = {
        "tools": client.list_tools,
        "resources": client.list_resources,
        "prompts": client.list_prompts,
    }
    phases = [await _timed(talk, "ping", client.ping)]
    return [*phases, *[await _timed(talk, name, ask) for name, ask in lists.items() if name in capabilities]]


async def _timed(talk: Talk, name: str, ask: Callable[[], Awaitable[Any]]) -> Phase:
    clock = talk.around.reactor
    begun = clock.seconds()
    try:
        found = await ask()
        outcome = f"{len(found)} of them" if isinstance(found, Sequence) else ""
    except RemoteError as error:
        outcome = str(error)
    return Phase(name=name, seconds=clock.seconds() - begun, outcome=outcome)


def _report(talk: Talk, phases: Sequence[Phase]) -> Report:
    server = talk.client.server
    named = server.implementation
    supported = server.raw.get("supportedVersions")
    return Report(
        target=talk.way.target,
        transport=server.transport,
        revision=server.revision.name,
        supported=[str(one) for one in supported] if isinstance(supported, list) else [],
        name=named.name if named else None,
        version=named.version if named else None,
        title=named.title if named else None,
        instructions=server.instructions,
        capabilities=server.capabilities,
        phases=phases,
    )
