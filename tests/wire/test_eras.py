"""Table C of the wire: which era a message belongs to. The body decides, the header is a cross-check."""

from __future__ import annotations

from typing import Any

import pytest

from tests.wire.server import CAPABILITIES, CLIENT, LATEST_LEGACY, LEGACY, MODERN, VERSION, Server, request
from tests.wire.tools import echo

UNKNOWN = "2031-01-01"
INITIALIZE = request("initialize", {"protocolVersion": LATEST_LEGACY, "capabilities": {}, "clientInfo": CLIENT})
RESPONSE = {"jsonrpc": "2.0", "id": 3, "result": {}}


def notification(meta: Any = None) -> dict[str, Any]:
    """A notification, perhaps with `_meta`."""
    params = {} if meta is None else {"params": {"_meta": meta}}
    return {"jsonrpc": "2.0", "method": "notifications/initialized", **params}


@pytest.mark.parametrize("method", ["initialize", "ping"])
def test_C1_a_claim_makes_a_request_modern(method: str) -> None:
    """A request that carries its version is modern; there these methods do not exist."""
    peer = Server().modern(method, dict(INITIALIZE["params"]))
    assert (peer.status, peer.error["code"]) == (404, -32601)


def test_C1_also_within_a_session() -> None:
    """A session id does not make it legacy, and is not even looked at."""
    server = Server(echo)
    for session_id in (server.session().id, "unknown"):
        peer = server.call("echo", headers={"Mcp-Session-Id": session_id})
        assert peer.result["resultType"] == "complete"
        assert "mcp-session-id" not in peer.headers


@pytest.mark.parametrize("header", [None, *LEGACY, UNKNOWN])
def test_C1_whatever_the_header_says(header: str | None) -> None:
    """A claim and another header: modern, and the two disagree."""
    peer = Server().modern("tools/list", headers={"MCP-Protocol-Version": header})
    assert (peer.status, peer.error["code"], peer.json["id"]) == (400, -32020, 1)


@pytest.mark.parametrize("header", [None, *LEGACY, UNKNOWN])
def test_C2_initialize(header: str | None) -> None:
    """initialize begins a legacy session; the header can't know yet what will be negotiated."""
    peer = Server().post(INITIALIZE, {"MCP-Protocol-Version": header})
    assert (peer.status, peer.result["protocolVersion"]) == (200, LATEST_LEGACY)
    assert peer.headers["mcp-session-id"]


@pytest.mark.parametrize("message", [INITIALIZE, request("tools/list"), request("tools/list", {}), request("no/such")])
def test_C3_no_claim_and_a_modern_header(message: Any) -> None:
    """The header promises metadata that the body does not have; the error names the missing keys."""
    server = Server()
    peer = server.post(message, {"MCP-Protocol-Version": MODERN, "Mcp-Method": message["method"]})
    assert (peer.status, peer.error["code"], peer.json["id"]) == (400, -32602, message["id"])
    assert VERSION in peer.error["message"]
    assert CAPABILITIES in peer.error["message"]
    assert len(server.sessions) == 0


@pytest.mark.parametrize("in_session", [False, True])
def test_C4_no_claim_and_an_unknown_header(in_session: bool) -> None:
    """An unknown version is named together with those that are served."""
    server = Server()
    send = server.session().post if in_session else server.post
    peer = send(request("tools/list"), {"MCP-Protocol-Version": UNKNOWN})
    assert (peer.status, peer.error["code"], peer.json["id"]) == (400, -32022, 1)
    assert peer.error["data"] == {"supported": [MODERN], "requested": UNKNOWN}


@pytest.mark.parametrize("header", [None, *LEGACY])
def test_C5_no_claim_and_a_legacy_header(header: str | None) -> None:
    """Such a request is legacy: it needs a session."""
    server = Server()
    message = {**request("ping"), "params": {"_meta": {"progressToken": 1}}}
    assert server.post(message, {"MCP-Protocol-Version": header}).status == 400
    assert server.session().post(message, {"MCP-Protocol-Version": header}).result == {}


@pytest.mark.parametrize(
    ("meta", "header"),
    [({VERSION: MODERN}, None), ({VERSION: MODERN}, MODERN), (None, MODERN), ({}, MODERN), ({"x": 1}, MODERN)],
)
def test_C6_a_modern_notification(meta: Any, header: str | None) -> None:
    """A claim or a modern header is enough; no session is asked for."""
    peer = Server().post(notification(meta), {"MCP-Protocol-Version": header})
    assert (peer.status, peer.body) == (202, b"")


@pytest.mark.parametrize("header", [None, *LEGACY])
def test_C7_another_notification(header: str | None) -> None:
    """Any other notification belongs to a session."""
    server = Server()
    peer = server.post(notification(), {"MCP-Protocol-Version": header})
    assert (peer.status, peer.error["code"], "id" in peer.json) == (400, -32600, False)
    assert server.session().post(notification(), {"MCP-Protocol-Version": header}).status == 202


def test_C8_a_modern_response() -> None:
    """Modern clients have nothing to respond to."""
    server = Server()
    for send in (server.post, server.session().post):
        peer = send(RESPONSE, {"MCP-Protocol-Version": MODERN})
        assert (peer.status, peer.error["code"]) == (400, -32600)
        assert "id" not in peer.json, "it is no request of theirs, so its id is not echoed"


@pytest.mark.parametrize("header", [None, *LEGACY])
def test_C9_another_response(header: str | None) -> None:
    """Any other response belongs to a session."""
    server = Server()
    assert server.post(RESPONSE, {"MCP-Protocol-Version": header}).status == 400
    assert server.session().post(RESPONSE, {"MCP-Protocol-Version": header}).status == 202


@pytest.mark.parametrize("message", [INITIALIZE, request("ping"), notification(), RESPONSE, [request("ping")]])
def test_a_server_without_a_legacy_face(message: Any) -> None:
    """What would be legacy is told which revisions there are."""
    peer = Server(legacy=False).post(message)
    assert (peer.status, peer.error["code"]) == (400, -32022)
    assert peer.error["data"]["supported"] == [MODERN]
