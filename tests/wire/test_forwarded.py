"""Behind proxies: which address counts, which Host, and what is said when one is not believed."""

from __future__ import annotations

from typing import Any

import pytest
from twisted.protocols.haproxy._wrapper import HAProxyWrappingFactory

from mcpserve import Call, tool
from mcpserve.policy.origins import Origins
from mcpserve.policy.rates import Rates, read_rate
from mcpserve.web.crowd import CrowdLimits
from tests.wire.http import Peer
from tests.wire.server import Limits, Server

PROXY, CLIENT = "10.0.0.1", "192.0.2.7"


@tool
async def whence(call: Call) -> str:
    """Say where the call came from."""
    return str(call.caller.address)


def server(**more: Any) -> Server:
    """A server with a public name, that trusts a proxy."""
    return Server(whence, origins=Origins(hosts=["mcp.example.org"]), proxies=["10.0.0.0/8"], **more)


def whence_of(served: Server, peer: str | None = PROXY, **headers: str) -> str:
    """The address that the tool sees."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    answer = served.call("whence", headers=named, peer=served.connect(address=peer))
    return str(answer.result["content"][0]["text"])


def test_the_address_of_the_connection() -> None:
    """Without a proxy it is that one, whatever headers say."""
    served = Server(whence)
    assert whence_of(served, CLIENT) == CLIENT
    assert whence_of(served, CLIENT, X_Forwarded_For="203.0.113.9", Forwarded="for=203.0.113.9") == CLIENT
    assert whence_of(server(), CLIENT, X_Forwarded_For="203.0.113.9") == CLIENT
    assert whence_of(served, None) == "None"


def test_the_address_that_a_trusted_proxy_names() -> None:
    """By either header, on several lines too."""
    assert whence_of(server(), X_Forwarded_For=f"203.0.113.9, {CLIENT}") == CLIENT
    assert whence_of(server(), Forwarded=f"for=203.0.113.9, for={CLIENT}") == CLIENT
    served = server()
    lines = {"X-Forwarded-For": ["203.0.113.9", CLIENT, "10.0.0.2"]}
    answer = served.call("whence", headers=lines, peer=served.connect(address=PROXY))
    assert answer.result["content"][0]["text"] == CLIENT


def test_a_unix_socket() -> None:
    """It has no address; where it is trusted, the proxy behind it names one."""
    served = Server(whence, proxies=["unix"])
    assert whence_of(served, None, X_Forwarded_For=CLIENT) == CLIENT
    assert whence_of(served, CLIENT, X_Forwarded_For="203.0.113.9") == CLIENT


def test_one_connection_carries_many_clients() -> None:
    """The address is that of the request, not of the connection that the proxy keeps."""
    served = server()
    peer = served.connect(address=PROXY)
    for last in (1, 2, 3):
        served.call("whence", headers={"X-Forwarded-For": f"192.0.2.{last}"}, peer=peer)
    assert [f'"192.0.2.{last}"'.encode() in peer.arrived for last in (1, 2, 3)] == [True] * 3


@pytest.mark.parametrize(
    ("peer", "headers", "status"),
    [
        (PROXY, {"Host": "inner:8000", "X-Forwarded-Host": "mcp.example.org"}, 200),
        (PROXY, {"Host": "inner:8000", "Forwarded": f"for={CLIENT};host=mcp.example.org"}, 200),
        (PROXY, {"Host": "inner:8000"}, 421),
        (PROXY, {"Host": "mcp.example.org", "X-Forwarded-Host": "evil.example.net"}, 421),
        (CLIENT, {"Host": "inner:8000", "X-Forwarded-Host": "mcp.example.org"}, 421),
        (CLIENT, {"Host": "mcp.example.org", "X-Forwarded-Host": "evil.example.net"}, 200),
    ],
)
def test_the_host(peer: str, headers: dict[str, str], status: int) -> None:
    """What the client asked for decides, if somebody trusted says it."""
    served = server()
    assert served.call("whence", headers=headers, peer=served.connect(address=peer)).status == status


def test_a_refusal_says_why() -> None:
    """It names the Host, the setting, and that somebody was not believed."""
    served = server()
    headers = {"Host": "inner:8000", "X-Forwarded-Host": "mcp.example.org"}
    message = served.call("whence", headers=headers, peer=served.connect(address=CLIENT)).error["message"]
    assert "'inner:8000'" in message
    assert "allow_hosts" in message
    assert f"only from trusted_proxies, and this came from {CLIENT}" in message
    direct = served.call("whence", headers={"Host": "inner:8000"}, peer=served.connect(address=CLIENT))
    assert "trusted_proxies" not in direct.error["message"]


def test_an_ambiguous_request_is_refused() -> None:
    """400, also for GET and DELETE, and nothing is guessed."""
    served = server()
    headers = {"X-Forwarded-For": CLIENT, "Forwarded": "for=203.0.113.9"}
    for method in ("POST", "GET", "DELETE"):
        peer = served.http(method, headers, b"{}", peer=served.connect(address=PROXY))
        assert (peer.status, peer.error["code"]) == (400, -32600)
        assert "must remove" in peer.error["message"]


def test_limits_are_those_of_the_client() -> None:
    """Not of the proxy: each address has its own."""
    served = server(limits=Limits(rates=Rates(read_rate("1/minute"))))

    def ask(address: str) -> int:
        peer = served.connect(address=PROXY)
        return served.call("whence", headers={"X-Forwarded-For": address}, peer=peer).status

    assert [ask("192.0.2.1"), ask("192.0.2.2"), ask("192.0.2.1")] == [200, 200, 429]
    assert [ask("2001:db8::1"), ask("2001:db8::2"), ask("2001:db8:0:1::1")] == [200, 429, 200], "a /64 is one"


# --- the PROXY protocol


def proxied(served: Server, line: bytes, peer: str | None = PROXY) -> Peer:
    """A connection that begins with a line of the PROXY protocol."""
    wrapped: Any = HAProxyWrappingFactory(served.site)
    connection = Peer(wrapped, served.clock, address=peer)
    connection.send(line)
    return connection


def test_the_address_that_the_proxy_protocol_names() -> None:
    """It is that of the connection; what the client says in headers is what any client says."""
    served = server()
    peer = proxied(served, b"PROXY TCP4 192.0.2.7 10.0.0.1 40000 443\r\n")
    answer = served.call("whence", headers={"X-Forwarded-For": "203.0.113.9"}, peer=peer)
    assert answer.result["content"][0]["text"] == CLIENT
    local = proxied(served, b"PROXY UNKNOWN ::1 ::1 1 2\r\n")
    assert served.call("whence", peer=local).result["content"][0]["text"] == PROXY


def test_the_proxy_protocol_of_somebody() -> None:
    """Who is no trusted proxy can't choose an address; 403 says so."""
    served = server()
    peer = proxied(served, b"PROXY TCP4 192.0.2.7 10.0.0.1 40000 443\r\n", "203.0.113.5")
    refused = served.call("whence", peer=peer)
    assert refused.status == 403
    assert "trusted_proxies, not from 203.0.113.5" in refused.error["message"]


def test_the_proxy_protocol_and_connections_of_one_address() -> None:
    """They are counted for the client, and not for the proxy."""
    served = server(limits=Limits(crowd=CrowdLimits(of_address=1)))
    line = b"PROXY TCP4 192.0.2.%d 10.0.0.1 40000 443\r\n"
    first = proxied(served, line % 7)
    second, third = proxied(served, line % 7), proxied(served, line % 8)
    assert [served.call("whence", peer=peer).status for peer in (first, second, third)] == [200, 429, 200]
    for peer in (first, second, third):
        peer.drop()
    assert len(served.site.crowd) == 0


def test_no_proxy_protocol() -> None:
    """Who does not speak it is not let in."""
    served = server()
    peer = proxied(served, b"POST /mcp HTTP/1.1\r\nHost: mcp.example.org\r\n\r\n")
    assert (peer.arrived, bool(peer.ended)) == (b"", True)


def test_a_prefix() -> None:
    """A client of HTTP with SSE is told the path as it is outside of the proxy that takes a part of it away."""
    served = server(http_sse=True)
    served.http_sse.prefix = "/tools"
    stream = served.http("GET", path="/sse")
    assert str(stream.events[0].data).startswith("/tools/messages?sessionId=")


def test_each_request_of_a_connection_is_looked_at() -> None:
    """A good Host does not let in what follows it with another one."""
    served = Server(whence)
    peer = served.connect()
    served.call("whence", peer=peer)
    before = len(peer.arrived)
    served.call("whence", headers={"Host": "evil.example.net"}, peer=peer)
    assert b" 200 " in peer.arrived[:before]
    assert peer.arrived[before:].startswith(b"HTTP/1.1 421 ")
