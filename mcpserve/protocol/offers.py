"""How prompts, resources and completions look on the wire; `wire` has what they share with tools.

Spec: schema (each revision).
"""

from __future__ import annotations

from collections.abc import Sequence

from mcpserve.protocol.revisions import Revision
from mcpserve.protocol.types import (
    Completion,
    Contents,
    Message,
    PromptArgument,
    PromptDefinition,
    ResourceDefinition,
    Text,
)
from mcpserve.protocol.wire import Object, annotations_shape, base64_text, content, icons, present

MOST_VALUES = 100
"""Completion, Completion Results: "Maximum 100 items per response"."""


def prompt(value: PromptDefinition, revision: Revision) -> Object:
    """`Prompt`, as prompts/list shows it."""
    shape = present(
        name=value.name,
        title=value.title,
        description=value.description,
        arguments=[_prompt_argument(argument) for argument in value.arguments] or None,
        icons=icons(value.icons),
        _meta=value.meta,
    )
    return {**shape, **value.extra}


def prompt_result(description: str | None, messages: Sequence[Message], revision: Revision) -> Object:
    """`GetPromptResult`."""
    return {**present(description=description), "messages": [_message(message, revision) for message in messages]}


def resource(value: ResourceDefinition, revision: Revision) -> Object:
    """`Resource`, as resources/list shows it."""
    return {**present(uri=value.uri, size=value.size), **_described(value)}


def resource_template(value: ResourceDefinition, revision: Revision) -> Object:
    """`ResourceTemplate`, as resources/templates/list shows it."""
    return {"uriTemplate": value.uri, **_described(value)}


def read_result(parts: Sequence[Contents]) -> Object:
    """`ReadResourceResult`."""
    return {"contents": [_contents(part) for part in parts]}


def completion_result(value: Completion) -> Object:
    """`CompleteResult`."""
    total = len(value.values) if value.total is None else value.total
    values = list(value.values[:MOST_VALUES])
    has_more = total > len(values) if value.has_more is None else value.has_more
    return {"completion": {"values": values, "total": total, "hasMore": has_more, **value.extra}}


def _prompt_argument(value: PromptArgument) -> Object:
    shape = present(name=value.name, title=value.title, description=value.description, required=value.required)
    return {**shape, **value.extra}


def _message(value: Message, revision: Revision) -> Object:
    block = Text(value.content) if isinstance(value.content, str) else value.content
    return {"role": value.role, "content": content(block, revision), **value.extra}


def _described(value: ResourceDefinition) -> Object:
    shape = present(
        name=value.name,
        title=value.title,
        description=value.description,
        mimeType=value.mime_type,
        annotations=None if value.annotations is None else annotations_shape(value.annotations),
        icons=icons(value.icons),
        _meta=value.meta,
    )
    return {**shape, **value.extra}


def _contents(value: Contents) -> Object:
    shape = present(uri=value.uri, mimeType=value.mime_type, _meta=value.meta)
    if isinstance(value.contents, str):
        shape["text"] = value.contents
    else:
        shape["blob"] = base64_text(value.contents)
    if value.extra:
        shape.update(value.extra)
    return shape
