"""The values that servers and clients exchange: content blocks, results, and what describes all that is served.

They are plain frozen values with Python names; `wire` and `offers` know their names and shapes on the wire. What a
server sends has `extra`: the members that have no name here, and those with a value that says nothing (null, an empty
list) or that is none of theirs, all as they came. Writing a value writes them, too.

`extra` is seldom filled, so it is not shown, and no part of the hash.
Spec: schema, ContentBlock, CallToolResult, Tool, Prompt, Resource, CompleteResult, Icon, Implementation.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import attrs

JSON = None | bool | int | float | str | list[Any] | dict[str, Any]
RequestId = int | str
ProgressToken = int | str
LogLevel = Literal["debug", "info", "notice", "warning", "error", "critical", "alert", "emergency"]
LOG_LEVELS: tuple[LogLevel, ...] = (
    "debug",
    "info",
    "notice",
    "warning",
    "error",
    "critical",
    "alert",
    "emergency",
)


_NOTHING: Mapping[str, Any] = {}


@attrs.frozen(kw_only=True)
class Annotations:
    """Hints on a piece of content: for whom it is, how much it matters (0 to 1), when it changed (ISO 8601)."""

    audience: Sequence[Literal["user", "assistant"]] | None = None
    priority: float | None = None
    last_modified: str | None = None
    extra: Mapping[str, Any] = attrs.field(default=_NOTHING, repr=False, hash=False)


@attrs.frozen(kw_only=True)
class Icon:
    """An icon for user interfaces: an https: or data: URI, its MIME type, its sizes ("48x48", "any"), its theme."""

    src: str
    mime_type: str | None = None
    sizes: Sequence[str] | None = None
    theme: Literal["light", "dark"] | None = None
    extra: Mapping[str, Any] = attrs.field(default=_NOTHING, repr=False, hash=False)


@attrs.frozen
class Text:
    """A block of text."""

    text: str
    annotations: Annotations | None = attrs.field(default=None, kw_only=True)
    meta: Mapping[str, Any] | None = attrs.field(default=None, kw_only=True)
    extra: Mapping[str, Any] = attrs.field(default=_NOTHING, kw_only=True, repr=False, hash=False)


@attrs.frozen
class Image:
    """A picture: its bytes (encoded as base64 on the wire) and its MIME type."""

    data: bytes
    mime_type: str = "image/png"
    annotations: Annotations | None = attrs.field(default=None, kw_only=True)
    meta: Mapping[str, Any] | None = attrs.field(default=None, kw_only=True)
    extra: Mapping[str, Any] = attrs.field(default=_NOTHING, kw_only=True, repr=False, hash=False)


@attrs.frozen
class Audio:
    """A sound: its bytes (encoded as base64 on the wire) and its MIME type."""

    data: bytes
    mime_type: str = "audio/wav"
    annotations: Annotations | None = attrs.field(default=None, kw_only=True)
    meta: Mapping[str, Any] | None = attrs.field(default=None, kw_only=True)
    extra: Mapping[str, Any] = attrs.field(default=_NOTHING, kw_only=True, repr=False, hash=False)


@attrs.frozen
class ResourceLink:
    """A link to a resource that the client may read later."""

    uri: str
    name: str
    title: str | None = attrs.field(default=None, kw_only=True)
    description: str | None = attrs.field(default=None, kw_only=True)
    mime_type: str | None = attrs.field(default=None, kw_only=True)
    size: int | None = attrs.field(default=None, kw_only=True)
    icons: Sequence[Icon] | None = attrs.field(default=None, kw_only=True)
    annotations: Annotations | None = attrs.field(default=None, kw_only=True)
    meta: Mapping[str, Any] | None = attrs.field(default=None, kw_only=True)
    extra: Mapping[str, Any] = attrs.field(default=_NOTHING, kw_only=True, repr=False, hash=False)


@attrs.frozen
class EmbeddedResource:
    """A resource carried in the result itself: text as `str`, or a blob as `bytes` (base64 on the wire).

    `resource_extra` are the further members of the resource in the block, its own `_meta` among them.
    """

    uri: str
    contents: str | bytes
    mime_type: str | None = attrs.field(default=None, kw_only=True)
    annotations: Annotations | None = attrs.field(default=None, kw_only=True)
    meta: Mapping[str, Any] | None = attrs.field(default=None, kw_only=True)
    extra: Mapping[str, Any] = attrs.field(default=_NOTHING, kw_only=True, repr=False, hash=False)
    resource_extra: Mapping[str, Any] = attrs.field(default=_NOTHING, kw_only=True, repr=False, hash=False)


@attrs.frozen
class Contents:
    """What a resource holds, or a part of it: text as `str`, or a blob as `bytes` (base64 on the wire).

    Args:
        contents: The text or the bytes.
        uri: Its URI; by default the one that was asked for.
        mime_type: Its MIME type; by default what the resource says.
        meta: Its `_meta`.
    """

    contents: str | bytes
    uri: str | None = attrs.field(default=None, kw_only=True)
    mime_type: str | None = attrs.field(default=None, kw_only=True)
    meta: Mapping[str, Any] | None = attrs.field(default=None, kw_only=True)
    extra: Mapping[str, Any] = attrs.field(default=_NOTHING, kw_only=True, repr=False, hash=False)


@attrs.frozen
class Unknown:
    """A block of a type that has no name here: its type, and in `extra` all else that it holds, as it came."""

    type: str
    extra: Mapping[str, Any] = attrs.field(default=_NOTHING, hash=False)


Content = Text | Image | Audio | ResourceLink | EmbeddedResource | Unknown
CONTENT_TYPES = (Text, Image, Audio, ResourceLink, EmbeddedResource, Unknown)


@attrs.frozen
class _Absent:
    """The type of ABSENT: tells "no structured content" from structured content that is null."""

    def __bool__(self) -> bool:
        return False


ABSENT = _Absent()


@attrs.frozen(kw_only=True)
class Result:
    """What a tool call ends with.

    Args:
        content: The blocks that the model reads, in order.
        structured: JSON for `structuredContent`; ABSENT when there is none.
        is_error: True when the tool failed and the content says how.
        meta: The result's own `_meta` members.

    Spec: Tools, Tool Result.
    """

    content: Sequence[Content] = ()
    structured: Any = ABSENT
    is_error: bool = False
    meta: Mapping[str, Any] | None = None
    extra: Mapping[str, Any] = attrs.field(default=_NOTHING, repr=False, hash=False)


@attrs.frozen(kw_only=True)
class ToolAnnotations:
    """Hints on a tool's behaviour; None where the author said nothing. Spec: schema, ToolAnnotations."""

    title: str | None = None
    read_only: bool | None = None
    destructive: bool | None = None
    idempotent: bool | None = None
    open_world: bool | None = None
    extra: Mapping[str, Any] = attrs.field(default=_NOTHING, repr=False, hash=False)


@attrs.frozen(kw_only=True)
class Implementation:
    """The name and version of a server or client, as it says itself. Spec: schema, Implementation."""

    name: str
    version: str
    title: str | None = None
    description: str | None = None
    website_url: str | None = None
    icons: Sequence[Icon] | None = None
    extra: Mapping[str, Any] = attrs.field(default=_NOTHING, repr=False, hash=False)


@attrs.frozen(kw_only=True)
class ToolDefinition:
    """What tools/list says of a tool. Spec: schema, Tool."""

    name: str
    title: str | None = None
    description: str | None = None
    input_schema: Mapping[str, Any]
    output_schema: Mapping[str, Any] | None = None
    annotations: ToolAnnotations = ToolAnnotations()
    icons: Sequence[Icon] = ()
    meta: Mapping[str, Any] | None = None
    extra: Mapping[str, Any] = attrs.field(default=_NOTHING, repr=False, hash=False)


Role = Literal["user", "assistant"]
ROLES: tuple[Role, ...] = ("user", "assistant")


@attrs.frozen
class Message:
    """A message of a prompt: a text or a content block, and who says it. Spec: schema, PromptMessage."""

    content: Content | str
    role: Role = "user"
    extra: Mapping[str, Any] = attrs.field(default=_NOTHING, kw_only=True, repr=False, hash=False)


@attrs.frozen(kw_only=True)
class PromptArgument:
    """What prompts/list says of an argument; `required` is None if it does not say. Spec: schema, PromptArgument."""

    name: str
    title: str | None = None
    description: str | None = None
    required: bool | None = False
    extra: Mapping[str, Any] = attrs.field(default=_NOTHING, repr=False, hash=False)


@attrs.frozen(kw_only=True)
class PromptDefinition:
    """What prompts/list says of a prompt. Spec: schema, Prompt."""

    name: str
    title: str | None = None
    description: str | None = None
    arguments: Sequence[PromptArgument] = ()
    icons: Sequence[Icon] = ()
    meta: Mapping[str, Any] | None = None
    extra: Mapping[str, Any] = attrs.field(default=_NOTHING, repr=False, hash=False)


@attrs.frozen(kw_only=True)
class ResourceDefinition:
    """What resources/list says of a resource, or resources/templates/list of a template: there `uri` is the template.

    Spec: schema, Resource, ResourceTemplate.
    """

    uri: str
    name: str
    title: str | None = None
    description: str | None = None
    mime_type: str | None = None
    annotations: Annotations | None = None
    icons: Sequence[Icon] = ()
    size: int | None = None
    meta: Mapping[str, Any] | None = None
    extra: Mapping[str, Any] = attrs.field(default=_NOTHING, repr=False, hash=False)


@attrs.frozen
class Completion:
    """Suggestions for the value of an argument, the best first.

    Args:
        values: The suggestions; the client gets the first 100.
        total: How many there are in all; by default as many as `values` has.
        has_more: Whether there are more than the client gets; by default found out from the others.

    Spec: schema, CompleteResult.
    """

    values: Sequence[str]
    total: int | None = attrs.field(default=None, kw_only=True)
    has_more: bool | None = attrs.field(default=None, kw_only=True)
    extra: Mapping[str, Any] = attrs.field(default=_NOTHING, kw_only=True, repr=False, hash=False)
