"""Table F of the wire: the handshake, requests and notifications of a session."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from mcpserve import Call, tool
from tests.wire.http import Peer
from tests.wire.server import CLIENT, LATEST_LEGACY, LEGACY, MODERN, Server, request
from tests.wire.tools import Witness, add, burst, chatty, crash, echo, placed, refuse, silent, steps

UNKNOWN_SESSION = {"Mcp-Session-Id": "no-such-session"}


def assert_error(peer: Peer, status: int, code: int, id: Any = ...) -> Any:
    """The answer is this error with this id; `...` for none. Returns the error."""
    assert (peer.status, peer.error["code"]) == (status, code), peer.json
    assert peer.json.get("id", ...) == id
    assert peer.complete
    return peer.error


@pytest.mark.parametrize("version", LEGACY)
def test_F1_initialize(version: str) -> None:
    """A version with a handshake is agreed to, and the session gets an id that nobody guesses."""
    server = Server(echo)
    peers = [server.initialize(version) for _ in range(3)]
    for peer in peers:
        assert (peer.status, peer.type) == (200, "application/json")
        assert peer.json["id"] == 0
        assert peer.result == {
            "protocolVersion": version,
            "capabilities": {"tools": {"listChanged": True}, "logging": {}},
            "serverInfo": {"name": "tested", "version": "1"},
            "instructions": "Be kind.",
        }
    ids = [peer.headers["mcp-session-id"] for peer in peers]
    assert len(set(ids)) == 3
    assert all(len(id) >= 22 and all("!" <= char <= "~" for char in id) for id in ids)
    assert len(server.sessions) == 3


def test_F1_events_only() -> None:
    """A client that takes events only gets the result as one, and its session id with it."""
    peer = Server().initialize(headers={"Accept": "text/event-stream"})
    assert peer.headers["mcp-session-id"]
    assert [message["id"] for message in peer.messages] == [0]
    assert peer.complete


@pytest.mark.parametrize("version", [MODERN, "2031-01-01", "1.0", ""])
def test_F2_another_version(version: str) -> None:
    """Any other version gets the latest that has a handshake as a counter-offer."""
    assert Server().initialize(version).result["protocolVersion"] == LATEST_LEGACY


@pytest.mark.parametrize(
    "changes",
    [
        {"protocolVersion": None},
        {"protocolVersion": 1},
        {"capabilities": None},
        {"capabilities": []},
        {"clientInfo": None},
        {"clientInfo": {"name": "x"}},
        {"clientInfo": {"name": 1, "version": "1"}},
    ],
)
def test_F3_invalid_params(changes: dict[str, Any]) -> None:
    """The handshake must be right, or no session begins."""
    server = Server()
    params = {"protocolVersion": LATEST_LEGACY, "capabilities": {}, "clientInfo": CLIENT, **changes}
    peer = server.post(request("initialize", params))
    assert_error(peer, 200, -32602, 1)
    assert "mcp-session-id" not in peer.headers
    assert len(server.sessions) == 0


def test_F3_too_much_about_oneself() -> None:
    """It would be kept for as long as the session lives. Pictures are left out before anybody is refused."""
    server = Server()
    for wrong in (b'"%s"' % (b"." * 20_000), b"[" + b"[]," * 10_000 + b"0]"):
        params = request(
            "initialize", {"protocolVersion": LATEST_LEGACY, "capabilities": {"x": "?"}, "clientInfo": CLIENT}
        )
        peer = server.post(orjson.dumps(params).replace(b'"?"', wrong))
        assert_error(peer, 200, -32602, 1)
        assert "mcp-session-id" not in peer.headers
    icons = [{"src": "data:image/png;base64," + "A" * 20_000}]
    peer = server.initialize(clientInfo={"name": "n", "version": "1", "title": "t", "icons": icons})
    assert peer.status == 200
    session = server.sessions.get(peer.headers["mcp-session-id"])
    assert session.client_info == {"name": "n", "version": "1", "title": "t"}


def test_F3_no_params() -> None:
    """No params at all are invalid too."""
    assert_error(Server().post(request("initialize")), 200, -32602, 1)


def test_F4_initialize_within_a_session() -> None:
    """A session begins once."""
    server = Server()
    for headers in (server.session().headers, UNKNOWN_SESSION):
        assert_error(server.initialize(headers=headers), 400, -32600, 0)
    assert len(server.sessions) == 1


@pytest.mark.parametrize(
    "message",
    [
        request("ping"),
        request("tools/list"),
        request("no/such"),
        {"jsonrpc": "2.0", "method": "notifications/initialized"},
        {"jsonrpc": "2.0", "id": 1, "result": {}},
    ],
)
def test_F5_no_session(message: Any) -> None:
    """All but initialize needs a session."""
    assert "Mcp-Session-Id" in assert_error(Server().post(message), 400, -32600)["message"]


@pytest.mark.parametrize("version", LEGACY)
@pytest.mark.parametrize("header", [None, *LEGACY])
def test_F7_F8_the_negotiated_version_counts(version: str, header: str | None) -> None:
    """Without a header, or with another legacy one, the session's own version is served."""
    session = Server(add).session(version)
    result = session.call("add", {"a": 1, "b": 2}, headers={"MCP-Protocol-Version": header}).result
    assert ("structuredContent" in result) == (version in ("2025-06-18", LATEST_LEGACY))


def test_F8_a_modern_header() -> None:
    """A modern header without modern metadata is no legacy request."""
    peer = Server().session().ask("ping", headers={"MCP-Protocol-Version": MODERN})
    assert_error(peer, 400, -32602, 1)


@pytest.mark.parametrize(
    "message", [request("ping"), {"jsonrpc": "2.0", "method": "x"}, {"jsonrpc": "2.0", "id": 1, "result": 1}]
)
def test_F9_an_unknown_version_header(message: Any) -> None:
    """A version that nobody knows is refused, also for what has no reply."""
    peer = Server().session().post(message, {"MCP-Protocol-Version": "2031-01-01"})
    assert_error(peer, 400, -32022, 1 if "method" in message and "id" in message else ...)


@pytest.mark.parametrize("method", ["GET", "DELETE"])
def test_F9_an_unknown_version_header_elsewhere(method: str) -> None:
    """Also on the other methods; the session lives on."""
    server = Server()
    session = server.session()
    headers = {**session.headers, "MCP-Protocol-Version": "2031-01-01"}
    assert_error(server.http(method, headers), 400, -32022)
    assert session.ask("ping").result == {}


@pytest.mark.parametrize(
    "message",
    [
        {"jsonrpc": "2.0", "method": "notifications/initialized"},
        {"jsonrpc": "2.0", "method": "notifications/no_such", "params": {"x": 1}},
        {"jsonrpc": "2.0", "method": "tools/call", "params": {"name": "echo"}},
        {"jsonrpc": "2.0", "id": 99, "result": {}},
        {"jsonrpc": "2.0", "id": "x", "error": {"code": 1, "message": ""}},
        {"jsonrpc": "2.0", "error": {"code": 1, "message": ""}},
    ],
)
def test_F10_nothing_to_answer(message: Any) -> None:
    """Notifications and responses are accepted, known or not."""
    peer = Server(echo).session().post(message)
    assert (peer.status, peer.body, peer.complete) == (202, b"", True)


@pytest.mark.parametrize(
    "method", ["no/such", "server/discover", "resources/list", "prompts/get", "subscriptions/listen", ""]
)
def test_F11_unknown_method(method: str) -> None:
    """A method that is not served has no HTTP status of its own; discovery is modern."""
    assert_error(Server().session().ask(method), 200, -32601, 1)


def test_F12_before_initialized() -> None:
    """Requests are served before the client said that it is ready."""
    server = Server(echo)
    headers = {"Mcp-Session-Id": server.initialize().headers["mcp-session-id"]}
    assert server.post(request("ping"), headers).result == {}
    assert server.post(request("tools/list"), headers).result["tools"][0]["name"] == "echo"


def test_F13_unknown_tool() -> None:
    """A tool that is not there is a protocol error."""
    assert "no_such" in assert_error(Server(echo).session().call("no_such"), 200, -32602, 1)["message"]


@pytest.mark.parametrize("version", LEGACY)
def test_F14_arguments_do_not_fit(version: str) -> None:
    """In every revision it is a tool error that a model can read."""
    result = Server(add).session(version).call("add", {"a": "x", "b": 1}).result
    assert result["isError"] is True
    assert "a" in result["content"][0]["text"]


@pytest.mark.parametrize(
    "params", [None, {}, {"name": 1}, {"name": "echo", "arguments": []}, {"name": "echo", "arguments": "x"}]
)
def test_F15_malformed_params(params: Any) -> None:
    """Params that are no params of tools/call are a protocol error."""
    assert_error(Server(echo).session().ask("tools/call", params), 200, -32602, 1)


@pytest.mark.parametrize("meta", [[], 1, None, {"progressToken": 1.5}, {"progressToken": True}])
def test_F15_malformed_metadata(meta: Any) -> None:
    """So are params whose `_meta` is none; the session and the id stay usable."""
    session = Server(echo).session()
    for _ in range(2):
        assert_error(session.ask("tools/call", {"name": "echo", "_meta": meta}), 200, -32602, 1)


@pytest.mark.parametrize("level", [None, "loud", 3, []])
def test_F17_bad_log_level(level: Any) -> None:
    """A log level is one of eight."""
    assert_error(Server().session().ask("logging/setLevel", {"level": level}), 200, -32602, 1)


@pytest.mark.parametrize("cursor", ["", "x", 1])
def test_F17_bad_cursor(cursor: Any) -> None:
    """A cursor is one of ours."""
    assert_error(Server(echo).session().ask("tools/list", {"cursor": cursor}), 200, -32602, 1)


def test_log_level_of_the_session() -> None:
    """What was set once counts for all later calls of the session, and of no other."""
    server = Server(chatty)
    session, other = server.session(), server.session()
    assert session.ask("logging/setLevel", {"level": "error"}).json == {"jsonrpc": "2.0", "id": 1, "result": {}}
    peers = session.call("chatty"), other.call("chatty")
    server.turn()
    heard = [[m["params"]["level"] for m in peer.messages if "method" in m] for peer in peers]
    assert heard == [["error"], ["info", "error"]]


@tool
async def murmur(call: Call) -> str:
    """Log at info and at error, each second."""
    for second in range(4):
        await call.log("info", second)
        await call.log("error", second)
        await call.sleep(1)
    return "said"


@pytest.mark.parametrize("version", LEGACY)
def test_log_level_that_changes(version: str) -> None:
    """It counts from then on, also for a call that runs."""
    server = Server(murmur)
    session = server.session(version)
    peer = session.call("murmur")
    server.seconds(1)
    session.ask("logging/setLevel", {"level": "error"}, id=2)
    server.seconds(1)
    session.ask("logging/setLevel", {"level": "debug"}, id=3)
    server.seconds(3)
    said = [message["params"] for message in peer.messages if "method" in message]
    assert [(one["level"], one["data"]) for one in said] == [
        *(("info", 0), ("error", 0), ("info", 1), ("error", 1)),
        ("error", 2),
        *(("info", 3), ("error", 3)),
    ]


@pytest.mark.parametrize("id", [1, "1", "ping", 0, -1])
@pytest.mark.parametrize("version", LEGACY)
def test_ping_while_a_call_runs(version: str, id: Any) -> None:
    """It is answered at once, with the id as it was sent and nothing else."""
    server = Server(silent)
    session = server.session(version)
    call = session.call("silent", id="long")
    assert session.ask("ping", id=id).json == {"jsonrpc": "2.0", "id": id, "result": {}}
    assert not call.answered
    call.drop()


@pytest.mark.parametrize("version", ["2024-11-05", "2025-03-26", "2025-06-18"])
def test_F22_streams_of_old(version: str) -> None:
    """Before 2025-11-25 no client expects an event without data."""
    server = Server(steps, silent)
    session = server.session(version)
    peer, quiet = session.call("steps", {"number": 2}, token=1), session.call("silent", id=2)
    server.seconds(16)
    assert all(event.data or event.comment for event in [*peer.events, *quiet.events])
    assert [event.id for event in peer.events] == ["1-1", "1-2", "1-3"]
    assert len(quiet.events) == quiet.comments == 1


def test_F24_cancelled_before_anything_was_said() -> None:
    """A withdrawn call is stopped and never answered; its response ends as an empty stream."""
    witness = Witness()
    server = Server(*witness.tools())
    session = server.session()
    peer = session.call("wait")
    assert session.notify("notifications/cancelled", {"requestId": 1, "reason": "enough"}).status == 202
    assert witness.told == ["on_cancel", "finally"]
    assert (peer.status, peer.events, peer.complete) == (200, [], True)
    assert not server.calls.running


def test_F24_cancelled_within_a_stream() -> None:
    """The stream ends where it is."""
    witness = Witness()
    server = Server(*witness.tools())
    session = server.session()
    peer = session.call("wait", {"progress": True}, token=1)
    server.seconds(2)
    session.notify("notifications/cancelled", {"requestId": 1})
    assert witness.told == ["on_cancel", "finally"]
    assert peer.complete
    assert all("id" not in message for message in peer.messages)
    assert session.ask("ping").result == {}, "the id is free again"


def test_F24_json_only() -> None:
    """A client that takes no events gets no stream, only the end of its waiting."""
    server = Server(silent)
    session = server.session()
    peer = session.call("silent", headers={"Accept": "application/json"})
    session.notify("notifications/cancelled", {"requestId": 1})
    assert (peer.status, peer.body, peer.complete) == (204, b"", True)


@pytest.mark.parametrize("request_id", ["1", 1.0, True, None, 2, [], {}, ...])
def test_F24_unknown_ids(request_id: Any) -> None:
    """What only looks like the id of a call is not it: 1 is neither "1" nor 1.0 nor true."""
    server = Server(silent)
    session = server.session()
    peer = session.call("silent", id=1)
    params = {} if request_id is ... else {"requestId": request_id}
    assert session.notify("notifications/cancelled", params).status == 202
    assert len(server.calls.running) == 1
    server.seconds(60)
    assert peer.result["content"][0]["text"] == "awake"


def test_F24_another_session() -> None:
    """An id is the id of a call in its session; a stranger's call is out of reach."""
    server = Server(silent)
    mine, theirs = server.session(), server.session()
    peer = mine.call("silent", id=1)
    theirs.notify("notifications/cancelled", {"requestId": 1})
    assert len(server.calls.running) == 1
    peer.drop()


def test_F24_after_the_reply() -> None:
    """A late withdrawal changes nothing."""
    session = Server(echo).session()
    assert session.call("echo", {"text": "a"}).result["content"][0]["text"] == "a"
    assert session.notify("notifications/cancelled", {"requestId": 1}).status == 202


@pytest.mark.parametrize("version", LEGACY)
def test_F33_results(version: str) -> None:
    """Nothing of the modern envelope is in a result."""
    session = Server(echo, placed, crash, refuse).session(version)
    assert session.ask("ping").result == {}
    assert set(session.ask("tools/list").result) == {"tools"}
    assert session.call("echo", {"text": "x"}).result == {"content": [{"type": "text", "text": "x"}]}
    assert session.call("refuse").result == {"content": [{"type": "text", "text": "no luck"}], "isError": True}


def test_F33_mirrored_headers_do_not_matter() -> None:
    """A legacy client mirrors nothing."""
    peer = Server(placed).session().call("placed", {"region": "eu"}, headers={"Mcp-Name": "x", "Mcp-Method": "y"})
    assert peer.result["content"][0]["text"] == "eu 0 False"


def test_F34_an_id_in_flight() -> None:
    """The second request with the id of a running one is refused; the first one goes on; then the id is free."""
    server = Server(silent)
    session = server.session()
    first = session.call("silent", {"seconds": 2.0}, id="a")
    assert_error(session.ask("ping", id="a"), 400, -32600, "a")
    server.seconds(2)
    assert first.result["content"][0]["text"] == "awake"
    assert session.ask("ping", id="a").result == {}


def test_F34_one_and_the_text_one() -> None:
    """1 and "1" are two ids."""
    server = Server(silent)
    session = server.session()
    peers = [session.call("silent", {"seconds": 1.0}, id=id) for id in (1, "1")]
    server.seconds(1)
    assert [peer.json["id"] for peer in peers] == [1, "1"]


def test_F34_sessions_have_their_own_ids() -> None:
    """Two sessions may use the same id at the same time."""
    server = Server(silent)
    peers = [server.session().call("silent", {"seconds": 1.0}, id=1) for _ in range(2)]
    server.seconds(1)
    assert [peer.status for peer in peers] == [200, 200]


def test_a_stream_has_the_same_head_in_both_eras() -> None:
    """What keeps proxies from buffering is sent to legacy clients too."""
    server = Server(burst)
    peer = server.session().call("burst", token=1)
    server.turn()
    assert peer.headers["x-accel-buffering"] == "no"
    assert peer.headers["cache-control"] == "no-cache, no-transform"
