"""Each thing as plain lines: for pipes and files, and for what needs no more on a terminal."""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import singledispatch
from typing import Any

from mcpserve.cli.content import Spell, block_lines, contents_lines, result_lines, size
from mcpserve.cli.things import Asked, Failed, Parts, Pong, Report, Saved, Template, Thing
from mcpserve.cli.visible import first_line, one_line, visible
from mcpserve.client.values import Change, LogMessage, Progress, PromptResult
from mcpserve.protocol.types import PromptDefinition, ResourceDefinition, Result, ToolDefinition


@singledispatch
def lines(thing: Thing, spell: Spell) -> Iterator[str]:
    """The lines of a thing.

    Args:
        thing: What is to be shown.
        spell: What a text becomes that may have many lines; texts that stand within a line are always spelled out.
    """
    raise TypeError(f"{type(thing).__name__} can't be shown")


@lines.register
def _tool(tool: ToolDefinition, spell: Spell) -> Iterator[str]:
    yield _entry(tool.name, tool.description or tool.title)


@lines.register
def _prompt(prompt: PromptDefinition, spell: Spell) -> Iterator[str]:
    yield _entry(prompt.name, prompt.description or prompt.title)


@lines.register
def _resource(resource: ResourceDefinition, spell: Spell) -> Iterator[str]:
    yield _entry(resource.uri, resource.description or resource.title or resource.name)


@lines.register
def _template(template: Template, spell: Spell) -> Iterator[str]:
    yield from _resource(template.definition, spell)


@lines.register
def _progress(progress: Progress, spell: Spell) -> Iterator[str]:
    yield f"[{far(progress)}] {one_line(progress.message or '')}".rstrip()


@lines.register
def _log(message: LogMessage, spell: Spell) -> Iterator[str]:
    where = f"{one_line(message.logger)}: " if message.logger else ""
    yield f"[{one_line(message.level)}] {where}{in_line(message.data)}"


@lines.register
def _change(change: Change, spell: Spell) -> Iterator[str]:
    what = one_line(change.method.removeprefix("notifications/"))
    uri = f"\t{one_line(change.uri)}" if change.uri is not None else ""
    yield what + uri + ("\tmay have changed: the subscription was interrupted" if change.missed else "")


@lines.register
def _result(result: Result, spell: Spell) -> Iterator[str]:
    yield from result_lines(result, spell)


@lines.register
def _parts(parts: Parts, spell: Spell) -> Iterator[str]:
    for part in parts.parts:
        yield from contents_lines(part, spell)


@lines.register
def _prompt_result(result: PromptResult, spell: Spell) -> Iterator[str]:
    for message in result.messages:
        yield f"[{one_line(message.role)}]"
        yield from block_lines(message.content, spell)


@lines.register
def _pong(pong: Pong, spell: Spell) -> Iterator[str]:
    yield f"answer {pong.number}: {milliseconds(pong.seconds)}"


@lines.register
def _report(report: Report, spell: Spell) -> Iterator[str]:
    for name, value in report_rows(report):
        yield f"{name}: {one_line(value)}"


@lines.register
def _saved(saved: Saved, spell: Spell) -> Iterator[str]:
    yield f"saved {one_line(saved.path)}: {one_line(saved.mime_type or 'of an unknown type')}, {size(saved.size)}"


@lines.register
def _asked(asked: Asked, spell: Spell) -> Iterator[str]:
    why = f" ({asked.reason})" if asked.reason else ""
    yield f"the server asks: {one_line(asked.message)}: answered with {asked.action}{why}"


@lines.register
def _failed(failed: Failed, spell: Spell) -> Iterator[str]:
    yield f"mcpserve: {one_line(failed.sentence)}"
    if failed.data is not None:
        yield f"mcpserve: {shortened(in_line(failed.data))}"


def report_rows(report: Report) -> Iterator[tuple[str, str]]:
    """The names and values of a report, line by line."""
    yield "server", report.target
    if report.name is not None:
        yield "name", " ".join(filter(None, [report.title and f"{report.title},", report.name, report.version]))
    yield "transport", report.transport
    yield "revision", report.revision
    if report.supported:
        yield "supported", ", ".join(report.supported)
    yield "capabilities", ", ".join(_capabilities(report.capabilities)) or "none"
    if report.instructions:
        yield "instructions", report.instructions
    for phase in report.phases:
        outcome = f"  {phase.outcome}" if phase.outcome else ""
        yield phase.name, f"{milliseconds(phase.seconds)}{outcome}"


def far(progress: Progress) -> str:
    """How far it is: `3/10`, or `3`."""
    value = f"{progress.value:g}"
    return value if progress.total is None else f"{value}/{progress.total:g}"


def milliseconds(seconds: float) -> str:
    """A time, in ms."""
    return f"{seconds * 1000:.1f} ms"


def in_line(data: Any) -> str:
    """Any JSON on one line; a text stands without quotes."""
    return one_line(data if isinstance(data, str) else json.dumps(data, ensure_ascii=False))


def shortened(text: str, length: int = 1000) -> str:
    """No more of a text than somebody reads."""
    return text if len(text) <= length else f"{text[: length - 1]}…"


def described(text: str | None) -> str:
    """A description of several lines, as it may stand on a terminal."""
    return visible((text or "").strip())


def _entry(name: str, description: str | None) -> str:
    return f"{one_line(name)}\t{first_line(description)}".rstrip()


def _capabilities(declared: Any) -> Iterator[str]:
    for name, value in declared.items():
        members = value.items() if isinstance(value, dict) else ()
        inner = ", ".join(key for key, on in members if on not in (False, None))
        yield f"{name} ({inner})" if inner else name
