"""`mcpserve read` and `mcpserve prompt`: what resources hold, and prompts filled in."""

from __future__ import annotations

from collections.abc import Sequence

import click

from mcpserve.cli.arguments import ArgumentError
from mcpserve.cli.options import ServerCommand, talks
from mcpserve.cli.reaching import Reaching
from mcpserve.cli.saving import check, save
from mcpserve.cli.surroundings import Job
from mcpserve.cli.talking import Talk, talking
from mcpserve.cli.things import Parts, Thing
from mcpserve.cli.verdicts import FINE

_output = click.option("-o", "--output", metavar="FILE", help="Save it, byte for byte. - is standard output.")


@click.command(cls=ServerCommand)
@talks(asks=True)
@click.argument("uri")
@_output
def read(reaching: Reaching, uri: str, output: str | None, answers: Sequence[str]) -> Job:
    """Read the resource URI of SERVER."""

    async def use(talk: Talk) -> int:
        check(output, talk.around.out)
        return _show(talk, Parts(uri, await talk.client.read_resource(uri)), output)

    return talking(reaching, use, answers)


@click.command(cls=ServerCommand)
@talks(asks=True)
@click.argument("name")
@click.argument("arguments", nargs=-1, metavar="[KEY=VALUE]...")
@_output
def prompt(reaching: Reaching, name: str, arguments: Sequence[str], output: str | None, answers: Sequence[str]) -> Job:
    """Get the prompt NAME of SERVER, filled in. Arguments of prompts are always texts."""

    async def use(talk: Talk) -> int:
        check(output, talk.around.out)
        return _show(talk, await talk.client.get_prompt(name, _texts(arguments)), output)

    return talking(reaching, use, answers)


def _show(talk: Talk, thing: Thing, output: str | None) -> int:
    if output is None:
        talk.screen.show(thing)
    else:
        for saved in save(thing, output, talk.around.out):
            talk.screen.show(saved)
    return FINE


def _texts(words: Sequence[str]) -> dict[str, str]:
    pairs = [word.partition("=") for word in words]
    for word, (name, equals, _) in zip(words, pairs, strict=True):
        if not (name and equals):
            raise ArgumentError(f"an argument is NAME=VALUE, and not {word!r}")
    return {name: value for name, _, value in pairs}
