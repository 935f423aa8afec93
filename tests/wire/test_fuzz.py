"""Whatever a stranger sends: the server says what is wrong, notices nothing else, and serves the next one.

Three ways to make up what comes: messages that are nearly right, JSON of any shape, and bytes that were changed on the
way. `MCPSERVE_FUZZ=20000 pytest tests/wire/test_fuzz.py` looks as long as you like.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

import orjson
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from mcpserve import Contents, Message, prompt, resource
from tests.wire.server import BASE, CAPABILITIES, CLIENT, INFO, VERSION, Server, head
from tests.wire.tools import add, echo, placed, steps

REVISIONS = ["2026-07-28", "2025-11-25", "2025-03-26", "2024-11-05", "1900-01-01", ""]
METHODS = [
    "initialize",
    "ping",
    "server/discover",
    "tools/list",
    "tools/call",
    "prompts/list",
    "prompts/get",
    "resources/list",
    "resources/read",
    "resources/templates/list",
    "resources/subscribe",
    "completion/complete",
    "logging/setLevel",
    "subscriptions/listen",
    "tasks/get",
    "tasks/update",
    "tasks/cancel",
    "notifications/cancelled",
    "notifications/initialized",
    "notifications/roots/list_changed",
    "nonsense",
]
PATHS = ["/mcp", "/mcp/", "/", "/sse", "/messages?sessionId=x", "/mcp?x=%ff", "/%00", "/.well-known/x", "//mcp"]
KINDS = ["application/json", "application/json; charset=utf-8", "text/plain", "", "multipart/form-data"]
ACCEPTS = ["application/json, text/event-stream", "application/json", "text/event-stream", "*/*", "text/html", "q=;,,"]

FUZZ = settings(
    max_examples=int(os.environ.get("MCPSERVE_FUZZ", "150")),
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)

texts = st.text(max_size=8) | st.sampled_from(["echo", "steps", "hello", "memo:a", "t", "=?base64?!?=", "\ud800"])
scalars = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False)
    | texts.filter(str.isprintable)
)
values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
)
# fmt: off
members = st.sampled_from(
    [
        "name", "uri", "arguments", "_meta", "cursor", "level",
        "ref", "argument", "notifications", "taskId", "requestId", "inputResponses",
        "requestState", "protocolVersion", "capabilities", "clientInfo", "context", "progressToken",
    ]
)
# fmt: on
metas = st.fixed_dictionaries(
    {},
    optional={
        VERSION: st.sampled_from(REVISIONS) | values,
        CAPABILITIES: st.just({}) | values,
        INFO: st.just(CLIENT) | values,
        "progressToken": values,
        "io.modelcontextprotocol/logLevel": st.sampled_from(["debug", "info"]) | values,
        "traceparent": values,
    },
)
params = st.fixed_dictionaries({}, optional={"_meta": metas | values}).flatmap(
    lambda meta: st.dictionaries(members, values, max_size=4).map(lambda more: {**more, **meta})
)
right = st.sampled_from(
    [
        {"name": "echo", "arguments": {"text": "x"}},
        {"name": "steps", "arguments": {"number": 2}},
        {"name": "placed", "arguments": {"region": "x"}},
        {"name": "hello", "arguments": {"who": "x"}},
        {"uri": "memo:a"},
        {"ref": {"type": "ref/prompt", "name": "hello"}, "argument": {"name": "who", "value": ""}},
        {"notifications": {"toolsListChanged": True, "resourceSubscriptions": ["memo:a"]}},
        {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": CLIENT},
    ]
)
messages = st.fixed_dictionaries(
    {},
    optional={
        "jsonrpc": st.just("2.0") | values,
        "id": st.integers(0, 3) | values,
        "method": st.sampled_from(METHODS) | values,
        "params": st.builds(lambda most, own: {**most, **own}, right, params) | params | values,
        "result": values,
        "error": values,
    },
)
headers = st.fixed_dictionaries(
    {"Content-Type": st.sampled_from(KINDS), "Accept": st.sampled_from(ACCEPTS)},
    optional={
        "MCP-Protocol-Version": st.sampled_from(REVISIONS),
        "Mcp-Method": st.sampled_from(METHODS),
        "Mcp-Name": st.sampled_from(["echo", "steps", "memo:a", "=?base64?ZWNobw==?=", "=?base64?!?="]),
        "Mcp-Param-Region": st.sampled_from(["x", "=?base64?eA==?=", "=?base64?eA=?="]),
        "Mcp-Session-Id": st.sampled_from(["SESSION", "unknown", ""]),
        "Last-Event-ID": st.sampled_from(["0", "x", "unknown/1"]),
        "Origin": st.sampled_from(["http://localhost", "https://evil.example", "null"]),
        "Authorization": st.sampled_from(["Bearer x", "Basic !", "Bearer"]),
        "Forwarded": st.sampled_from(["for=1.2.3.4;host=evil", 'for="[', ";;,,="]),
        "Expect": st.sampled_from(["100-continue", "nonsense"]),
        "traceparent": st.sampled_from(["00-" + "1" * 32 + "-" + "2" * 16 + "-01", "00-x"]),
    },
)
verbs = st.sampled_from(["POST"] * 8 + ["GET", "DELETE", "OPTIONS", "HEAD", "PUT"])
damage = st.tuples(st.integers(0, 10_000), st.integers(0, 20), st.binary(max_size=4))


@prompt
def hello(who: str) -> Message:
    """Greet somebody."""
    return Message(f"Hello {who}")


@resource("memo:a")
def memo() -> Contents:
    """A memo."""
    return Contents("a")


@pytest.fixture(scope="module")
def server() -> Server:
    """One server for all of it: what one request breaks, the next one meets."""
    return Server(echo, add, placed, steps, hello, memo, http_sse=True)


def survives(server: Server, sent: bytes, cuts: Sequence[int]) -> None:
    """Send bytes in pieces, let time pass, drop the connection: no fault of the server's own, and nothing is left."""
    peer = server.connect(buffer=1_000_000)
    places = sorted(cut % (len(sent) + 1) for cut in cuts)
    for start, end in zip([0, *places], [*places, len(sent)], strict=True):
        peer.send(sent[start:end])
    server.seconds(3)
    for status in statuses(peer.arrived):
        assert status < 500 or status == 503, peer.arrived
    peer.drop()
    server.seconds(40, 10.0)
    assert [one for one in server.leftovers() if "session" not in one.lower()] == []
    assert server.call("echo", {"text": "still here"}).result["content"][0]["text"] == "still here"


def statuses(arrived: bytes) -> list[int]:
    """The status of each answer on a connection."""
    return [int(piece[:3]) for piece in arrived.split(b"HTTP/1.1 ")[1:]]


def sent_as(server: Server, verb: str, path: str, fields: Mapping[str, str], body: bytes) -> bytes:
    """A request whose length is right, if nothing else is; perhaps in a session of its own."""
    fields = {name: server.session().id if value == "SESSION" else value for name, value in fields.items()}
    return head(verb, path, {**BASE, **fields, "Content-Length": str(len(body))}) + body


def encoded(message: Any) -> bytes:
    """JSON, if there is a way to write it."""
    try:
        return orjson.dumps(message)
    except TypeError:
        return repr(message).encode("utf-8", "surrogatepass")


@FUZZ
@given(
    message=messages,
    fields=headers,
    verb=verbs,
    path=st.sampled_from(["/mcp"] * 8 + PATHS),
    cuts=st.lists(st.integers(0, 10_000), max_size=3),
)
def test_messages_that_are_nearly_right(
    server: Server, message: Any, fields: Mapping[str, str], verb: str, path: str, cuts: list[int]
) -> None:
    """Members, headers and values that exist, put together by chance, in pieces of any size."""
    survives(server, sent_as(server, verb, path, fields, encoded(message)), cuts)


@FUZZ
@given(value=values | st.lists(messages, max_size=3), fields=headers)
@example(value=[[[[]]]] * 100, fields={"Content-Type": "application/json"})
def test_json_of_any_shape(server: Server, value: Any, fields: Mapping[str, str]) -> None:
    """JSON that is no message, or several."""
    survives(server, sent_as(server, "POST", "/mcp", fields, encoded(value)), [])


@FUZZ
@given(params=right, method=st.sampled_from(METHODS), spoils=st.lists(damage, min_size=1, max_size=6))
def test_bytes_that_were_changed(
    server: Server, params: Mapping[str, Any], method: str, spoils: list[tuple[int, int, bytes]]
) -> None:
    """A good request, some of whose bytes are missing, others, or more."""
    meta = {VERSION: "2026-07-28", CAPABILITIES: {}, "progressToken": 1}
    body = encoded({"jsonrpc": "2.0", "id": 1, "method": method, "params": {**params, "_meta": meta}})
    fields = {"Content-Type": "application/json", "MCP-Protocol-Version": "2026-07-28", "Mcp-Method": method}
    data = bytearray(sent_as(server, "POST", "/mcp", fields, body))
    for place, length, put in spoils:
        start = place % (len(data) + 1)
        data[start : start + length] = put
    survives(server, bytes(data), [])
