"""Pages in browsers: preflights, and what a page may read of every answer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from twisted.python.failure import Failure

from mcpserve.errors import Refusal
from mcpserve.policy.origins import Origins
from mcpserve.policy.rates import Rates, read_rate
from mcpserve.web.admission import Identity
from mcpserve.web.crowd import CrowdLimits
from mcpserve.web.site import HttpLimits
from tests.wire.http import Peer
from tests.wire.server import Limits, Server
from tests.wire.tools import burst, echo

PAGE = "https://app.example.org"
ASKS = {"Origin": PAGE, "Access-Control-Request-Method": "POST"}


def server(*tools: Any, **more: Any) -> Server:
    """A server that lets a page call it."""
    return Server(*(tools or (echo,)), origins=Origins(origins=[PAGE]), **more)


def readable(peer: Peer, origin: str = PAGE) -> bool:
    """Whether a browser hands the answer to the page."""
    headers = peer.headers
    allowed = headers.get("access-control-allow-origin") == origin
    if allowed:
        assert headers["vary"] == "Origin"
        exposed = headers["access-control-expose-headers"].split(", ")
        assert {"Mcp-Session-Id", "WWW-Authenticate", "Retry-After"} <= set(exposed)
    return allowed


# --- preflights


@pytest.mark.parametrize("path", ["/mcp", "/mcp/", "/sse", "/messages", "/nowhere"])
@pytest.mark.parametrize("method", ["POST", "GET", "DELETE"])
def test_a_preflight(path: str, method: str) -> None:
    """204, without a body, and with all that a client sends and reads."""
    wanted = "authorization, content-type, mcp-param-region, x-evil"
    headers = {**ASKS, "Access-Control-Request-Method": method, "Access-Control-Request-Headers": wanted}
    peer = server(http_sse=True).http("OPTIONS", headers, path=path)
    assert (peer.status, peer.body) == (204, b"")
    assert readable(peer)
    assert method in peer.headers["access-control-allow-methods"].split(", ")
    allowed = peer.headers["access-control-allow-headers"].lower().split(", ")
    assert {
        "authorization", "content-type", "accept", "last-event-id", "mcp-session-id", "mcp-protocol-version",
        "mcp-method", "mcp-name", "x-api-key", "mcp-param-region", "traceparent",
    } <= set(allowed)  # fmt: skip
    assert "x-evil" not in allowed
    assert int(peer.headers["access-control-max-age"]) > 0
    assert "access-control-allow-credentials" not in peer.headers


def test_a_preflight_needs_no_credentials() -> None:
    """Browsers send none: everybody else has to say who he is, and a page reads why it is not let in."""
    served = server(identity=lambda clock: _Nobody())
    assert served.http("OPTIONS", ASKS).status == 204
    refused = served.call("echo", headers={"Origin": PAGE})
    assert refused.status == 401
    assert readable(refused)


def test_a_preflight_is_no_request() -> None:
    """It counts towards no rate."""
    served = server(limits=Limits(rates=Rates(read_rate("1/minute"))))
    for _ in range(5):
        assert served.http("OPTIONS", ASKS).status == 204
    assert served.call("echo", {"text": "x"}).status == 200


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Origin": "https://evil.example.net"}, 403),
        ({"Origin": "null"}, 403),
        ({"Origin": "https://app.example.org.evil.example.net"}, 403),
        ({"Origin": "http://app.example.org"}, 403),
        ({"Host": "evil.example.net"}, 421),
        ({"Origin": None}, 405),
        ({"Access-Control-Request-Method": None}, 405),
    ],
)
def test_no_preflight(headers: Any, status: int) -> None:
    """A page that may not call is told nothing that lets its browser go on; what is no preflight is not allowed."""
    peer = server().http("OPTIONS", {**ASKS, **headers})
    assert peer.status == status
    assert "access-control-allow-methods" not in peer.headers
    if status == 403:
        assert "access-control-allow-origin" not in peer.headers
        assert "allow_origins" in peer.error["message"]


@pytest.mark.parametrize("origin", ["http://localhost:6274", "http://127.0.0.1", "http://[::1]:3000"])
def test_pages_of_this_machine(origin: str) -> None:
    """They may call by default, so they may read, too."""
    served = Server(echo)
    assert readable(served.http("OPTIONS", {**ASKS, "Origin": origin}), origin)
    assert readable(served.call("echo", {"text": "x"}, headers={"Origin": origin}), origin)


# --- answers


def test_results_streams_and_sessions() -> None:
    """JSON, events, 202 and 204, in both eras."""
    served = server(echo, burst)
    page = {"Origin": PAGE}
    stream = served.call("burst", {"number": 3}, token=1, headers=page)
    served.turn()
    assert stream.type == "text/event-stream"
    session = served.session()
    for peer in (
        stream,
        served.call("echo", {"text": "x"}, headers=page),
        served.initialize(headers=page),
        session.get(headers=page),
        session.post({"jsonrpc": "2.0", "method": "notifications/initialized"}, page),
        served.http("DELETE", {**session.headers, **page}),
    ):
        assert peer.status in (200, 202, 204)
        assert readable(peer)


@pytest.mark.parametrize(
    ("status", "change"),
    [
        (400, {"body": b"{"}),
        (404, {"path": "/nowhere"}),
        (404, {"headers": {"Mcp-Session-Id": "none"}, "body": b'{"jsonrpc":"2.0","id":1,"method":"ping"}'}),
        (405, {"method": "PUT"}),
        (406, {"headers": {"Accept": "text/html"}}),
        (413, {"body": b"x" * 2000}),
        (414, {"path": "/mcp?" + "x" * 300}),
        (415, {"headers": {"Content-Type": "text/plain"}}),
        (421, {"headers": {"Host": "evil.example.net"}}),
        (431, {"headers": {"X-Other": "x", "X-Long": "x" * 4000}}),
    ],
)
def test_every_refusal_can_be_read(status: int, change: dict[str, Any]) -> None:
    """Else a page knows nothing but that something failed."""
    limits = Limits(http=HttpLimits(body=1000, url=200, header_bytes=2048))
    headers = {"Origin": PAGE, **change.pop("headers", {})}
    peer = server(limits=limits).http(change.pop("method", "POST"), headers, **change)
    assert peer.status == status
    assert readable(peer)


def test_limits_can_be_read() -> None:
    """429 with its Retry-After; and 503."""
    served = server(limits=Limits(rates=Rates(read_rate("1/minute"))))
    page = {"Origin": PAGE}
    assert readable(served.call("echo", {"text": "x"}, headers=page))
    refused = served.call("echo", {"text": "x"}, headers=page)
    assert (refused.status, refused.headers["retry-after"]) == (429, "60")
    assert readable(refused)
    crowded = server(limits=Limits(crowd=CrowdLimits(total=1)))
    first = crowded.connect()
    crowded.call("echo", {"text": "x"}, peer=first)
    full = crowded.call("echo", {"text": "x"}, headers=page)
    assert full.status == 503
    assert readable(full)


def test_time_is_up() -> None:
    """408: as much as has come of the request is enough to know the page."""
    served = server()
    peer = served.connect()
    peer.send(b"POST /mcp HTTP/1.1\r\nHost: 127.0.0.1\r\nOrigin: https://app.example.org\r\nContent-Length: 9\r\n\r\n")
    served.seconds(40)
    assert peer.status == 408
    assert readable(peer)


def test_a_fault_of_ours(flush_logged_errors: Callable[..., list[Failure]]) -> None:
    """500."""
    served = server()
    served.admission.identity = _Broken()
    peer = served.call("echo", {"text": "x"}, headers={"Origin": PAGE})
    assert peer.status == 500
    assert readable(peer)
    assert len(flush_logged_errors(ZeroDivisionError)) == 1


def test_another_page_reads_nothing() -> None:
    """It is refused, and its browser does not hand it the refusal; nobody else's headers change."""
    served = server()
    peer = served.call("echo", {"text": "x"}, headers={"Origin": "https://evil.example.net"})
    assert peer.status == 403
    assert not any(name.startswith("access-control") for name in peer.headers)
    assert peer.headers["vary"] == "Origin"
    plain = served.call("echo", {"text": "x"})
    assert not any(name.startswith(("access-control", "vary")) for name in plain.headers)


def test_credentials() -> None:
    """Only where the operator wants it."""
    served = server(credentials=True)
    for peer in (served.http("OPTIONS", ASKS), served.call("echo", {"text": "x"}, headers={"Origin": PAGE})):
        assert peer.headers["access-control-allow-credentials"] == "true"
        assert readable(peer)


@pytest.mark.parametrize("origin", ["http://localhost:3000", "https://127.0.0.1", "http://[::1]:1"])
def test_no_credentials_for_who_was_not_named(origin: str) -> None:
    """Pages on loopback may call, but the cookies for a proxy are not theirs."""
    served = server(credentials=True)
    for peer in (served.http("OPTIONS", {**ASKS, "Origin": origin}), served.call("echo", headers={"Origin": origin})):
        assert readable(peer, origin)
        assert "access-control-allow-credentials" not in peer.headers


def test_all_pages() -> None:
    """With "*" each page is answered with its own origin; a sandboxed one, whose origin is null, is not let in."""
    served = Server(echo, origins=Origins(origins=["*"]))
    for origin in ("https://a.example", "http://b.example:8080"):
        assert readable(served.call("echo", {"text": "x"}, headers={"Origin": origin}), origin)
    assert served.call("echo", {"text": "x"}, headers={"Origin": "null"}).status == 403


class _Nobody(Identity):
    """Lets nobody in."""

    def identify(self, request: Any) -> Any:
        """Refuse."""
        from_door = {"WWW-Authenticate": "Bearer"}
        raise Refusal(401, "Who are you?", from_door)


class _Broken(Identity):
    """Fails."""

    def identify(self, request: Any) -> Any:
        """Fail."""
        return 1 / 0
