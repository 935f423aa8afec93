"""The shapes on the wire, revision by revision."""

from __future__ import annotations

from typing import Any

import attrs
import orjson
import pytest

from mcpserve.protocol import wire
from mcpserve.protocol.metadata import SERVER_INFO
from mcpserve.protocol.revisions import LEGACY, V2024_11_05, V2025_03_26, V2025_06_18, V2025_11_25, V2026_07_28
from mcpserve.protocol.types import (
    Annotations,
    Audio,
    EmbeddedResource,
    Icon,
    Image,
    Implementation,
    ResourceLink,
    Result,
    Text,
    ToolAnnotations,
    ToolDefinition,
)

HINTS = Annotations(audience=["user"], priority=0.5, last_modified="2026-01-01T00:00:00Z")
ENVELOPE = wire.Envelope(Implementation(name="here", version="1"))


@pytest.mark.parametrize(
    ("block", "shape"),
    [
        (Text("hi"), {"type": "text", "text": "hi"}),
        (Image(b"\x00\xff", "image/gif"), {"type": "image", "data": "AP8=", "mimeType": "image/gif"}),
        (Audio(b"", "audio/ogg"), {"type": "audio", "data": "", "mimeType": "audio/ogg"}),
        (
            ResourceLink("file:///a", "a", title="A", description="d", mime_type="text/plain", size=0),
            {
                "type": "resource_link",
                "uri": "file:///a",
                "name": "a",
                "title": "A",
                "description": "d",
                "mimeType": "text/plain",
                "size": 0,
            },
        ),
        (
            EmbeddedResource("file:///a", "", mime_type="text/plain"),
            {"type": "resource", "resource": {"uri": "file:///a", "mimeType": "text/plain", "text": ""}},
        ),
        (
            EmbeddedResource("file:///a", b"\xff"),
            {"type": "resource", "resource": {"uri": "file:///a", "blob": "/w=="}},
        ),
    ],
)
def test_content(block: Any, shape: dict[str, Any]) -> None:
    """Each kind of block has its shape; annotations and `_meta` join where they are given."""
    assert wire.content(block, V2026_07_28) == shape
    noted = attrs.evolve(block, annotations=HINTS, meta={"k": 1})
    hints = {"audience": ["user"], "priority": 0.5, "lastModified": "2026-01-01T00:00:00Z"}
    assert wire.content(noted, V2026_07_28) == {**shape, "annotations": hints, "_meta": {"k": 1}}


def test_blocks_that_a_revision_does_not_know() -> None:
    """They become texts, so that nothing that the client can't read reaches it."""
    audio, link = Audio(b"123", "audio/wav"), ResourceLink("file:///a", "a", title="A")
    assert wire.content(audio, V2024_11_05) == {"type": "text", "text": "[audio, audio/wav, 3 bytes]"}
    assert wire.content(link, V2025_03_26) == {"type": "text", "text": "A: file:///a"}
    assert wire.content(audio, V2025_03_26)["type"] == "audio"
    assert wire.content(link, V2025_06_18)["type"] == "resource_link"


def test_results() -> None:
    """Only what was said is there: no `isError: false`, no empty `_meta`."""
    assert wire.call_result(Result(), V2026_07_28) == {"content": []}
    whole = wire.call_result(Result(content=[Text("a")], structured=None, is_error=True, meta={"k": 1}), V2026_07_28)
    text = {"type": "text", "text": "a"}
    assert whole == {"content": [text], "structuredContent": None, "isError": True, "_meta": {"k": 1}}


@pytest.mark.parametrize("structured", [{"a": 1}, {}, [1], 5, None, "x"])
@pytest.mark.parametrize("revision", [*LEGACY.values(), V2026_07_28])
def test_structured_content(structured: Any, revision: Any) -> None:
    """Before 2025-06-18 there is none, before 2026-07-28 it is an object; nothing of the result is lost by that."""
    shape = wire.call_result(Result(structured=structured), revision)
    may = revision is V2026_07_28 or (revision in (V2025_06_18, V2025_11_25) and isinstance(structured, dict))
    assert ("structuredContent" in shape) is may
    assert [orjson.loads(block["text"]) for block in shape["content"]] == ([] if may else [structured])
    said = wire.call_result(Result(content=[Text("t")], structured=structured), revision)
    assert said["content"] == [{"type": "text", "text": "t"}]


def test_a_tool() -> None:
    """All that a definition may say, under the names of the schema."""
    definition = ToolDefinition(
        name="t",
        title="T",
        description="d",
        input_schema={"type": "object"},
        output_schema={"type": "object", "x": 1},
        annotations=ToolAnnotations(title="A", read_only=True, destructive=False, idempotent=True, open_world=False),
        icons=[Icon(src="https://e/i.png", mime_type="image/png", sizes=["48x48"], theme="dark")],
        meta={"m": 1},
    )
    assert wire.tool(definition, V2026_07_28) == {
        "name": "t",
        "title": "T",
        "description": "d",
        "inputSchema": {"type": "object"},
        "outputSchema": {"type": "object", "x": 1},
        "annotations": {
            "title": "A",
            "readOnlyHint": True,
            "destructiveHint": False,
            "idempotentHint": True,
            "openWorldHint": False,
        },
        "icons": [{"src": "https://e/i.png", "mimeType": "image/png", "sizes": ["48x48"], "theme": "dark"}],
        "_meta": {"m": 1},
    }


def test_the_least_of_a_tool() -> None:
    """What nobody said is not there."""
    definition = ToolDefinition(name="t", input_schema={"type": "object"})
    assert wire.tool(definition, V2026_07_28) == {"name": "t", "inputSchema": {"type": "object"}}


def test_an_output_schema_of_another_type() -> None:
    """Revisions whose schema wants an object are not shown one that is none."""
    definition = ToolDefinition(name="t", input_schema={}, output_schema={"type": "array"})
    assert wire.tool(definition, V2026_07_28)["outputSchema"] == {"type": "array"}
    assert "outputSchema" not in wire.tool(definition, V2025_11_25)
    fits = attrs.evolve(definition, output_schema={"type": "object"})
    assert wire.tool(fits, V2025_11_25)["outputSchema"] == {"type": "object"}


def test_progress() -> None:
    """Total and message are there if they were said; zero and the empty text are something said."""
    params = orjson.loads(wire.progress("t", 0, None, None))["params"]
    assert params == {"progressToken": "t", "progress": 0}
    params = orjson.loads(wire.progress(1, 0.5, 0, ""))["params"]
    assert params == {"progressToken": 1, "progress": 0.5, "total": 0, "message": ""}


def test_log_messages() -> None:
    """Data that is null is data."""
    message = orjson.loads(wire.log_message("info", None, None))
    assert message == {"jsonrpc": "2.0", "method": "notifications/message", "params": {"level": "info", "data": None}}
    assert orjson.loads(wire.log_message("info", 1, "l"))["params"] == {"level": "info", "data": 1, "logger": "l"}


def test_the_envelope_of_a_modern_result() -> None:
    """`resultType` and the server's name are in every result, beside the result's own `_meta`."""
    plain = orjson.loads(orjson.dumps(ENVELOPE.complete({}, V2026_07_28)))
    info = {"name": "here", "version": "1"}
    assert plain == {"resultType": "complete", "_meta": {SERVER_INFO: info}}
    own = ENVELOPE.complete({"_meta": {"k": 1}}, V2026_07_28)
    assert own["_meta"] == {SERVER_INFO: info, "k": 1}
    cached = ENVELOPE.cacheable({}, V2026_07_28, ttl_ms=5, scope="public")
    assert (cached["ttlMs"], cached["cacheScope"], cached["resultType"]) == (5, "public", "complete")


def test_no_envelope_before() -> None:
    """A legacy result has none of it."""
    assert ENVELOPE.complete({}, V2025_11_25) == {}
    assert ENVELOPE.cacheable({"a": 1}, V2025_11_25, ttl_ms=5, scope="public") == {"a": 1}


def test_discovery() -> None:
    """Only modern versions are named; instructions if there are some."""
    assert wire.discovery({"tools": {}}, None) == {"supportedVersions": ["2026-07-28"], "capabilities": {"tools": {}}}
    assert wire.discovery({}, "Read on.")["instructions"] == "Read on."


def test_implementations() -> None:
    """Icons and addresses of a server are passed on."""
    whole = Implementation(
        name="n", version="1", title="T", description="d", website_url="https://e", icons=[Icon(src="data:,")]
    )
    assert wire.implementation(whole) == {
        "name": "n",
        "title": "T",
        "version": "1",
        "description": "d",
        "websiteUrl": "https://e",
        "icons": [{"src": "data:,"}],
    }
