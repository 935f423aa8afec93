"""From the wire back to our values: what a client makes of what a server answers. The way there is in `wire`, `offers`.

Spec: schema, ContentBlock, CallToolResult, ReadResourceResult, GetPromptResult, CompleteResult.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any

from mcpserve.protocol.types import (
    ABSENT,
    Audio,
    Completion,
    Content,
    Contents,
    EmbeddedResource,
    Image,
    Message,
    ResourceLink,
    Result,
    Text,
)

Shape = Mapping[str, Any]


def result_of(shape: Shape) -> Result:
    """A `CallToolResult`."""
    return Result(
        content=[content_of(block) for block in shape["content"]],
        structured=shape.get("structuredContent", ABSENT),
        is_error=shape.get("isError", False),
    )


def content_of(block: Shape) -> Content:
    """A `ContentBlock`, without its annotations."""
    kind = block["type"]
    if kind == "text":
        return Text(block["text"])
    if kind == "image":
        return Image(base64.b64decode(block["data"]), block["mimeType"])
    if kind == "audio":
        return Audio(base64.b64decode(block["data"]), block["mimeType"])
    if kind == "resource_link":
        return ResourceLink(block["uri"], block["name"])
    resource = block["resource"]
    return EmbeddedResource(resource["uri"], _data(resource), mime_type=resource.get("mimeType"))


def contents_of(shape: Shape) -> list[Contents]:
    """The contents of a `ReadResourceResult`."""
    return [
        Contents(_data(part), uri=part["uri"], mime_type=part.get("mimeType"), meta=part.get("_meta"))
        for part in shape["contents"]
    ]


def messages_of(shape: Shape) -> list[Message]:
    """The messages of a `GetPromptResult`."""
    return [Message(content_of(message["content"]), message["role"]) for message in shape["messages"]]


def completion_of(shape: Shape) -> Completion:
    """The suggestions of a `CompleteResult`."""
    found = shape["completion"]
    return Completion(found["values"], total=found.get("total"), has_more=found.get("hasMore"))


def _data(part: Shape) -> str | bytes:
    text: str | None = part.get("text")
    return base64.b64decode(part["blob"]) if text is None else text
