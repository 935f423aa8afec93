"""What a server offers, for somebody who reads it on a terminal: names, descriptions, arguments with their types."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from rich.console import RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from mcpserve.cli.plain import described
from mcpserve.cli.things import Template
from mcpserve.cli.visible import first_line, one_line
from mcpserve.protocol.types import PromptDefinition, ResourceDefinition, ToolDefinition

Offered = ToolDefinition | PromptDefinition | ResourceDefinition | Template
_INDENT = (0, 0, 0, 4)


def details(thing: Offered) -> Iterator[RenderableType]:
    """Its name and what else it is called, what it does, and what it takes."""
    if isinstance(thing, Template):
        thing = thing.definition
    name = thing.uri if isinstance(thing, ResourceDefinition) else thing.name
    yield _heading(name, _also(thing))
    if thing.description:
        yield Padding(Text(described(thing.description)), _INDENT)
    rows = list(_rows(thing))
    if rows:
        yield Padding(_grid(rows), _INDENT)


def _heading(name: str, also: str) -> Text:
    heading = Text(one_line(name), style="bold")
    if also:
        heading.append(f"  {one_line(also)}", style="not bold dim")
    return heading


def _also(thing: ToolDefinition | PromptDefinition | ResourceDefinition) -> str:
    title = thing.title or (thing.name if isinstance(thing, ResourceDefinition) else "")
    if isinstance(thing, ToolDefinition):
        hints = thing.annotations
        said = {"read only": hints.read_only, "destructive": hints.destructive and not hints.read_only}
        return ", ".join(filter(None, [title or hints.title or "", *(word for word, on in said.items() if on)]))
    if isinstance(thing, ResourceDefinition):
        return ", ".join(filter(None, [title, thing.mime_type or ""]))
    return title


def _rows(thing: ToolDefinition | PromptDefinition | ResourceDefinition) -> Iterator[tuple[str, str, str]]:
    """Name, type, description of each argument."""
    if isinstance(thing, PromptDefinition):
        for argument in thing.arguments:
            yield argument.name, "required" if argument.required else "", first_line(argument.description)
    elif isinstance(thing, ToolDefinition):
        properties, required = thing.input_schema.get("properties"), thing.input_schema.get("required")
        needed = required if isinstance(required, list) else []
        for name, schema in properties.items() if isinstance(properties, Mapping) else ():
            if isinstance(schema, Mapping):
                yield name, _kind(schema, name in needed), first_line(_text(schema.get("description")))


def _kind(schema: Mapping[str, Any], required: bool) -> str:
    allowed = schema.get("enum")
    if isinstance(allowed, list):
        kind = "|".join(map(str, allowed[:8])) + ("|…" if len(allowed) > 8 else "")
    else:
        kinds = schema.get("type") or [part.get("type") for part in _alternatives(schema)]
        kind = "|".join(str(one) for one in kinds if one) if isinstance(kinds, list) else str(kinds)
    if "default" in schema:
        return f"{kind} = {json.dumps(schema['default'], ensure_ascii=False)}"
    return f"{kind}, required" if required else kind


def _alternatives(schema: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    found = schema.get("anyOf") or schema.get("oneOf")
    return [part for part in found if isinstance(part, Mapping)] if isinstance(found, list) else []


def _grid(rows: list[tuple[str, str, str]]) -> Table:
    table = Table.grid(padding=(0, 2))
    for name, kind, description in rows:
        table.add_row(Text(one_line(name), style="cyan"), Text(one_line(kind), style="dim"), Text(description))
    return table


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None
