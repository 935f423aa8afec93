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
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

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

Shape = Mapping[str, Any]
Value = TypeVar("Value")
Fit = Callable[[Any], Any]
"""Makes a value of an optional member; None when it says nothing, or is none."""
Members = Mapping[str, tuple[str, Fit]]
"""The optional members of a shape: their Python names, and what makes values of them."""

_KINDS: Mapping[type, str] = {str: "a string", dict: "an object", list: "an array"}


# --- results


def result_of(shape: Any) -> Result:
    """A `CallToolResult`."""
    blocks = _each(_required(shape, "content", list), content_of, "content")
    if len(shape) == 1:
        return Result(content=blocks)
    is_error = shape.get("isError", False)
    if not isinstance(is_error, bool):
        # What the member says decides whether the tool failed: no guess is good enough.
        raise ValueError('"isError" must be true or false')
    rest = {name: value for name, value in shape.items() if name not in _OF_RESULT}
    if "isError" in shape and not is_error:
        rest["isError"] = False
    return Result(
        content=blocks, structured=shape.get("structuredContent", ABSENT), is_error=is_error, **_optional(rest, _META)
    )


_OF_RESULT = frozenset({"content", "structuredContent", "isError", "resultType"})


def content_of(block: Any) -> Content:
    """A `ContentBlock`; one of a type that is not known here becomes an `Unknown`."""
    kind = _required(block, "type", str)
    if kind == "text":
        text = _required(block, "text", str)
        return Text(text) if len(block) == 2 else Text(text, **_optional(block, _ON_BLOCKS, ("type", "text")))
    read = _BLOCKS.get(kind)
    return read(block) if read is not None else Unknown(kind, _without(block, "type"))


def contents_of(shape: Any) -> list[Contents]:
    """The contents of a `ReadResourceResult`."""
    return _each(_required(shape, "contents", list), _contents, "contents")


def messages_of(shape: Any) -> list[Message]:
    """The messages of a `GetPromptResult`."""
    return _each(_required(shape, "messages", list), _message, "messages")


def completion_of(shape: Any) -> Completion:
    """The suggestions of a `CompleteResult`."""
    found = _required(shape, "completion", dict)
    values = _required(found, "values", list)
    if not all(isinstance(value, str) for value in values):
        raise ValueError('"values" must be an array of strings')
    return Completion(values, **_optional(found, _ON_COMPLETIONS, ("values",)))


# --- what is served


def tool_of(shape: Any) -> ToolDefinition:
    """A `Tool`."""
    name, schema = _required(shape, "name", str), _required(shape, "inputSchema", dict)
    return ToolDefinition(name=name, input_schema=schema, **_optional(shape, _ON_TOOLS, ("name", "inputSchema")))


def prompt_of(shape: Any) -> PromptDefinition:
    """A `Prompt`."""
    return PromptDefinition(name=_required(shape, "name", str), **_optional(shape, _ON_PROMPTS, ("name",)))


def resource_of(shape: Any) -> ResourceDefinition:
    """A `Resource`."""
    uri, name = _required(shape, "uri", str), _required(shape, "name", str)
    return ResourceDefinition(uri=uri, name=name, **_optional(shape, _ON_RESOURCES, ("uri", "name")))


def template_of(shape: Any) -> ResourceDefinition:
    """A `ResourceTemplate`: its template becomes the `uri`."""
    uri, name = _required(shape, "uriTemplate", str), _required(shape, "name", str)
    return ResourceDefinition(uri=uri, name=name, **_optional(shape, _ON_TEMPLATES, ("uriTemplate", "name")))


def implementation_of(shape: Any) -> Implementation:
    """An `Implementation`."""
    name, version = _required(shape, "name", str), _required(shape, "version", str)
    return Implementation(name=name, version=version, **_optional(shape, _ON_IMPLEMENTATIONS, ("name", "version")))


# --- how


def _required(shape: Any, name: str, kind: type) -> Any:
    if not isinstance(shape, dict):
        raise ValueError("it must be an object")
    value = shape.get(name)
    if not isinstance(value, kind):
        raise ValueError(f'"{name}" must be {_KINDS[kind]}' if name in shape else f'"{name}" is missing')
    return value


def _each(shapes: Sequence[Any], read: Callable[[Any], Value], name: str) -> list[Value]:
    """Read the elements of an array; an error says which one is wrong."""
    values: list[Value] = []
    for shape in shapes:
        try:
            values.append(read(shape))
        except ValueError as error:
            raise ValueError(f"{name}[{len(values)}]: {error}") from None
    return values


def _optional(shape: Shape, members: Members, taken: Sequence[str] = ()) -> dict[str, Any]:
    """Arguments for all members that are not taken yet: those that fit under their names, the others as `extra`."""
    found: dict[str, Any] = {}
    extra: dict[str, Any] = {}
    for name, value in shape.items():
        if name in taken:
            continue
        member = members.get(name)
        fitting = None if member is None else member[1](value)
        if member is None or fitting is None:
            extra[name] = value
        else:
            found[member[0]] = fitting
    if extra:
        found["extra"] = extra
    return found


def _without(shape: Shape, *names: str) -> dict[str, Any]:
    return {name: value for name, value in shape.items() if name not in names}


def _bytes(shape: Shape, name: str) -> bytes:
    """Base64, perhaps broken into lines."""
    try:
        return base64.b64decode("".join(_required(shape, name, str).split()), validate=True)
    except (binascii.Error, ValueError) as error:
        raise ValueError(f'"{name}" must be base64: {error}') from None


def _data(part: Shape) -> str | bytes:
    if "text" in part:
        text: str = _required(part, "text", str)
        return text
    if "blob" not in part:
        raise ValueError('"text" or "blob" is missing')
    return _bytes(part, "blob")


def _taken_data(part: Shape) -> str:
    return "text" if "text" in part else "blob"


def _image(block: Shape) -> Image:
    mime_type = _required(block, "mimeType", str)
    return Image(_bytes(block, "data"), mime_type, **_optional(block, _ON_BLOCKS, ("type", "data", "mimeType")))


def _audio(block: Shape) -> Audio:
    mime_type = _required(block, "mimeType", str)
    return Audio(_bytes(block, "data"), mime_type, **_optional(block, _ON_BLOCKS, ("type", "data", "mimeType")))


def _resource_link(block: Shape) -> ResourceLink:
    uri, name = _required(block, "uri", str), _required(block, "name", str)
    return ResourceLink(uri, name, **_optional(block, _ON_RESOURCES, ("type", "uri", "name")))


def _embedded(block: Shape) -> EmbeddedResource:
    resource = _required(block, "resource", dict)
    uri, data = _required(resource, "uri", str), _data(resource)
    inner = _optional(resource, _ON_EMBEDDED, ("uri", _taken_data(resource)))
    if "extra" in inner:
        inner["resource_extra"] = inner.pop("extra")
    return EmbeddedResource(uri, data, **inner, **_optional(block, _ON_BLOCKS, ("type", "resource")))


_BLOCKS: Mapping[str, Callable[[Shape], Content]] = {
    "image": _image,
    "audio": _audio,
    "resource_link": _resource_link,
    "resource": _embedded,
}


def _contents(part: Any) -> Contents:
    uri, data = _required(part, "uri", str), _data(part)
    return Contents(data, uri=uri, **_optional(part, _ON_CONTENTS, ("uri", _taken_data(part))))


def _message(shape: Any) -> Message:
    role, content = _required(shape, "role", str), _required(shape, "content", dict)
    if role not in ROLES:
        raise ValueError('"role" must be "user" or "assistant"')
    return Message(content_of(content), role, **_optional(shape, {}, ("role", "content")))


# --- optional members


def _string(value: Any) -> str | None:
    return value if isinstance(value, str) else None


def _flag(value: Any) -> bool | None:
    return value if isinstance(value, bool) else None


def _number(value: Any) -> float | None:
    return value if isinstance(value, int | float) and not isinstance(value, bool) else None


def _integer(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _object(value: Any) -> dict[str, Any] | None:
    return value if isinstance(value, dict) else None


def _strings(value: Any) -> list[str] | None:
    return value if isinstance(value, list) and all(isinstance(one, str) for one in value) else None


def _audience(value: Any) -> list[str] | None:
    return value if isinstance(value, list) and all(one in ROLES for one in value) else None


def _theme(value: Any) -> str | None:
    return value if value in ("light", "dark") else None


def _annotations(value: Any) -> Annotations | None:
    return Annotations(**_optional(value, _ON_ANNOTATIONS)) if isinstance(value, dict) else None


def _tool_annotations(value: Any) -> ToolAnnotations | None:
    return ToolAnnotations(**_optional(value, _ON_TOOL_ANNOTATIONS)) if value and isinstance(value, dict) else None


def _icons(value: Any) -> list[Icon] | None:
    return _all(value, "src", lambda shape: Icon(src=shape["src"], **_optional(shape, _ON_ICONS, ("src",))))


def _arguments(value: Any) -> list[PromptArgument] | None:
    return _all(value, "name", _argument)


def _argument(shape: Shape) -> PromptArgument:
    return PromptArgument(name=shape["name"], **{"required": None, **_optional(shape, _ON_ARGUMENTS, ("name",))})


def _all(value: Any, key: str, read: Callable[[Shape], Value]) -> list[Value] | None:
    """Read an array of objects that can't be without one text; None if there is nothing in it, or something else."""
    if not (value and isinstance(value, list)):
        return None
    if not all(isinstance(shape, dict) and isinstance(shape.get(key), str) for shape in value):
        return None
    return [read(shape) for shape in value]


_META: Members = {"_meta": ("meta", _object)}
_ON_ANNOTATIONS: Members = {
    "audience": ("audience", _audience),
    "priority": ("priority", _number),
    "lastModified": ("last_modified", _string),
}
_ON_TOOL_ANNOTATIONS: Members = {
    "title": ("title", _string),
    "readOnlyHint": ("read_only", _flag),
    "destructiveHint": ("destructive", _flag),
    "idempotentHint": ("idempotent", _flag),
    "openWorldHint": ("open_world", _flag),
}
_ON_ICONS: Members = {"mimeType": ("mime_type", _string), "sizes": ("sizes", _strings), "theme": ("theme", _theme)}
_ON_BLOCKS: Members = {"annotations": ("annotations", _annotations), **_META}
_ON_CONTENTS: Members = {"mimeType": ("mime_type", _string), **_META}
_ON_EMBEDDED: Members = {"mimeType": ("mime_type", _string)}
_TITLED: Members = {"title": ("title", _string), "description": ("description", _string)}
_ON_ARGUMENTS: Members = {**_TITLED, "required": ("required", _flag)}
_ON_PROMPTS: Members = {**_TITLED, "arguments": ("arguments", _arguments), "icons": ("icons", _icons), **_META}
_ON_IMPLEMENTATIONS: Members = {**_TITLED, "websiteUrl": ("website_url", _string), "icons": ("icons", _icons)}
_ON_TOOLS: Members = {
    **_TITLED,
    "outputSchema": ("output_schema", _object),
    "annotations": ("annotations", _tool_annotations),
    "icons": ("icons", _icons),
    **_META,
}
_ON_TEMPLATES: Members = {
    **_TITLED,
    "mimeType": ("mime_type", _string),
    "annotations": ("annotations", _annotations),
    "icons": ("icons", _icons),
    **_META,
}
_ON_RESOURCES: Members = {**_ON_TEMPLATES, "size": ("size", _integer)}
_ON_COMPLETIONS: Members = {"total": ("total", _integer), "hasMore": ("has_more", _flag)}
