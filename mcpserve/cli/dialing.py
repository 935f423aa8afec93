"""How long the network takes: a connection that carries nothing."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

from twisted.internet.endpoints import HostnameEndpoint
from twisted.internet.error import ConnectError, DNSLookupError
from twisted.internet.protocol import Factory, Protocol

from mcpserve.cli.things import Phase

_PORTS = {"http": 80, "https": 443}


async def dial(reactor: Any, url: str) -> list[Phase]:
    """Connect to the host of a URL, and let go again; what does not come about is an outcome, too."""
    parts = urlsplit(url)
    host, port = parts.hostname or "", parts.port or _PORTS[parts.scheme]
    begun = reactor.seconds()
    try:
        connection: Any = await HostnameEndpoint(reactor, host, port).connect(Factory.forProtocol(Protocol))
    except (ConnectError, DNSLookupError) as error:
        return [Phase(name="connect", seconds=reactor.seconds() - begun, outcome=str(error))]
    seconds = reactor.seconds() - begun
    connection.transport.abortConnection()
    return [Phase(name="connect", seconds=seconds, outcome=f"to {host}, port {port}")]
