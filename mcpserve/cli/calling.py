"""`mcpserve call`: call a tool, and show what it says as it says it."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import attrs
import click

from mcpserve.cli.arguments import ArgumentError, read_arguments, read_json
from mcpserve.cli.options import ServerCommand, talks
from mcpserve.cli.reaching import Reaching
from mcpserve.cli.saving import check, save
from mcpserve.cli.suggesting import tool_names
from mcpserve.cli.surroundings import Job, Surroundings
from mcpserve.cli.talking import Talk, talking
from mcpserve.cli.verdicts import FINE, TOOL_FAILED
from mcpserve.protocol.types import Result, Text


@attrs.frozen(kw_only=True)
class Order:
    """What is to be called, and how.

    Args:
        tool: The tool.
        words: Its arguments, `name=value` each.
        document: All of them in JSON; or `@FILE`, or `-` for standard input.
        output: Where the outcome is saved.
        json_lines: The outcome is shown as JSON, saved or not.
    """

    tool: str
    words: Sequence[str]
    document: str | None
    output: str | None
    json_lines: bool


@click.command(cls=ServerCommand)
@talks(asks=True)
@click.argument("tool", shell_complete=tool_names)
@click.argument("arguments", nargs=-1, metavar="[KEY=VALUE]...")
@click.option("--json", "document", metavar="JSON|@FILE|-", help="The arguments as JSON; KEY=VALUE goes on top.")
@click.option("-o", "--output", metavar="FILE", help="Save images, audio and other bytes; else the text. - is a pipe.")
def call(
    reaching: Reaching,
    tool: str,
    arguments: Sequence[str],
    document: str | None,
    output: str | None,
    answers: Sequence[str],
) -> Job:
    """Call TOOL on SERVER.

    A VALUE has the type that the tool wants: days=3 is a number, or the text "3". tags=a tags=b is a list, filter.min=3
    an object, days:=3 JSON as it stands.
    """
    order = Order(tool=tool, words=arguments, document=document, output=output, json_lines=reaching.json_lines)
    if reaching.quiet:
        reaching = attrs.evolve(reaching, log_level=None)

    async def use(talk: Talk) -> int:
        return await _call(talk, order)

    return talking(reaching, use, answers)


async def _call(talk: Talk, order: Order) -> int:
    check(order.output, talk.around.out)
    given = _document(order.document, talk.around)
    arguments = await _arguments(talk, order, given)
    talk.screen.began(order.tool)
    async with talk.client.stream_tool(order.tool, arguments) as events:
        async for event in events:
            if isinstance(event, Result):
                return _ended(talk, order, event)
            talk.screen.show(event)
    raise AssertionError("the last event of a stream is its result")


def _ended(talk: Talk, order: Order, result: Result) -> int:
    talk.screen.ended()
    if result.is_error:
        talk.screen.show(result)
        return TOOL_FAILED
    if order.output is None:
        talk.screen.show(result)
        return FINE
    saved = save(result, order.output, talk.around.out)
    if order.json_lines:
        talk.screen.show(result)
    elif any(not isinstance(block, Text) for block in result.content):
        talk.screen.show(Result(content=[block for block in result.content if isinstance(block, Text)]))
    for one in saved:
        talk.screen.show(one)
    return FINE


async def _arguments(talk: Talk, order: Order, given: Mapping[str, Any]) -> Mapping[str, Any]:
    if not order.words:
        return given
    tools = {tool.name: tool for tool in await talk.client.list_tools()}
    if order.tool not in tools:
        close = difflib.get_close_matches(order.tool, tools, 1)
        talk.screen.note(f"the server lists no tool {order.tool!r}" + (f"; is {close[0]!r} meant?" if close else ""))
    schema = tools[order.tool].input_schema if order.tool in tools else {}
    return read_arguments(order.words, schema, given)


def _document(document: str | None, around: Surroundings) -> Mapping[str, Any]:
    if document is None:
        return {}
    value = read_json(_text_of(document, around), "--json")
    if not isinstance(value, dict):
        raise ArgumentError("--json takes an object: the arguments by name")
    return value


def _text_of(document: str, around: Surroundings) -> str:
    if document == "-":
        return around.input.read()
    if not document.startswith("@"):
        return document
    try:
        return Path(document[1:]).read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        raise ArgumentError(f"--json: can't read {document[1:]}: {error}") from error
