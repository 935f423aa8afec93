"""What a person reads when the server has started."""

from __future__ import annotations

import json
import shlex
from typing import Any

import attrs
import pytest
from twisted.internet.address import IPv4Address, IPv6Address, UNIXAddress
from twisted.internet.interfaces import IListeningPort
from zope.interface import implementer

from mcpserve import tool
from mcpserve.features.catalog import Catalog, Catalogs
from mcpserve.features.tool import build
from mcpserve.service.greeting import greeting


@implementer(IListeningPort)
@attrs.frozen
class FakePort:
    """A port with an address."""

    address: Any

    def getHost(self) -> Any:
        """See IListeningPort."""
        return self.address

    def startListening(self) -> None:
        """See IListeningPort."""

    def stopListening(self) -> None:
        """See IListeningPort."""


def catalogs(*names: str) -> Catalogs:
    """Tools of these names."""

    def f() -> None:
        """Do."""

    return Catalogs(tools=Catalog([build(tool(name=name)(f), "x") for name in names]))


@pytest.mark.parametrize(
    ("description", "address", "url"),
    [
        ("tcp:8000:interface=127.0.0.1", IPv4Address("TCP", "127.0.0.1", 8000), "http://127.0.0.1:8000/mcp"),
        ("tcp:0", IPv4Address("TCP", "0.0.0.0", 40123), "http://127.0.0.1:40123/mcp"),
        ("ssl:443", IPv4Address("TCP", "192.0.2.1", 443), "https://192.0.2.1:443/mcp"),
        ("tcp6:8000", IPv6Address("TCP", "::1", 8000), "http://[::1]:8000/mcp"),
        ("tcp6:8000", IPv6Address("TCP", "::", 8000), "http://127.0.0.1:8000/mcp"),
        ("haproxy:ssl:8001", IPv4Address("TCP", "127.0.0.1", 8001), "PROXY protocol: https://127.0.0.1:8001/mcp"),
        ("unix:/run/m.sock", UNIXAddress("/run/m.sock"), "unix:/run/m.sock (path /mcp)"),
    ],
)
def test_urls(description: str, address: Any, url: str) -> None:
    """The address that can be used on this machine; sockets that have no URL are named by their endpoint."""
    text = greeting([description], [FakePort(address)], catalogs())
    assert text.splitlines() == ["mcpserve is ready with 0 tools:", f"  {url}"]


def test_several_endpoints() -> None:
    """A line each, and a line to try for the first that curl can ask."""
    ports = [FakePort(IPv4Address("TCP", "127.0.0.1", n)) for n in (1, 2)]
    lines = greeting(["haproxy:tcp:1", "tcp:2"], ports, catalogs("echo")).splitlines()
    assert lines[1:4] == ["  PROXY protocol: http://127.0.0.1:1/mcp", "  http://127.0.0.1:2/mcp", "Try it:"]
    assert "curl -N http://127.0.0.1:2/mcp" in lines[4]


@pytest.mark.parametrize("name", ["ticker", "countdown", "echo"])
def test_the_line_to_try(name: str) -> None:
    """A shell reads it as one command: a call of a shipped tool, with the headers that mirror its body."""
    port = FakePort(IPv4Address("TCP", "127.0.0.1", 8000))
    words = shlex.split(greeting(["tcp:8000"], [port], catalogs(name, "other")).splitlines()[-1])
    assert words[:3] == ["curl", "-N", "http://127.0.0.1:8000/mcp"]
    headers = dict(words[n + 1].split(": ", 1) for n, word in enumerate(words) if word == "-H")
    body = json.loads(words[-1])
    assert headers["Mcp-Name"] == body["params"]["name"] == name
    assert headers["Mcp-Method"] == body["method"] == "tools/call"
    meta = body["params"]["_meta"]
    assert headers["MCP-Protocol-Version"] == meta["io.modelcontextprotocol/protocolVersion"] == "2026-07-28"
    assert "progressToken" in meta
