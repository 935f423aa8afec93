"""How our values look on the wire: every camelCase name and every shape that depends on the revision is here.

Those of prompts, resources and completions stand in `offers`.

Spec: schema (each revision).
"""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from typing import Any

import orjson

from mcpserve.protocol import metadata
from mcpserve.protocol.revisions import MODERN, Revision
from mcpserve.protocol.types import (
    ABSENT,
    Annotations,
    Audio,
    Content,
    EmbeddedResource,
    Icon,
    Image,
    Implementation,
    ResourceLink,
    Result,
    Text,
    ToolAnnotations,
    ToolDefinition,
    Unknown,
)

Object = dict[str, Any]


def present(**members: Any) -> Object:
    """An object of the members that are not None."""
    return {name: value for name, value in members.items() if value is not None}


def icons(values: Sequence[Icon] | None) -> list[Object] | None:
    """Icons, or None when there are none."""
    if not values:
        return None
    return [{**present(src=i.src, mimeType=i.mime_type, sizes=i.sizes, theme=i.theme), **i.extra} for i in values]


def implementation(value: Implementation) -> Object:
    """`Implementation`: serverInfo and clientInfo."""
    shape = present(
        name=value.name,
        title=value.title,
        version=value.version,
        description=value.description,
        websiteUrl=value.website_url,
        icons=icons(value.icons),
    )
    return {**shape, **value.extra}


def content(block: Content, revision: Revision) -> Object:
    """`ContentBlock`; a block that the revision does not know becomes a text that says what it was."""
    if isinstance(block, Text):
        shape: Object = {"type": "text", "text": block.text}
    elif isinstance(block, Image):
        shape = {"type": "image", "data": base64_text(block.data), "mimeType": block.mime_type}
    elif isinstance(block, Audio):
        if not revision.audio:
            return {"type": "text", "text": f"[audio, {block.mime_type}, {len(block.data)} bytes]"}
        shape = {"type": "audio", "data": base64_text(block.data), "mimeType": block.mime_type}
    elif isinstance(block, EmbeddedResource):
        shape = {"type": "resource", "resource": _resource_contents(block)}
    elif isinstance(block, Unknown):
        return {"type": block.type, **block.extra}
    else:
        if not revision.resource_links:
            return {"type": "text", "text": f"{block.title or block.name}: {block.uri}"}
        shape = _resource_link(block)
    return _noted(shape, block)


def _noted(shape: Object, block: Text | Image | Audio | ResourceLink | EmbeddedResource) -> Object:
    """Add what all known blocks may have."""
    if block.annotations is not None:
        shape["annotations"] = annotations_shape(block.annotations)
    if block.meta is not None:
        shape["_meta"] = dict(block.meta)
    if block.extra:
        shape.update(block.extra)
    return shape


def call_result(value: Result, revision: Revision) -> Object:
    """`CallToolResult`. Structured content that the revision can't carry becomes a text if there is nothing else."""
    blocks = [content(block, revision) for block in value.content]
    shape: Object = {"content": blocks}
    if value.structured is not ABSENT:
        if _carries(revision, isinstance(value.structured, dict)):
            shape["structuredContent"] = value.structured
        elif not blocks:
            blocks.append({"type": "text", "text": orjson.dumps(value.structured).decode("utf-8")})
    if value.is_error:
        shape["isError"] = True
    if value.meta is not None:
        shape["_meta"] = dict(value.meta)
    if value.extra:
        shape.update(value.extra)
    return shape


def tool(value: ToolDefinition, revision: Revision) -> Object:
    """`Tool`, as tools/list shows it. The schemas are passed on untouched."""
    output = value.output_schema
    if output is not None and not _carries(revision, output.get("type") == "object"):
        output = None
    shape = present(
        name=value.name,
        title=value.title,
        description=value.description,
        inputSchema=value.input_schema,
        outputSchema=output,
        annotations=tool_annotations(value.annotations),
        icons=icons(value.icons),
        _meta=value.meta,
    )
    return {**shape, **value.extra}


def tool_annotations(value: ToolAnnotations) -> Object | None:
    """`ToolAnnotations`, or None when nothing was said."""
    shape = present(
        title=value.title,
        readOnlyHint=value.read_only,
        destructiveHint=value.destructive,
        idempotentHint=value.idempotent,
        openWorldHint=value.open_world,
    )
    return {**shape, **value.extra} or None


def progress(token: int | str, value: float, total: float | None, message: str | None) -> bytes:
    """`notifications/progress`, encoded. Spec: Progress."""
    params: Object = {"progressToken": token, "progress": value}
    if total is not None:
        params["total"] = total
    if message is not None:
        params["message"] = message
    return orjson.dumps({"jsonrpc": "2.0", "method": "notifications/progress", "params": params})


def log_message(level: str, data: Any, logger: str | None) -> bytes:
    """`notifications/message`, encoded. Spec: Logging."""
    params = present(level=level, logger=logger)
    params["data"] = data
    return orjson.dumps({"jsonrpc": "2.0", "method": "notifications/message", "params": params})


def base64_text(data: bytes) -> str:
    """A blob, as JSON carries it."""
    return base64.b64encode(data).decode("ascii")


def annotations_shape(value: Annotations) -> Object:
    """`Annotations`."""
    shape = present(
        audience=list(value.audience) if value.audience is not None else None,
        priority=value.priority,
        lastModified=value.last_modified,
    )
    return {**shape, **value.extra}


class Envelope:
    """What a revision adds to every result: `resultType` and the server's name in 2026-07-28, nothing before.

    Args:
        server: The name and version of this server.
    """

    def __init__(self, server: Implementation) -> None:
        self.server = implementation(server)
        self._meta = {metadata.SERVER_INFO: self.server}
        self._encoded_meta = orjson.Fragment(orjson.dumps(self._meta))

    def complete(self, result: Object, revision: Revision) -> Object:
        """The complete form of a result; `result` belongs to the caller and is changed.

        Spec: 2026-07-28, Overview: "The result MUST include a resultType field"; "Servers SHOULD include
        io.modelcontextprotocol/serverInfo in every result's _meta".
        """
        if revision.modern:
            own = result.get("_meta")
            result["_meta"] = self._encoded_meta if own is None else {**self._meta, **own}
            result["resultType"] = "complete"
        return result

    def input_required(self, result: Object) -> Object:
        """The complete form of an `InputRequiredResult`. Spec: 2026-07-28, Multi Round-Trip Requests."""
        return {**result, "_meta": self._encoded_meta, "resultType": "input_required"}

    def cacheable(self, result: Object, revision: Revision, *, ttl_ms: int, scope: str) -> Object:
        """The complete form of a cacheable result. Spec: Caching."""
        if revision.modern:
            result["ttlMs"] = ttl_ms
            result["cacheScope"] = scope
        return self.complete(result, revision)


def discovery(capabilities: Mapping[str, Any], instructions: str | None) -> Object:
    """`DiscoverResult` without its envelope. Spec: Discovery."""
    shape: Object = {"supportedVersions": list(MODERN), "capabilities": dict(capabilities)}
    if instructions is not None:
        shape["instructions"] = instructions
    return shape


def _carries(revision: Revision, is_object: bool) -> bool:
    """Tell whether a revision has structured content of this kind: before 2026-07-28 it was always an object."""
    return revision.structured_content and (is_object or revision.modern)


def _resource_contents(block: EmbeddedResource) -> Object:
    shape = present(uri=block.uri, mimeType=block.mime_type)
    if isinstance(block.contents, str):
        shape["text"] = block.contents
    else:
        shape["blob"] = base64_text(block.contents)
    return {**shape, **block.resource_extra}


def _resource_link(block: ResourceLink) -> Object:
    return {
        "type": "resource_link",
        **present(
            uri=block.uri,
            name=block.name,
            title=block.title,
            description=block.description,
            mimeType=block.mime_type,
            size=block.size,
            icons=icons(block.icons),
        ),
    }
