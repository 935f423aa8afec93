"""HTTP with SSE of 2024-11-05 in memory: the two paths, one session a stream, and its end."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import orjson
import pytest
from twisted.internet.defer import Deferred

from mcpserve import Call, tool
from mcpserve.legacy.http_sse import HttpSseLimits
from mcpserve.policy.callers import Caller
from mcpserve.policy.origins import Origins
from mcpserve.protocol.notices import TOOLS_CHANGED
from mcpserve.web.response import StreamLimits
from tests.wire.http import Peer
from tests.wire.server import CLIENT, LATEST_LEGACY, LEGACY, MODERN, NOTHING, Headers, Limits, Server, request
from tests.wire.tools import Witness, burst, chatty, echo, silent, steps

JSON = {"Accept": None}


class Client:
    """A client with a stream, and connections for what it says."""

    def __init__(self, server: Server, buffer: int = 1024) -> None:
        self.server = server
        self.stream: Peer = server.http(
            "GET", {"Content-Type": None, "Accept": "text/event-stream"}, path="/sse", peer=server.connect(buffer)
        )
        self.path = str(self.stream.events[0].data)

    def post(self, message: Any, headers: Headers = NOTHING) -> Peer:
        """Say something, on a connection of its own."""
        body = message if isinstance(message, bytes) else orjson.dumps(message)
        return self.server.http("POST", {**JSON, **headers}, body, path=self.path)

    def ask(self, method: str, params: Any = None, *, id: Any = 1) -> Any:
        """Send a request, and return the reply if it has come."""
        assert self.post(request(method, params, id)).status == 202
        self.server.turn()
        return self.reply(id)

    def call(self, name: str, *, token: Any = None, id: Any = 1, **arguments: Any) -> Any:
        """Call a tool."""
        meta = {} if token is None else {"_meta": {"progressToken": token}}
        return self.ask("tools/call", {"name": name, "arguments": arguments, **meta}, id=id)

    def initialize(self, version: str, **params: Any) -> Any:
        """Ask for a handshake."""
        wanted = {"protocolVersion": version, "capabilities": {}, "clientInfo": CLIENT, **params}
        return self.ask("initialize", wanted, id="init")

    @property
    def messages(self) -> list[Any]:
        """What came on the stream."""
        return [orjson.loads(e.data) for e in self.stream.events[1:] if e.event == "message" and e.data is not None]

    def reply(self, id: Any = 1) -> Any:
        """The reply to a request."""
        return next((m for m in self.messages if isinstance(m, dict) and m.get("id") == id), None)


@pytest.fixture
def witness() -> Witness:
    """Notes what befalls its tools."""
    return Witness()


@pytest.fixture
def server(witness: Witness) -> Server:
    """A server that has the two paths."""
    return Server(echo, burst, chatty, silent, steps, *witness.tools(), http_sse=True)


@pytest.fixture
def client(server: Server) -> Client:
    """A client after the handshake."""
    client = Client(server)
    client.initialize("2024-11-05")
    return client


def text(reply: Any) -> str:
    """The text of a tool's result."""
    content: str = reply["result"]["content"][0]["text"]
    return content


# --- the two paths


def test_off_by_default() -> None:
    """Both paths are as unknown as any other."""
    server = Server(echo)
    assert server.http("GET", path="/sse").status == 404
    assert server.http("POST", path="/messages?sessionId=x", body=b"{}").status == 404


def test_the_endpoint_event_comes_first(server: Server) -> None:
    """It names a path for this client alone."""
    one, two = Client(server), Client(server)
    assert (one.stream.status, one.stream.type) == (200, "text/event-stream")
    assert one.stream.headers["x-accel-buffering"] == "no"
    assert "mcp-session-id" not in one.stream.headers
    assert one.stream.events[0].event == "endpoint"
    assert one.path.startswith("/messages?sessionId=")
    assert len(one.path) >= len("/messages?sessionId=") + 22
    assert one.path != two.path


def test_both_transports_at_once(server: Server, client: Client) -> None:
    """Streamable HTTP is served beside it; the sessions of one are not those of the other."""
    assert server.call("echo", {"text": "a"}).json["result"]["content"][0]["text"] == "a"
    session = server.session()
    assert session.call("echo", {"text": "b"}).json["result"]["content"][0]["text"] == "b"
    assert server.post(request("ping"), {"Mcp-Session-Id": client.path.partition("=")[2]}).status == 404
    assert server.http("POST", body=b"{}", path=f"/messages?sessionId={session.id}").status == 404


@pytest.mark.parametrize(
    ("method", "path", "allow"),
    [
        ("POST", "/sse", "GET"),
        ("HEAD", "/sse", "GET"),
        ("DELETE", "/sse", "GET"),
        ("GET", "/messages", "POST"),
        ("PUT", "/messages", "POST"),
    ],
)
def test_other_methods(server: Server, method: str, path: str, allow: str) -> None:
    """405 says which one there is."""
    peer = server.http(method, path=path)
    assert (peer.status, peer.headers["allow"]) == (405, allow)
    assert len(server.http_sse) == 0


@pytest.mark.parametrize("path", ["/sse/", "/messages/", "/sse/x", "//sse"])
def test_other_paths(server: Server, path: str) -> None:
    """They are unknown."""
    assert server.http("GET", path=path).status == 404


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Host": "evil.example"}, 421),
        ({"Host": None}, 400),
        ({"Origin": "https://evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Origin": "http://localhost:3000"}, 200),
    ],
)
def test_host_and_origin(server: Server, client: Client, headers: Headers, status: int) -> None:
    """Both paths check them. Spec: "Servers MUST validate the Origin header on all incoming connections"."""
    get = server.http("GET", {"Content-Type": None, **headers}, path="/sse")
    assert get.status == status
    assert client.post(request("ping"), headers).status == (202 if status == 200 else status)
    assert client.reply() is None or status == 200


def test_the_settings_of_host_and_origin_count() -> None:
    """They are those of the other endpoint."""
    server = Server(echo, http_sse=True, origins=Origins(hosts=["mcp.example"], origins=["https://app.example"]))
    headers = {"Host": "mcp.example", "Origin": "https://app.example"}
    assert server.http("GET", headers, path="/sse").status == 200


@pytest.mark.parametrize(("accept", "status"), [("application/json", 406), (None, 200), ("*/*", 200)])
def test_accept(server: Server, accept: str | None, status: int) -> None:
    """A client that does not take events gets none; most say nothing, or anything."""
    assert server.http("GET", {"Accept": accept}, path="/sse").status == status


# --- what a client says


@pytest.mark.parametrize("version", LEGACY)
def test_handshake(server: Server, version: str) -> None:
    """All revisions that have one; what is spoken then is that of the revision."""
    client = Client(server)
    assert client.initialize(version)["result"]["protocolVersion"] == version
    assert client.post({"jsonrpc": "2.0", "method": "notifications/initialized"}).status == 202
    assert client.ask("tools/call", {"name": "echo", "arguments": {"text": "hi"}})["result"] == {
        "content": [{"type": "text", "text": "hi"}]
    }


def test_before_the_handshake(server: Server) -> None:
    """A ping is answered, anything else refused; a modern client that probes finds no modern server here."""
    client = Client(server)
    assert client.ask("ping", id=1)["result"] == {}
    assert client.ask("tools/list", id=2)["error"]["code"] == -32600
    meta = {"io.modelcontextprotocol/protocolVersion": MODERN, "io.modelcontextprotocol/clientCapabilities": {}}
    assert client.ask("server/discover", {"_meta": meta}, id=3)["error"]["code"] == -32600
    assert client.initialize(MODERN)["result"]["protocolVersion"] == LATEST_LEGACY
    assert client.ask("server/discover", {"_meta": meta}, id=4)["error"]["code"] == -32601


def test_a_post_is_accepted(server: Server, client: Client) -> None:
    """202 and no more; the reply comes on the stream."""
    peer = client.post(request("tools/call", {"name": "echo", "arguments": {"text": "hi"}}, 7))
    assert (peer.status, peer.body) == (202, b"Accepted")
    assert text(client.reply(7)) == "hi"


def test_progress_and_logs(server: Server, client: Client) -> None:
    """On the stream, before the reply; one event each."""
    client.call("steps", token="t", number=2)
    server.seconds(3)
    assert [m.get("params", {}).get("progress") for m in client.messages[1:]] == [1, 2, None]
    client.call("chatty", id=2)
    assert [m["params"]["level"] for m in client.messages if m.get("method") == "notifications/message"] == [
        "info",
        "error",
    ]


@pytest.mark.parametrize(
    ("body", "code"),
    [(b"rubbish", -32700), (b"", -32700), (b"1", -32600), (b"[]", -32600), (b'{"jsonrpc":"1.0"}', -32600)],
)
def test_what_is_no_message(server: Server, client: Client, body: bytes, code: int) -> None:
    """It is refused in the answer to the POST; the stream hears nothing of it."""
    before = len(client.messages)
    peer = client.post(body)
    assert (peer.status, peer.json["error"]["code"]) == (400, code)
    assert len(client.messages) == before


@pytest.mark.parametrize("type", [None, "text/plain"])
def test_content_type(client: Client, type: str | None) -> None:
    """JSON only: a form of a foreign page can't send it without asking."""
    assert client.post(request("ping"), {"Content-Type": type}).status == 415


@pytest.mark.parametrize("query", ["", "?sessionId=", "?sessionId=nonsense", "?session=x", "?sessionId=%ff"])
def test_an_unknown_session(server: Server, query: str) -> None:
    """404 says what to do."""
    peer = server.http("POST", JSON, orjson.dumps(request("ping")), path=f"/messages{query}")
    assert peer.status == 404
    assert "/sse" in peer.json["error"]["message"]


def test_errors_of_requests(server: Server, client: Client) -> None:
    """They are replies on the stream; one with an id in flight has none."""
    client.call("silent", id=1)
    client.call("echo", id=1)
    assert client.messages[-1]["error"]["code"] == -32600
    assert "id" not in client.messages[-1]
    assert client.ask("nonsense", id=2)["error"]["code"] == -32601
    assert client.initialize(LATEST_LEGACY)["result"]["protocolVersion"] == "2024-11-05"
    refused = [m for m in client.messages if m.get("id") == "init" and "error" in m]
    assert [m["error"]["code"] for m in refused] == [-32600]


def test_cancelled(server: Server, client: Client, witness: Witness) -> None:
    """By a message, with the exact id; no reply comes."""
    client.call("wait", id=1)
    for wrong in ("1", 2, None):
        client.post({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": wrong}})
    assert witness.told == []
    client.post({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": 1}})
    assert witness.told == ["on_cancel", "finally"]
    assert client.reply(1) is None


def test_batch(server: Server) -> None:
    """Where the revision has them: one array on the stream; elsewhere the POST is refused."""
    client = Client(server)
    client.initialize("2025-03-26")
    assert client.post([request("ping", id=1), request("ping", id=2)]).status == 202
    assert [m["id"] for m in client.messages[-1]] == [1, 2]
    other = Client(server)
    other.initialize("2024-11-05")
    assert other.post([request("ping")]).status == 400


def test_it_is_asked() -> None:
    """A question travels on the stream, the answer in a POST."""

    @tool
    async def asks(call: Call) -> str:
        """Ask for the roots."""
        return " ".join(root.uri for root in await call.roots())

    server = Server(asks, http_sse=True)
    client = Client(server)
    client.initialize("2024-11-05", capabilities={"roots": {}})
    client.call("asks", id=5)
    question = client.messages[-1]
    assert question["method"] == "roots/list"
    client.post({"jsonrpc": "2.0", "id": question["id"], "result": {"roots": [{"uri": "file:///a"}]}})
    assert text(client.reply(5)) == "file:///a"


def test_it_hears_of_lists(server: Server, client: Client) -> None:
    """On the one stream that there is."""
    server.publisher.publish(TOOLS_CHANGED)
    server.turn()
    assert client.messages[-1]["method"] == "notifications/tools/list_changed"
    client.stream.drop()
    assert server.publisher.listened_to() == 0


# --- how the stream is doing


def test_keep_alive(server: Server, client: Client) -> None:
    """A silent stream gets comments, and outlives all deadlines."""
    server.seconds(3600)
    assert not client.stream.ended
    assert sum(event.comment for event in client.stream.events) >= 200
    assert client.ask("ping")["result"] == {}


def test_a_stream_that_is_lost(server: Server, client: Client, witness: Witness) -> None:
    """The session is over, its calls are cancelled, nothing stays; other clients are not concerned."""
    other = Client(server)
    other.initialize("2024-11-05")
    other.call("silent", seconds=5)
    client.call("wait", id=1)
    client.call("finish", id=2)
    client.stream.drop()
    assert witness.told == ["on_cancel", "finally"]
    assert client.post(request("ping")).status == 404
    server.seconds(10)
    assert witness.told[2:] == ["done"]
    assert text(other.reply()) == "awake"
    other.stream.drop()
    assert len(server.http_sse) == 0
    assert server.leftovers() == []


def test_a_slow_reader(server: Server, witness: Witness) -> None:
    """Its tools are paused, and go on when it does."""
    client = Client(server)
    client.initialize("2024-11-05")
    client.stream.stall()
    client.call("burst", token=0, number=3, size=1000)
    client.call("take", id=2)
    assert witness.told == ["pause"]
    server.publisher.publish(TOOLS_CHANGED)
    server.turn()
    client.stream.read_on()
    assert witness.told == ["pause", "resume"]
    assert client.messages[-1]["method"] == "notifications/tools/list_changed"
    client.stream.drop()


def test_a_reader_that_is_too_slow() -> None:
    """Past the bound the stream is cut, and all of its calls end."""
    witness = Witness()
    server = Server(burst, *witness.tools(), http_sse=True, limits=Limits(stream=StreamLimits(buffer=20_000)))
    client = Client(server)
    client.initialize("2024-11-05")
    client.call("wait", id=1)
    client.stream.stall()
    client.call("burst", token=0, number=100, size=1000, id=2)
    server.turn()
    assert client.stream.ended
    assert "finally" in witness.told
    assert len(server.http_sse) == 0
    assert server.leftovers() == []


def test_too_many_streams() -> None:
    """503 says when to come again; one that ends makes room."""
    server = Server(echo, http_sse=True, limits=Limits(http_sse=HttpSseLimits(count=2)))
    first, _ = Client(server), Client(server)
    refused = server.http("GET", path="/sse")
    assert (refused.status, refused.headers["retry-after"]) == (503, "2")
    first.stream.drop()
    assert Client(server).ask("ping")["result"] == {}


def test_the_end_of_a_lifetime(witness: Witness) -> None:
    """The stream ends as it should, and the calls are cancelled."""
    server = Server(*witness.tools(), http_sse=True, limits=Limits(http_sse=HttpSseLimits(lifetime=100)))
    client = Client(server)
    client.initialize("2024-11-05")
    server.seconds(90)
    client.call("wait")
    server.seconds(11)
    assert client.stream.complete
    assert witness.told == ["on_cancel", "finally"]
    assert server.leftovers() == []


def test_the_server_stops(server: Server, client: Client) -> None:
    """All streams end as they should."""
    server.http_sse.close_all()
    assert client.stream.complete
    assert server.leftovers() == []


def test_a_fault_of_ours(server: Server, client: Client, flush_logged_errors: Callable[..., list[Any]]) -> None:
    """It is logged, and answered without details."""

    def fail(body: bytes, caller: Caller) -> Deferred[None]:
        raise RuntimeError("secret")

    next(iter(server.http_sse._sessions.values())).take = fail  # type: ignore[assignment,method-assign]
    peer = client.post(request("ping"))
    assert (peer.status, peer.json["error"]["code"]) == (500, -32603)
    assert b"secret" not in peer.body
    assert len(flush_logged_errors(RuntimeError)) == 1
