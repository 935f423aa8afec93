"""From the wire back to our values: what a client makes of what a server sends. The way there is in `wire`, `offers`.

What a value can't be without must be there and of its type, else a ValueError says which member is wrong. All else is
forgiven: a member of another type than it should have goes to `extra` with the unknown ones, and whoever writes the
value writes what came.

Spec: schema, ContentBlock, CallToolResult, ReadResourceResult, GetPromptResult, CompleteResult, Tool, Prompt, Resource,
ResourceTemplate, Implementation.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Mapping
from typing import Any

from mcpserve.protocol.fitting import (
    Members,
    Shape,
    each,
    every,
    flag,
    integer,
    mapping,
    number,
    optional,
    required,
    string,
    strings,
)
from mcpserve.protocol.types import (
    ABSENT,
    ROLES,
    Annotations,
    Audio,
    Completion,
    Content,
    Contents,
    EmbeddedResource,
    Icon,
    Image,
    Implementation,
    Message,
    PromptArgument,
    PromptDefinition,
    ResourceDefinition,
    ResourceLink,
    Result,
    Text,
    ToolAnnotations,
    ToolDefinition,
    Unknown,
)

# --- results


def result_of(shape: Any) -> Result:
    """A `CallToolResult`. Some servers leave out the content when there is structured content: they are forgiven."""
    lacking = isinstance(shape, dict) and "content" not in shape and "structuredContent" in shape
    blocks = [] if lacking else each(required(shape, "content", list), content_of, "content")
    if len(shape) == 1 and not lacking:
        return Result(content=blocks)
    is_error = shape.get("isError")
    if not isinstance(is_error, bool | None):
        # What the member says decides whether the tool failed: no guess is good enough.
        raise ValueError('"isError" must be true or false')
    rest = {name: value for name, value in shape.items() if name not in _OF_RESULT}
    if "isError" in shape and not is_error:
        rest["isError"] = is_error
    return Result(
        content=blocks,
        structured=shape.get("structuredContent", ABSENT),
        is_error=bool(is_error),
        **optional(rest, _META),
    )


_OF_RESULT = frozenset({"content", "structuredContent", "isError", "resultType"})


def content_of(block: Any) -> Content:
    """A `ContentBlock`; one of a type that is not known here becomes an `Unknown`."""
    kind = required(block, "type", str)
    if kind == "text":
        text = required(block, "text", str)
        return Text(text) if len(block) == 2 else Text(text, **optional(block, _ON_BLOCKS, ("type", "text")))
    read = _BLOCKS.get(kind)
    return read(block) if read is not None else Unknown(kind, _without(block, "type"))


def contents_of(shape: Any) -> list[Contents]:
    """The contents of a `ReadResourceResult`."""
    return each(required(shape, "contents", list), _contents, "contents")


def messages_of(shape: Any) -> list[Message]:
    """The messages of a `GetPromptResult`."""
    return each(required(shape, "messages", list), _message, "messages")


def completion_of(shape: Any) -> Completion:
    """The suggestions of a `CompleteResult`."""
    found = required(shape, "completion", dict)
    values = required(found, "values", list)
    if not all(isinstance(value, str) for value in values):
        raise ValueError('"values" must be an array of strings')
    return Completion(values, **optional(found, _ON_COMPLETIONS, ("values",)))


# --- what is served


def tool_of(shape: Any) -> ToolDefinition:
    """A `Tool`."""
    name, schema = required(shape, "name", str), required(shape, "inputSchema", dict)
    return ToolDefinition(name=name, input_schema=schema, **optional(shape, _ON_TOOLS, ("name", "inputSchema")))


def prompt_of(shape: Any) -> PromptDefinition:
    """A `Prompt`."""
    return PromptDefinition(name=required(shape, "name", str), **optional(shape, _ON_PROMPTS, ("name",)))


def resource_of(shape: Any) -> ResourceDefinition:
    """A `Resource`."""
    uri, name = required(shape, "uri", str), required(shape, "name", str)
    return ResourceDefinition(uri=uri, name=name, **optional(shape, _ON_RESOURCES, ("uri", "name")))


def template_of(shape: Any) -> ResourceDefinition:
    """A `ResourceTemplate`: its template becomes the `uri`."""
    uri, name = required(shape, "uriTemplate", str), required(shape, "name", str)
    return ResourceDefinition(uri=uri, name=name, **optional(shape, _ON_TEMPLATES, ("uriTemplate", "name")))


def implementation_of(shape: Any) -> Implementation:
    """An `Implementation`."""
    name, version = required(shape, "name", str), required(shape, "version", str)
    return Implementation(name=name, version=version, **optional(shape, _ON_IMPLEMENTATIONS, ("name", "version")))


# --- how


def _without(shape: Shape, *names: str) -> dict[str, Any]:
    return {name: value for name, value in shape.items() if name not in names}


def _bytes(shape: Shape, name: str) -> bytes:
    """Base64, perhaps broken into lines."""
    try:
        return base64.b64decode("".join(required(shape, name, str).split()), validate=True)
    except (binascii.Error, ValueError) as error:
        raise ValueError(f'"{name}" must be base64: {error}') from None


def _data(part: Shape) -> str | bytes:
    if "text" in part:
        text: str = required(part, "text", str)
        return text
    if "blob" not in part:
        raise ValueError('"text" or "blob" is missing')
    return _bytes(part, "blob")


def _taken_data(part: Shape) -> str:
    return "text" if "text" in part else "blob"


def _image(block: Shape) -> Image:
    mime_type = required(block, "mimeType", str)
    return Image(_bytes(block, "data"), mime_type, **optional(block, _ON_BLOCKS, ("type", "data", "mimeType")))


def _audio(block: Shape) -> Audio:
    mime_type = required(block, "mimeType", str)
    return Audio(_bytes(block, "data"), mime_type, **optional(block, _ON_BLOCKS, ("type", "data", "mimeType")))


def _resource_link(block: Shape) -> ResourceLink:
    uri, name = required(block, "uri", str), required(block, "name", str)
    return ResourceLink(uri, name, **optional(block, _ON_RESOURCES, ("type", "uri", "name")))


def _embedded(block: Shape) -> EmbeddedResource:
    resource = required(block, "resource", dict)
    uri, data = required(resource, "uri", str), _data(resource)
    inner = optional(resource, _ON_EMBEDDED, ("uri", _taken_data(resource)))
    if "extra" in inner:
        inner["resource_extra"] = inner.pop("extra")
    return EmbeddedResource(uri, data, **inner, **optional(block, _ON_BLOCKS, ("type", "resource")))


_BLOCKS: Mapping[str, Callable[[Shape], Content]] = {
    "image": _image,
    "audio": _audio,
    "resource_link": _resource_link,
    "resource": _embedded,
}


def _contents(part: Any) -> Contents:
    uri, data = required(part, "uri", str), _data(part)
    return Contents(data, uri=uri, **optional(part, _ON_CONTENTS, ("uri", _taken_data(part))))


def _message(shape: Any) -> Message:
    role, content = required(shape, "role", str), required(shape, "content", dict)
    if role not in ROLES:
        raise ValueError('"role" must be "user" or "assistant"')
    return Message(content_of(content), role, **optional(shape, {}, ("role", "content")))


# --- optional members


def _audience(value: Any) -> list[str] | None:
    return value if isinstance(value, list) and all(one in ROLES for one in value) else None


def _theme(value: Any) -> str | None:
    return value if value in ("light", "dark") else None


def _annotations(value: Any) -> Annotations | None:
    return Annotations(**optional(value, _ON_ANNOTATIONS)) if isinstance(value, dict) else None


def _tool_annotations(value: Any) -> ToolAnnotations | None:
    return ToolAnnotations(**optional(value, _ON_TOOL_ANNOTATIONS)) if value and isinstance(value, dict) else None


def _icons(value: Any) -> list[Icon] | None:
    return every(value, "src", lambda shape: Icon(src=shape["src"], **optional(shape, _ON_ICONS, ("src",))))


def _arguments(value: Any) -> list[PromptArgument] | None:
    return every(value, "name", _argument)


def _argument(shape: Shape) -> PromptArgument:
    return PromptArgument(name=shape["name"], **{"required": None, **optional(shape, _ON_ARGUMENTS, ("name",))})


_META: Members = {"_meta": ("meta", mapping)}
_ON_ANNOTATIONS: Members = {
    "audience": ("audience", _audience),
    "priority": ("priority", number),
    "lastModified": ("last_modified", string),
}
_ON_TOOL_ANNOTATIONS: Members = {
    "title": ("title", string),
    "readOnlyHint": ("read_only", flag),
    "destructiveHint": ("destructive", flag),
    "idempotentHint": ("idempotent", flag),
    "openWorldHint": ("open_world", flag),
}
_ON_ICONS: Members = {"mimeType": ("mime_type", string), "sizes": ("sizes", strings), "theme": ("theme", _theme)}
_ON_BLOCKS: Members = {"annotations": ("annotations", _annotations), **_META}
_ON_CONTENTS: Members = {"mimeType": ("mime_type", string), **_META}
_ON_EMBEDDED: Members = {"mimeType": ("mime_type", string)}
_TITLED: Members = {"title": ("title", string), "description": ("description", string)}
_ON_ARGUMENTS: Members = {**_TITLED, "required": ("required", flag)}
_ON_PROMPTS: Members = {**_TITLED, "arguments": ("arguments", _arguments), "icons": ("icons", _icons), **_META}
_ON_IMPLEMENTATIONS: Members = {**_TITLED, "websiteUrl": ("website_url", string), "icons": ("icons", _icons)}
_ON_TOOLS: Members = {
    **_TITLED,
    "outputSchema": ("output_schema", mapping),
    "annotations": ("annotations", _tool_annotations),
    "icons": ("icons", _icons),
    **_META,
}
_ON_TEMPLATES: Members = {
    **_TITLED,
    "mimeType": ("mime_type", string),
    "annotations": ("annotations", _annotations),
    "icons": ("icons", _icons),
    **_META,
}
_ON_RESOURCES: Members = {**_ON_TEMPLATES, "size": ("size", integer)}
_ON_COMPLETIONS: Members = {"total": ("total", integer), "hasMore": ("has_more", flag)}
