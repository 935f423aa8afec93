"""Table A of the wire: what is decided before the body counts, in both eras."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from twisted.python.failure import Failure

from mcpserve.policy.origins import Origins
from mcpserve.web.site import HttpLimits
from tests.wire.http import Peer
from tests.wire.server import LATEST_LEGACY, MODERN, Headers, Limits, Server, request
from tests.wire.tools import burst, echo

PING = request("ping")


def assert_refused(peer: Peer, status: int, code: int = -32600) -> str:
    """The answer is a JSON-RPC error without an id. Returns its message."""
    assert (peer.status, peer.type, peer.complete) == (status, "application/json", True)
    assert set(peer.json) == {"jsonrpc", "error"}
    assert peer.json["jsonrpc"] == "2.0"
    assert peer.error["code"] == code
    return str(peer.error["message"])


@pytest.mark.parametrize("path", ["/", "/mcp/x", "/mcpx", "/sse", "/mcp//", "/MCP"])
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_A1_another_path(method: str, path: str) -> None:
    """There is nothing but the endpoint, and what says so is not HTML."""
    assert "/mcp" in assert_refused(Server().http(method, path=path), 404)


@pytest.mark.parametrize("path", ["/mcp", "/mcp/", "/mcp?x=1"])
def test_the_endpoint_answers_with_and_without_a_slash(path: str) -> None:
    """Both spellings are the endpoint, not a redirect to it."""
    server = Server(echo)
    assert server.http("GET", {"MCP-Protocol-Version": MODERN}, path=path).headers["allow"] == "POST"
    assert_refused(server.http("POST", body=b"{", path=path), 400, -32700)
    assert_refused(server.http("DELETE", path=path), 400)


@pytest.mark.parametrize("method", ["PUT", "PATCH", "OPTIONS", "TRACE", "BREW", "HEAD"])
@pytest.mark.parametrize("path", ["/mcp", "/mcp/"])
def test_A2_another_method(method: str, path: str) -> None:
    """Only three methods are served, and `Allow` names them."""
    peer = Server().http(method, path=path)
    assert peer.status == 405
    assert peer.headers["allow"] == "DELETE, GET, POST"
    assert peer.type == "application/json"


@pytest.mark.parametrize("method", ["PUT", "HEAD"])
def test_A2_without_sessions(method: str) -> None:
    """What is named is what is served."""
    assert Server(legacy=False).http(method).headers["allow"] == "POST"


def test_A2_head_does_not_open_a_stream() -> None:
    """HEAD is no GET without a body here: it would replace the session's stream."""
    server = Server()
    session = server.session()
    stream = session.get()
    assert server.http("HEAD", session.headers).status == 405
    assert not stream.complete


@pytest.mark.parametrize(
    "host",
    ["localhost", "localhost:1", "127.0.0.1", "127.0.0.1:8000", "[::1]", "[::1]:8000", "LOCALHOST:8000"],
)
def test_A3_loopback_hosts(host: str) -> None:
    """A loopback name is let in, with our port, another or none."""
    assert_refused(Server().http("POST", {"Host": host}), 400, -32700)


@pytest.mark.parametrize(
    "host",
    ["evil.example", "evil.example:8000", "127.0.0.1.evil.example", "localhost.evil.example", "192.0.2.1", "[::2]"],
)
@pytest.mark.parametrize("method", ["GET", "POST", "DELETE"])
def test_A3_another_host(method: str, host: str) -> None:
    """A name that an attacker rebinds is not let in; the answer says what was seen and which setting changes it."""
    message = assert_refused(Server().http(method, {"Host": host}), 421)
    assert host in message
    assert "--allow-host" in message


def test_A3_a_configured_host() -> None:
    """What the operator names is let in."""
    server = Server(origins=Origins(hosts=["Mcp.Example.org"]))
    assert_refused(server.http("POST", {"Host": "mcp.example.org:443"}), 400, -32700)
    assert_refused(server.http("POST", {"Host": "other.example.org"}), 421)
    server = Server(origins=Origins(hosts=["mcp.example.org:443"]))
    assert_refused(server.http("POST", {"Host": "mcp.example.org:443"}), 400, -32700)
    assert_refused(server.http("POST", {"Host": "mcp.example.org:80"}), 421)


@pytest.mark.parametrize(
    "origin",
    [
        "https://evil.example",
        "null",
        "",
        "http://127.0.0.1.evil.example",
        "http://localhost.evil.example:8000",
        "file://localhost",
        "localhost",
    ],
)
@pytest.mark.parametrize("method", ["GET", "POST", "DELETE"])
def test_A4_another_origin(method: str, origin: str) -> None:
    """A page of somebody else may not call us, nor one that has no origin."""
    message = assert_refused(Server().http(method, {"Origin": origin}), 403)
    assert repr(origin) in message
    assert "--allow-origin" in message


def test_A4_two_origins() -> None:
    """A second origin is not overlooked."""
    assert_refused(Server().http("POST", {"Origin": ["http://localhost", "https://evil.example"]}), 403)


@pytest.mark.parametrize("origin", [None, "http://localhost", "https://127.0.0.1:1", "http://[::1]:5173"])
def test_A5_no_origin_or_one_of_ours(origin: str | None) -> None:
    """Programs send no origin, and pages on this machine send a loopback one."""
    assert_refused(Server().http("POST", {"Origin": origin}), 400, -32700)


def test_A5_a_configured_origin() -> None:
    """What the operator names is let in."""
    server = Server(origins=Origins(origins=["https://app.example.org"]))
    assert_refused(server.http("POST", {"Origin": "https://app.example.org"}), 400, -32700)
    assert_refused(server.http("POST", {"Origin": "http://app.example.org"}), 403)


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Host": "evil.example"}, 421),
        ({"Origin": "https://evil.example"}, 403),
        ({"Origin": ["http://localhost", "https://evil.example"]}, 403),
    ],
)
def test_A3_A4_each_request_of_a_connection_is_looked_at(headers: Headers, status: int) -> None:
    """That one was let in says nothing of the next, and that one was not neither."""
    server = Server()
    peer = server.connect()
    good: Headers = {"Origin": "http://localhost"}
    for changes, expected in 2 * [({}, 400), ({}, 400), (headers, status)]:
        peer.arrived = b""
        server.http("POST", {**good, **changes}, peer=peer)
        assert_refused(peer, expected, -32700 if expected == 400 else -32600)


@pytest.mark.parametrize("method", ["GET", "DELETE"])
def test_A8_A9_modern_without_a_session(method: str) -> None:
    """The modern endpoint has POST alone."""
    peer = Server().http(method, {"MCP-Protocol-Version": MODERN})
    assert_refused(peer, 405)
    assert peer.headers["allow"] == "POST"


@pytest.mark.parametrize(("method", "status"), [("GET", 200), ("DELETE", 204)])
def test_A8_A9_modern_with_a_session(method: str, status: int) -> None:
    """A client that has a session knows what it does, whatever version its other requests have."""
    server = Server()
    session = server.session()
    assert server.http(method, {**session.headers, "MCP-Protocol-Version": MODERN}).status == status


@pytest.mark.parametrize("method", ["GET", "DELETE"])
@pytest.mark.parametrize("version", [None, MODERN, LATEST_LEGACY])
def test_A8_A9_a_server_without_sessions(method: str, version: str | None) -> None:
    """Where no legacy revision is served there is POST alone, whatever the client says."""
    peer = Server(legacy=False).http(method, {"MCP-Protocol-Version": version, "Mcp-Session-Id": "x"})
    assert_refused(peer, 405)
    assert peer.headers["allow"] == "POST"


@pytest.mark.parametrize(
    "value",
    [
        None,
        "",
        "text/plain",
        "application/jsonp",
        "application/json-rpc",
        "multipart/form-data; x=application/json",
        ["application/json", "text/plain"],
    ],
)
def test_A10_another_content_type(value: str | list[str] | None) -> None:
    """Only JSON is taken: the other types are what a web page can send without being asked."""
    assert "application/json" in assert_refused(Server().post(PING, {"Content-Type": value}), 415)


@pytest.mark.parametrize("value", ["application/json; charset=utf-8", "Application/JSON", "application/json ;x"])
def test_A10_parameters_of_the_content_type(value: str) -> None:
    """Parameters don't matter, nor does case."""
    assert Server(echo).call("echo", headers={"Content-Type": value}).status == 200


BOTH: list[str | list[str] | None] = [
    None,
    "",
    "*/*",
    "application/*",
    "text/html, */*;q=0.1",
    "application/json, text/event-stream",
    "text/event-stream;q=0.1, application/json",
    "APPLICATION/JSON , Text/Event-Stream",
    ["application/json", "text/event-stream"],
]


@pytest.mark.parametrize("accept", BOTH)
def test_A11_both_types(accept: str | list[str] | None) -> None:
    """A client that says nothing, or anything, or both, gets JSON from a quick tool and events from a talkative one."""
    server = Server(echo, burst)
    headers: Headers = {"Accept": accept}
    assert server.call("echo", headers=headers).type == "application/json"
    assert server.call("burst", token=1, headers=headers).type == "text/event-stream"
    server.turn()


@pytest.mark.parametrize(
    "accept",
    [
        "text/html",
        "application/json;q=0",
        "*/*;q=0",
        "application/json;q=0.0, text/event-stream; q=0",
        "image/*, application/xml",
    ],
)
def test_A12_no_acceptable_type(accept: str) -> None:
    """A response has one of two types; if neither is welcome there is none."""
    assert_refused(Server(echo).call("echo", headers={"Accept": accept}), 406)


@pytest.mark.parametrize("accept", ["application/json", "application/json, text/event-stream;q=0", "*/*, text/*;q=0"])
def test_A13_json_only(accept: str) -> None:
    """A client that takes JSON only gets the reply of a talkative tool, and nothing of its talk."""
    server = Server(burst)
    peer = server.call("burst", token=1, headers={"Accept": accept})
    assert peer.result["content"] == [{"type": "text", "text": "done"}]
    assert peer.type == "application/json"
    assert server.leftovers() == []


@pytest.mark.parametrize("accept", ["text/event-stream", "text/*", "*/*, application/json;q=0"])
def test_A13_events_only(accept: str) -> None:
    """A client that takes events only gets the reply of a quick tool as the one event of a stream."""
    peer = Server(echo).call("echo", {"text": "hi"}, headers={"Accept": accept})
    assert [message["result"]["content"][0]["text"] for message in peer.messages] == ["hi"]
    assert peer.complete


def test_A13_events_only_and_an_error_with_a_status() -> None:
    """An error's status is part of the answer; it is not lost for the sake of the type."""
    peer = Server().modern("no/such", headers={"Accept": "text/event-stream"})
    assert (peer.status, peer.error["code"]) == (404, -32601)


def test_A14_a_body_over_the_limit() -> None:
    """Too much is refused on the strength of its announced length."""
    server = Server(limits=Limits(http=HttpLimits(body=1000)))
    message = assert_refused(server.post(b" " * 1001), 413)
    assert "1000" in message


def test_A14_an_endless_body() -> None:
    """A body without an announced length is refused as soon as it is too long."""
    server = Server(limits=Limits(http=HttpLimits(body=1000)))
    peer = server.http("POST", {"Transfer-Encoding": "chunked", "Content-Length": None})
    for _ in range(2):
        assert not peer.answered
        peer.send(b"258\r\n" + b" " * 600 + b"\r\n")
    assert_refused(peer, 413)


@pytest.mark.parametrize(
    "body", [b"", b" ", b"{", b'{"jsonrpc"', b"\xff\xfe{}", b"nonsense", b'{"a":"\xff"}', b"[1,]", b"NaN"]
)
def test_A15_not_json(body: bytes) -> None:
    """What is not JSON in UTF-8 can't be read."""
    assert_refused(Server().post(body), 400, -32700)


@pytest.mark.parametrize("body", [b"[" * 100_000, b'{"a":' * 5000 + b"1" + b"}" * 5000])
def test_A15_nested_too_deeply(body: bytes) -> None:
    """What is nested without end does not take the server down."""
    assert_refused(Server().post(body), 400, -32700)


@pytest.mark.parametrize("body", [b"1", b'"text"', b"null", b"true"])
def test_A16_neither_object_nor_array(body: bytes) -> None:
    """A message is an object."""
    assert_refused(Server().post(body), 400)


@pytest.mark.parametrize(
    ("changes", "echoed"),
    [
        ({"jsonrpc": "1.0"}, True),
        ({"jsonrpc": None}, True),
        ({"jsonrpc": 2.0}, True),
        ({"method": 1}, True),
        ({"method": None}, True),
        ({"id": None}, False),
        ({"id": True}, False),
        ({"id": 1.5}, False),
        ({"id": {}}, False),
        ({"id": []}, False),
        ({"params": []}, True),
        ({"params": None}, True),
        ({"params": "x"}, True),
        ({"result": {}}, True),
        ({"error": {}}, True),
        ({"method": ..., "result": {}, "error": {}}, True),
        ({"method": ...}, True),
        ({"method": ..., "error": []}, True),
        ({"method": ..., "result": {}, "id": None}, False),
        ({"method": ..., "result": {}, "id": ...}, False),
    ],
)
def test_A17_not_a_message(changes: dict[str, object], echoed: bool) -> None:
    """An object that is no message is refused; its id is echoed if it is one."""
    message = {key: value for key, value in {**PING, "id": "a", **changes}.items() if value is not ...}
    peer = Server().post(message)
    assert (peer.status, peer.error["code"]) == (400, -32600)
    assert peer.json.get("id") == ("a" if echoed else None)
    assert ("id" in peer.json) == echoed


ORDER: list[tuple[int, Headers, bytes]] = [
    (421, {"Host": "evil.example"}, b""),
    (403, {"Origin": "null"}, b""),
    (415, {"Content-Type": "text/plain"}, b""),
    (406, {"Accept": "text/html"}, b""),
    (400, {}, b"["),
]


@pytest.mark.parametrize("first", range(len(ORDER)))
def test_what_is_wrong_first_is_answered_first(first: int) -> None:
    """Of several things that are wrong, the one that stands higher in the table decides."""
    headers: dict[str, object] = {}
    for _, wrong, _ in ORDER[first:]:
        headers |= wrong
    assert Server().post(b"[", headers).status == ORDER[first][0]  # type: ignore[arg-type]


def test_nothing_is_minted_by_a_bad_request() -> None:
    """Whatever is refused leaves no session behind."""
    server = Server()
    for _, headers, _ in ORDER[:-1]:
        peer = server.initialize(headers=headers)
        assert "mcp-session-id" not in peer.headers
    assert len(server.sessions) == 0


class Faulty(Origins):
    """A check that breaks."""

    def check(self, host: bytes | None, origin: bytes | None) -> None:
        """Fail."""
        raise RuntimeError("secret")


@pytest.mark.parametrize("method", ["GET", "POST", "DELETE"])
def test_a_fault_of_ours(method: str, flush_logged_errors: Callable[..., list[Failure]]) -> None:
    """It is 500 in JSON, and says nothing of the reason."""
    peer = Server(origins=Faulty()).http(method)
    assert "secret" not in assert_refused(peer, 500, -32603)
    assert len(flush_logged_errors(RuntimeError)) == 1


def test_one_connection_for_many_requests() -> None:
    """Answers, refusals and streams leave the connection usable for the next request."""
    server = Server(echo, burst)
    peer = server.connect()
    for headers in ({}, {"Origin": "null"}, {"Accept": "text/html"}, {"Accept": "text/event-stream"}):
        server.call("echo", headers=headers, peer=peer)
        server.call("burst", token=1, headers=headers, peer=peer)
        server.turn()
    statuses = [int(part[:3]) for part in peer.arrived.split(b"HTTP/1.1 ")[1:]]
    assert statuses == [200, 200, 403, 403, 406, 406, 200, 200]
    assert not peer.ended
