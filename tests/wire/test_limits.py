"""How often, and how much at once: exact, in both eras, explained, and given back."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from mcpserve import Call, tool
from mcpserve.legacy.http_sse import HttpSseLimits
from mcpserve.legacy.session import SessionLimits
from mcpserve.policy.callers import Caller
from mcpserve.policy.rates import Rates, ToolRates, read_rate, read_tool_rates
from mcpserve.server.calls import CallLimits
from mcpserve.server.subscriptions import SubscriptionLimits
from mcpserve.web.crowd import REFUSED, CrowdLimits
from mcpserve.web.request import McpRequest
from mcpserve.web.site import HttpLimits
from tests.wire.http import Peer
from tests.wire.server import LATEST_LEGACY, Limits, Server, request
from tests.wire.tools import echo

TEN = "10/minute"
HERE, THERE = "192.0.2.1", "192.0.2.2"


@tool
async def wait(call: Call) -> str:
    """Wait for a minute."""
    await call.sleep(60)
    return "waited"


def rated(*tools: Any, address: str | None = None, caller: str | None = None, **more: Any) -> Server:
    """A server that counts requests."""
    rates = Rates(None if address is None else read_rate(address), None if caller is None else read_rate(caller))
    return Server(*(tools or (echo,)), limits=Limits(rates=rates), **more)


def call(server: Server, name: str = "echo", address: str = HERE, **more: Any) -> Peer:
    """Call a tool from an address."""
    arguments = {"text": "x"} if name == "echo" else {}
    return server.call(name, arguments, peer=server.connect(address=address), **more)


def assert_busy(peer: Peer, status: int, seconds: int, setting: str) -> None:
    """The answer is an error that says which limit it was and when to come again."""
    assert (peer.status, peer.headers["retry-after"]) == (status, str(seconds))
    assert peer.error["code"] == status
    assert peer.error["data"] == {"retryAfter": seconds}
    assert setting in peer.error["message"]


class Names:
    """Takes the name of a caller from a header."""

    def identify(self, request: McpRequest) -> Caller:
        """The header."""
        return Caller(name=(request.header(b"x-name") or b"nobody").decode())


# --- how often: by address


def test_ten_a_minute() -> None:
    """Ten at once, and one each six seconds; GET and DELETE count as well; another address does not notice."""
    server = rated(address=TEN)
    assert [call(server).status for _ in range(9)] == [200] * 9
    assert server.http("DELETE", peer=server.connect(address=HERE)).status == 400
    assert_busy(call(server), 429, 6, "rate_per_address")
    assert server.http("GET", peer=server.connect(address=HERE)).status == 429
    assert call(server, address=THERE).status == 200
    server.seconds(6)
    assert [call(server).status for _ in range(2)] == [200, 429]


def test_legacy() -> None:
    """The same for clients with a handshake; an initialize is a request as well."""
    server = rated(address="3/minute")
    session = server.session()
    assert session.ask("ping").status == 200
    assert_busy(session.ask("ping"), 429, 20, "rate_per_address")
    assert_busy(server.initialize(), 429, 20, "rate_per_address")


def test_http_sse() -> None:
    """And for the HTTP with SSE of 2024-11-05: the stream and each message."""
    server = rated(address="2/minute", http_sse=True)
    stream = server.http("GET", path="/sse")
    path = str(stream.events[0].data)
    ping = b'{"jsonrpc":"2.0","id":1,"method":"ping"}'
    assert server.http("POST", body=ping, path=path).status == 202
    assert server.http("POST", body=ping, path=path).status == 429


def test_many_at_once() -> None:
    """However many come in one turn, exactly as many are let in."""
    server = rated(wait, address="7/minute")
    peers = [call(server, "wait") for _ in range(50)]
    server.turn()
    assert sum(peer.answered for peer in peers) == 43
    assert len(server.calls.running) == 7


def test_a_refused_request_costs_nothing() -> None:
    """Who keeps asking is let in as soon as who waits. What has a wrong Host is not counted at all."""
    server = rated(address="1/minute")
    for _ in range(5):
        assert call(server, headers={"Host": "evil.example.net"}).status == 421
    assert call(server).status == 200
    for _ in range(59):
        server.seconds(1)
        assert call(server).status == 429
    server.seconds(1)
    assert call(server).status == 200


def test_a_batch_counts_by_element() -> None:
    """Its requests are let in one by one; the others are answered beside them. Notifications do not count."""
    server = rated(address="5/minute")
    session = server.session("2025-03-26")
    notice = {"jsonrpc": "2.0", "method": "notifications/x"}
    peer = session.post([notice, *(request("ping", None, number) for number in range(1, 6)), notice])
    assert peer.status == 200
    answers = {answer["id"]: answer for answer in peer.json}
    assert [number for number, answer in answers.items() if "result" in answer] == [1, 2, 3]
    for number in (4, 5):
        assert answers[number]["error"]["code"] == 429
        assert answers[number]["error"]["data"] == {"retryAfter": 12}


# --- by caller


def test_by_caller() -> None:
    """A name has one bucket, wherever it comes from; an address is none if nobody limits it."""
    server = rated(caller="2/minute", identity=lambda clock: Names())
    ann, bob = {"X-Name": "ann"}, {"X-Name": "bob"}
    assert [call(server, address=one, headers=ann).status for one in (HERE, THERE)] == [200, 200]
    assert_busy(call(server, headers=ann), 429, 30, "rate_per_caller")
    assert call(server, headers=bob).status == 200


# --- by tool


@tool
def cheap() -> str:
    """Cost nothing."""
    return "cheap"


def tooled(*rates: str) -> Server:
    """A server whose tools have rates."""
    return Server(echo, cheap, wait, limits=Limits(tool_rates=ToolRates(read_tool_rates(rates))))


@pytest.mark.parametrize("name", ["echo", "wait"])
def test_by_tool(name: str) -> None:
    """In total, in both eras; with the id, so that a client knows which call it was. Other tools go on."""
    server = tooled(f"{name}=2/minute")
    arguments = {"text": "x"} if name == "echo" else {}
    call(server, name)
    session = server.session()
    session.call(name, arguments, id=5)
    modern, legacy = call(server, name, THERE, id=8), session.call(name, arguments, id=9)
    for peer, request_id in ((modern, 8), (legacy, 9)):
        assert_busy(peer, 429, 30, "tool_rates")
        assert peer.json["id"] == request_id
        assert f"Too many calls of {name}" in peer.error["message"]
    assert call(server, "cheap").status == 200


def test_by_tool_for_each() -> None:
    """Each address has its own."""
    server = tooled("echo=1/minute each")
    assert [call(server, address=one).status for one in (HERE, THERE, HERE)] == [200, 200, 429]


def test_invalid_arguments_do_not_count() -> None:
    """They never reach the tool."""
    server = tooled("echo=1/minute")
    for _ in range(3):
        assert server.call("echo", {"nonsense": 1}).result["isError"]
    assert call(server).status == 200


# --- how much at once


def test_calls_in_total_and_of_one() -> None:
    """503 when there are too many, 429 for who has his share; given back when a call ends, however it does."""
    server = Server(wait, echo, limits=Limits(calls=CallLimits(calls=3, of_caller=2)))
    first, second = call(server, "wait"), call(server, "wait")
    assert_busy(call(server, "wait"), 429, 1, "max_calls_of_caller")
    assert call(server).status == 200, "what is answered at once takes no place"
    third = call(server, "wait", THERE)
    assert_busy(call(server, "wait", "192.0.2.3"), 503, 2, "max_calls")
    first.drop()
    session = server.session(LATEST_LEGACY)
    session.call("wait", id=1)
    server.seconds(60)
    assert [second.complete, third.complete] == [True, True]
    assert (server.calls.places.taken, len(server.calls.places)) == (0, 0)


def test_what_is_refused_for_lack_of_room_costs_no_token() -> None:
    """And its arguments are not looked at."""
    limits = Limits(calls=CallLimits(calls=1), tool_rates=ToolRates(read_tool_rates(["wait=2/minute"])))
    server = Server(wait, limits=limits)
    first = call(server, "wait")
    for _ in range(3):
        assert_busy(server.call("wait", {"nonsense": 1}), 503, 2, "max_calls")
    first.drop()
    assert not call(server, "wait").answered
    assert server.calls.places.taken == 1


def test_listen_streams() -> None:
    """Of one, and in total."""
    server = Server(echo, limits=Limits(subscriptions=SubscriptionLimits(streams=2, of_caller=1)))
    tools = {"toolsListChanged": True}
    first = server.listen(tools, peer=server.connect(address=HERE))
    assert first.status == 200
    assert_busy(server.listen(tools, peer=server.connect(address=HERE)), 429, 1, "max_listeners_of_caller")
    assert server.listen(tools, peer=server.connect(address=THERE)).status == 200
    assert_busy(server.listen(tools, peer=server.connect(address="192.0.2.3")), 503, 2, "max_listeners")
    first.drop()
    assert server.listen(tools, peer=server.connect(address=HERE)).status == 200


def initialize(server: Server, address: str = HERE) -> Peer:
    """Begin a session from an address."""
    params = {"protocolVersion": LATEST_LEGACY, "capabilities": {}, "clientInfo": {"name": "n", "version": "1"}}
    return server.http("POST", body=_json(request("initialize", params, 0)), peer=server.connect(address=address))


def test_sessions_of_one() -> None:
    """429 past the share; those that it ends make room."""
    server = Server(echo, limits=Limits(sessions=SessionLimits(of_caller=2)))
    first = initialize(server)
    initialize(server)
    assert_busy(initialize(server), 429, 1, "max_sessions_of_caller")
    assert initialize(server, THERE).status == 200
    server.http("DELETE", {"Mcp-Session-Id": first.headers["mcp-session-id"]})
    assert initialize(server).status == 200


def test_a_flood_of_initializes() -> None:
    """10,000 without anything that follows: they make room for each other, and for everybody else."""
    server = Server(echo, limits=Limits(sessions=SessionLimits(count=100, of_caller=50)))
    used = server.session()
    for number in range(1000):
        assert initialize(server, f"192.0.{number % 7}.1").status in (200, 429, 503)
        if number % 10 == 0:
            server.seconds(1)
            assert used.ask("ping").status == 200
    server.seconds(3)
    assert len(server.sessions) <= 100
    assert server.initialize().status == 200
    assert used.ask("ping").status == 200


def test_streams_of_http_sse() -> None:
    """Each is a session of its own."""
    server = Server(echo, http_sse=True, limits=Limits(http_sse=HttpSseLimits(count=2, of_caller=1)))
    first = server.http("GET", path="/sse", peer=server.connect(address=HERE))
    assert_busy(server.http("GET", path="/sse", peer=server.connect(address=HERE)), 429, 1, "of_caller")
    server.http("GET", path="/sse", peer=server.connect(address=THERE))
    assert_busy(server.http("GET", path="/sse", peer=server.connect(address="192.0.2.3")), 503, 2, "max_sessions")
    first.drop()
    assert server.http("GET", path="/sse", peer=server.connect(address=HERE)).status == 200


# --- connections


def crowded(total: int = 20, of_address: int | None = None, **more: Any) -> Server:
    """A server with room for few connections."""
    return Server(echo, wait, limits=Limits(crowd=CrowdLimits(total=total, of_address=of_address)), **more)


def test_connections_of_one_address() -> None:
    """One more is told so when it asks; another address does not notice; one that goes makes room."""
    server = crowded(of_address=3)
    peers = [server.connect(address=HERE) for _ in range(3)]
    refused = call(server)
    assert_refused(refused, 429, "3 connections from 192.0.2.1 already (max_connections_of_address")
    assert "trusted_proxies" in refused.error["message"]
    assert call(server, address=THERE).status == 200
    peers[0].drop()
    assert call(server).status == 200


def test_a_trusted_proxy_brings_many() -> None:
    """It is no address; and a UNIX socket has none."""
    server = crowded(of_address=1, proxies=[HERE])
    assert [call(server).status for _ in range(3)] == [200] * 3
    for _ in range(3):
        assert server.call("echo", {"text": "x"}, peer=server.connect(address=None)).status == 200


def test_connections_that_ask_nothing_make_room() -> None:
    """Also those that have begun with a head and do not end it. Whoever has just come is left alone."""
    server = crowded(total=5)
    silent = [server.connect(address=HERE) for _ in range(3)]
    slow = server.connect(address=HERE)
    slow.send(b"POST /mcp HTTP/1.1\r\nHost: x\r\n")
    busy = call(server, "wait")
    assert_refused(call(server, address=THERE), 503, "5 connections already (max_connections)")
    server.seconds(2)
    for number in range(4):
        assert call(server, "wait", THERE).answered is False, number
        server.seconds(2)
    assert [bool(peer.ended) for peer in (*silent, slow, busy)] == [True] * 4 + [False]
    assert_refused(call(server, address=THERE), 503, "max_connections")


def test_those_who_rest_go_when_it_is_full() -> None:
    """Between two requests a connection may rest for five seconds then, and not for a minute."""
    server = crowded(total=10)
    peers = [call(server) for _ in range(10)]
    server.seconds(4)
    assert not any(peer.ended for peer in peers)
    server.seconds(4)
    assert sum(bool(peer.ended) for peer in peers) > 0
    assert call(server).status == 200


def test_too_many_to_be_told() -> None:
    """Past a number of refusals at once the others are dropped without a word; nothing is left of any of them."""
    server = crowded(total=1)
    call(server, "wait")
    peers = [server.connect() for _ in range(REFUSED + 50)]
    server.turn()
    assert sum(bool(peer.ended) for peer in peers) == 50
    assert_refused(server.call("echo", {"text": "x"}, peer=peers[0]), 503, "max_connections")
    server.seconds(45)
    assert len(server.site.connections) == 1
    crowd = server.site.crowd
    assert (len(crowd), len(crowd._refused), len(crowd._waiting)) == (1, 0, 0)


# --- what a request may be


@pytest.mark.parametrize(("length", "status"), [(200, 200), (201, 414)])
def test_the_url(length: int, status: int) -> None:
    """414 for one that is longer."""
    server = Server(echo, limits=Limits(http=HttpLimits(url=200)))
    path = "/mcp?" + "x" * (length - 5)
    peer = server.http("POST", body=_json(request("ping")), path=path)
    assert (peer.status == 414) == (status == 414)


def test_headers() -> None:
    """431 for too many and for too much."""
    server = Server(echo, limits=Limits(http=HttpLimits(header_count=20, header_bytes=2000)))
    assert server.http("GET", {f"X-{number}": "x" for number in range(30)}).status == 431
    assert server.http("GET", {"X": "x" * 2500}).status == 431


def test_a_body_is_refused_before_host_and_origin() -> None:
    """By its length, before any of it is read: whoever sends it, and wherever it is from."""
    server = Server(echo, limits=Limits(http=HttpLimits(body=100)))
    peer = server.connect()
    peer.send(b"POST /mcp HTTP/1.1\r\nHost: evil.example.net\r\nContent-Length: 101\r\n\r\n")
    assert peer.status == 413


def assert_refused(peer: Peer, status: int, text: str) -> None:
    """The HTTP layer has refused the request, with this in its sentence."""
    assert peer.status == status
    assert int(peer.headers["retry-after"]) > 0
    assert peer.headers["connection"] == "close"
    assert text in peer.error["message"]


def _json(message: Any) -> bytes:
    return orjson.dumps(message)
