"""All that the endpoint says, held against the schema of the revision that was negotiated.

The official schema files are not part of this project. Where they are at hand, `MCPSERVE_SPEC` names the folder that
holds one folder for each revision with a `schema.json` in it, and each message is validated against its definition
there. Without them those tests are skipped, and a few rules written down by hand are checked; they know the shape of
what we send, and not much more.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import attrs
import jsonschema_rs
import orjson
import pytest

from mcpserve import (
    Annotations,
    Arg,
    Audio,
    Call,
    Contents,
    EmbeddedResource,
    Icon,
    Image,
    Message,
    ResourceLink,
    Result,
    Text,
    ToolError,
    prompt,
    resource,
    tool,
)
from mcpserve.protocol.notices import (
    FILTER_KEYS,
    PROMPTS_CHANGED,
    RESOURCE,
    RESOURCES_CHANGED,
    TOOLS_CHANGED,
    resource_updated,
)
from tests.wire.http import Peer
from tests.wire.server import CLIENT, LEGACY, MODERN, PREFIX, Limits, Server, Session, call_params, request
from tests.wire.tools import add, crash, echo, placed

SPEC = os.environ.get("MCPSERVE_SPEC")
REVISIONS = [*LEGACY, MODERN]
AT = "2026-01-01T00:00:00Z"
BLOCKS: Sequence[Any] = [
    Text("text", annotations=Annotations(audience=["user"], priority=0.5, last_modified=AT), meta={"x.example/y": 1}),
    Image(b"\x89PNG", "image/png"),
    Audio(b"RIFF", "audio/wav"),
    ResourceLink(
        "file:///a", "a", title="A", description="d", mime_type="text/plain", size=3, icons=[Icon(src="https://x/i")]
    ),
    EmbeddedResource("file:///a", "text", mime_type="text/plain"),
    EmbeddedResource("file:///b", b"blob"),
]


@tool(
    title="All blocks",
    description="Give one of each.",
    read_only=True,
    destructive=False,
    idempotent=True,
    open_world=False,
    icons=[Icon(src="https://x/i.png", mime_type="image/png", sizes=["48x48"], theme="dark")],
    meta={"x.example/y": 1},
)
def blocks() -> Any:
    """Give one of each."""
    return Result(content=BLOCKS, meta={"x.example/z": 2})


@tool
def failing() -> str:
    """Fail."""
    raise ToolError("no")


@tool
async def talking(call: Call) -> list[int]:
    """Report progress and log in every way."""
    call.progress(1)
    call.progress(1.5, 3)
    call.progress(2, 3, "m")
    call.log("info", {"a": None}, "l")
    call.log("emergency", "text")
    return [1, 2]


@prompt(icons=[Icon(src="https://x/i.png")], meta={"x.example/y": 1})
def ask(topic: Annotated[str, Arg("What about.", title="Topic")], kind: Literal["a", "b"] = "a") -> Any:
    """Ask."""
    return [topic, *BLOCKS, Message("Because.", "assistant")]


@resource(
    "test://{name}",
    mime_type="text/plain",
    icons=[Icon(src="https://x/i.png")],
    annotations=Annotations(audience=["user"], priority=0.5, last_modified=AT),
    meta={"x.example/y": 1},
)
def thing(name: str) -> Any:
    """Be any of many."""
    if name == "broken":
        raise ToolError("no")
    return [Contents(name, meta={"x.example/z": 2}), b"blob"]


@resource(
    "test://one", size=3, icons=[Icon(src="https://x/i.png")], meta={"x.example/y": 1}, ttl=1.5, cache_scope="public"
)
def one() -> str:
    """Be one."""
    return "one"


@attrs.frozen
class Said:
    """One message of the server, and the definition that its result or itself must fit."""

    message: Mapping[str, Any]
    definition: str


DEFINITIONS = {
    "initialize": "InitializeResult",
    "server/discover": "DiscoverResult",
    "tools/list": "ListToolsResult",
    "tools/call": "CallToolResult",
    "prompts/list": "ListPromptsResult",
    "prompts/get": "GetPromptResult",
    "resources/list": "ListResourcesResult",
    "resources/templates/list": "ListResourceTemplatesResult",
    "resources/read": "ReadResourceResult",
    "completion/complete": "CompleteResult",
    "ping": "EmptyResult",
    "logging/setLevel": "EmptyResult",
    "notifications/progress": "ProgressNotification",
    "notifications/message": "LoggingMessageNotification",
    "resources/subscribe": "EmptyResult",
    "resources/unsubscribe": "EmptyResult",
    "subscriptions/listen": "SubscriptionsListenResult",
    "notifications/subscriptions/acknowledged": "SubscriptionsAcknowledgedNotification",
    "notifications/tools/list_changed": "ToolListChangedNotification",
    "notifications/prompts/list_changed": "PromptListChangedNotification",
    "notifications/resources/list_changed": "ResourceListChangedNotification",
    "notifications/resources/updated": "ResourceUpdatedNotification",
}
NOTICES = [TOOLS_CHANGED, PROMPTS_CHANGED, RESOURCES_CHANGED, resource_updated("test://a")]
TALK = {"progressToken": "t"}
REQUESTS: Sequence[tuple[str, Mapping[str, Any]]] = [
    ("server/discover", {}),
    ("tools/list", {}),
    ("tools/list", {"cursor": "wrong"}),
    ("tools/call", call_params("blocks")),
    ("tools/call", call_params("echo", {"text": "é"})),
    ("tools/call", call_params("add", {"a": 1, "b": 2})),
    ("tools/call", call_params("add", {"a": "x"})),
    ("tools/call", call_params("failing")),
    ("tools/call", call_params("crash")),
    ("tools/call", {**call_params("talking"), "_meta": TALK}),
    ("tools/call", call_params("no_such")),
    ("tools/call", {"name": "echo", "arguments": 1}),
    ("tools/call", {}),
    ("prompts/list", {}),
    ("prompts/get", {"name": "ask", "arguments": {"topic": "it"}}),
    ("prompts/get", {"name": "ask"}),
    ("prompts/get", {"name": "no_such"}),
    ("resources/list", {}),
    ("resources/templates/list", {}),
    ("resources/read", {"uri": "test://one"}),
    ("resources/read", {"uri": "test://many"}),
    ("resources/read", {"uri": "test://broken"}),
    ("resources/read", {"uri": "none://such"}),
    ("completion/complete", {"ref": {"type": "ref/prompt", "name": "ask"}, "argument": {"name": "kind", "value": ""}}),
    ("completion/complete", {"ref": {"type": "ref/prompt", "name": "ask"}, "argument": {"name": "no", "value": ""}}),
    ("ping", {}),
    ("logging/setLevel", {"level": "debug"}),
    ("logging/setLevel", {"level": "loud"}),
    ("no/such", {}),
]
WRONG: Sequence[tuple[Any, Mapping[str, Any]]] = [
    (request("tools/list"), {"MCP-Protocol-Version": "2031-01-01"}),
    (request("tools/list"), {"MCP-Protocol-Version": MODERN}),
    (
        request("tools/list", {"_meta": {PREFIX + "protocolVersion": "2031-01-01"}}),
        {"MCP-Protocol-Version": "2031-01-01"},
    ),
    (request("tools/list", {"_meta": {PREFIX + "protocolVersion": MODERN}}), {}),
    ({"jsonrpc": "2.0", "id": 1}, {}),
    (b"{", {}),
    ([], {}),
    (request("ping"), {}),
    (request("ping"), {"Mcp-Session-Id": "none"}),
    (request("ping"), {"Host": "evil.example"}),
    (request("ping"), {"Origin": "null"}),
    (request("ping"), {"Content-Type": "text/plain"}),
    (request("ping"), {"Accept": "text/plain"}),
    (b" " * 5000, {}),
    (request("ping"), {"X": ["y"] * 200}),
]


def answers(revision: str) -> Iterator[Said]:
    """Ask for everything in this revision."""
    server = Server(blocks, failing, talking, echo, add, crash, placed, ask, thing, one, limits=Limits(page_size=3))
    if revision == MODERN:
        meta = {PREFIX + "logLevel": "debug"}
        for method, params in REQUESTS:
            own = {**meta, **params.get("_meta", {})}
            yield from heard(server, method, server.modern(method, params, meta=own))
        yield from told(server)
        return
    params = {"protocolVersion": revision, "capabilities": {}, "clientInfo": CLIENT}
    yield from heard(server, "initialize", server.post(request("initialize", params)))
    session = server.session(revision)
    for method, params in REQUESTS:
        yield from heard(server, method, session.ask(method, params))
    yield from told_in(session)


def told(server: Server) -> Iterator[Said]:
    """All that a listen stream says."""
    peer = server.listen({**{key.name: True for key in FILTER_KEYS}, RESOURCE.name: ["test://a"]})
    server.tell(*NOTICES)
    server.subscriptions.end_all()
    yield from heard(server, "subscriptions/listen", peer)


def told_in(session: Session) -> Iterator[Said]:
    """All that a session says of what changes."""
    peer = session.get()
    for method in ("resources/unsubscribe", "resources/subscribe"):
        for uri in ("test://a", 1):
            yield from heard(session.server, method, session.ask(method, {"uri": uri}))
    session.server.tell(*NOTICES)
    yield from heard(session.server, "", peer)


def heard(server: Server, method: str, peer: Peer) -> Iterator[Said]:
    """All messages of a response."""
    server.turn()
    for message in [peer.json] if peer.type == "application/json" else peer.messages:
        known = DEFINITIONS.get(message.get("method", method), "")
        yield Said(message, "" if "error" in message else known)


def refusals() -> Iterator[Mapping[str, Any]]:
    """The errors of requests that never got as far as a revision."""
    for message, headers in WRONG:
        server = Server(limits=Limits(http=attrs.evolve(Limits().http, body=4000)))
        yield server.post(message, headers).json


# --- the official schema


@functools.cache
def official(revision: str, definition: str) -> Callable[[Any], Sequence[str]]:
    """A check against one definition of the official schema."""
    assert SPEC is not None
    schema = orjson.loads((Path(SPEC) / revision / "schema.json").read_bytes())
    members = next(name for name in ("$defs", "definitions") if name in schema)
    if definition == "error":
        definition = next(name for name in ("JSONRPCErrorResponse", "JSONRPCError") if name in schema[members])
    assert definition in schema[members]
    validator = jsonschema_rs.validator_for({**schema, "$ref": f"#/{members}/{definition}"})
    return lambda value: [f"{definition}: {error.message}: {value}" for error in validator.iter_errors(value)]


@pytest.mark.skipif(SPEC is None, reason="MCPSERVE_SPEC does not name the folder of the official schemas")
@pytest.mark.parametrize("revision", REVISIONS)
def test_official_schema(revision: str) -> None:
    """Every message is one, and every result, error and notification fits its own definition."""
    problems: list[str] = []
    for said in answers(revision):
        problems += official(revision, "JSONRPCMessage")(said.message)
        if "error" in said.message:
            problems += official(revision, "error")(said.message)
        else:
            assert said.definition, f"an answer without a definition: {said.message}"
            problems += official(revision, said.definition)(said.message.get("result", said.message))
    assert problems == []


@pytest.mark.skipif(SPEC is None, reason="MCPSERVE_SPEC does not name the folder of the official schemas")
@pytest.mark.parametrize("revision", [LEGACY[-1], MODERN])
def test_official_schema_of_refusals(revision: str) -> None:
    """An error without an id is valid in the revisions that let it be left out."""
    for message in refusals():
        assert official(revision, "JSONRPCMessage")(message) == []
        assert official(revision, "error")(message) == []


@pytest.mark.skipif(SPEC is None, reason="MCPSERVE_SPEC does not name the folder of the official schemas")
@pytest.mark.parametrize("revision", REVISIONS)
def test_the_official_check_can_fail(revision: str) -> None:
    """A check that finds nothing wrong with anything would prove nothing."""
    assert official(revision, "CallToolResult")({"content": [{"type": "text"}]})
    assert official(revision, "ListToolsResult")({"tools": [{"name": "x"}]})
    assert official(revision, "error")({"jsonrpc": "2.0", "id": None, "error": {"code": 1, "message": ""}})
    assert official(revision, "ProgressNotification")({"jsonrpc": "2.0", "method": "notifications/progress"})


# --- by hand


SINCE = {"text": 0, "image": 0, "resource": 0, "audio": 1, "resource_link": 2}
REQUIRED = {
    "text": {"text"},
    "image": {"data", "mimeType"},
    "audio": {"data", "mimeType"},
    "resource": {"resource"},
    "resource_link": {"uri", "name"},
}


def check_message(message: Mapping[str, Any]) -> None:
    """JSON-RPC."""
    assert message["jsonrpc"] == "2.0"
    assert len({"result", "error", "method"} & set(message)) == 1
    if "error" in message:
        assert type(message["error"]["code"]) is int
        assert isinstance(message["error"]["message"], str)
    assert "id" not in message or type(message["id"]) in (int, str)
    assert ("id" in message) == ("method" not in message) or "error" in message


def check_result(result: Mapping[str, Any], revision: str, cacheable: bool) -> None:
    """What the revision wants of each result, and what it does not know."""
    envelope = {"resultType", "ttlMs", "cacheScope"}
    if revision != MODERN:
        assert not envelope & set(result)
        return
    assert result["resultType"] == "complete"
    assert set(result["_meta"][PREFIX + "serverInfo"]) >= {"name", "version"}
    assert {"ttlMs", "cacheScope"} <= set(result) or not cacheable
    assert not {"ttlMs", "cacheScope"} & set(result) or cacheable


def check_call(result: Mapping[str, Any], revision: str) -> None:
    """CallToolResult."""
    age = REVISIONS.index(revision)
    for block in result["content"]:
        assert SINCE[block["type"]] <= age, f"{block['type']} is not part of {revision}"
        assert REQUIRED[block["type"]] <= set(block)
        if block["type"] == "resource":
            assert len({"text", "blob"} & set(block["resource"])) == 1
            assert "uri" in block["resource"]
    assert type(result.get("isError", False)) is bool
    assert "structuredContent" not in result or age >= REVISIONS.index("2025-06-18")


CACHEABLE = {
    "DiscoverResult",
    "ListToolsResult",
    "ListPromptsResult",
    "ListResourcesResult",
    "ListResourceTemplatesResult",
    "ReadResourceResult",
}


def check_contents(result: Mapping[str, Any]) -> None:
    """ReadResourceResult."""
    assert result["contents"]
    for part in result["contents"]:
        assert {"uri", "mimeType"} <= set(part)
        assert len({"text", "blob"} & set(part)) == 1


@pytest.mark.parametrize("revision", REVISIONS)
def test_by_hand(revision: str) -> None:
    """The rules of this file, for whoever has no schema at hand."""
    seen = set()
    for said in answers(revision):
        check_message(said.message)
        seen.add(said.definition)
        result = said.message.get("result")
        if result is not None:
            check_result(result, revision, said.definition in CACHEABLE)
        if said.definition == "ReadResourceResult":
            assert result is not None
            check_contents(result)
        if said.definition == "CallToolResult":
            check_call(said.message["result"], revision)
        if said.definition == "ListToolsResult":
            assert all(
                each["inputSchema"]["type"] == "object" and each["name"] for each in said.message["result"]["tools"]
            )
        if said.definition == "ProgressNotification":
            assert said.message["params"]["progressToken"] == "t"
            assert type(said.message["params"]["progress"]) in (int, float)
        if said.definition == "LoggingMessageNotification":
            assert {"level", "data"} <= set(said.message["params"])
    assert len(seen) == (18 if revision == MODERN else 17), f"not everything was heard: {seen}"


def test_refusals_by_hand() -> None:
    """What is refused before there is a revision is a JSON-RPC error, and has no id that is null."""
    for message in refusals():
        check_message(message)
        assert "error" in message


@pytest.mark.parametrize("revision", REVISIONS)
def test_blocks_that_a_revision_does_not_know(revision: str) -> None:
    """They become text that says what they were; none is dropped."""
    server = Server(blocks)
    asked: Any = server if revision == MODERN else server.session(revision)
    types = [block["type"] for block in asked.call("blocks").result["content"]]
    age = REVISIONS.index(revision)
    wanted = ["text", "image", "audio", "resource_link", "resource", "resource"]
    assert types == [name if SINCE[name] <= age else "text" for name in wanted]
