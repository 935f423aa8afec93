"""The servers of others, for our client: each in each way to talk to it that it has."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Literal, Unpack

import attrs

from mcpserve.client import Client, Options, Timeouts
from tests.interop.peers import Peers
from tests.interop.served import free_port, running

SERVERS = Path(__file__).with_name("servers")

Transport = Literal["http", "sse", "stdio"]
PATHS: Mapping[Transport, str] = {"http": "mcp", "sse": "sse"}
TRANSPORTS: Mapping[Transport, str] = {"http": "streamable-http", "sse": "http+sse", "stdio": "stdio"}
"""What the client calls them."""

PATIENCE = Timeouts(head=15.0, idle=15.0, total=15.0)
"""Nothing here takes longer, so a test that would hang fails and says where."""


@attrs.frozen
class Way:
    """A way to talk to a server of others.

    Args:
        server: Whose: "official" (the Python SDK of today), "old" (its line 1.x), "fastmcp", "everything" (npm).
        transport: Over what.
        revision: What is spoken.
        forced: The client is told to speak it; else it finds out by itself.
    """

    server: str
    transport: Transport
    revision: str
    forced: bool = False

    def __str__(self) -> str:
        return f"{self.server}-{self.transport}-{self.revision}"


MODERN = "2026-07-28"
LEGACY = "2025-11-25"

WAYS = [
    Way("official", "http", MODERN),
    Way("official", "http", LEGACY, forced=True),
    Way("official", "http", "2025-03-26", forced=True),
    Way("official", "stdio", MODERN),
    Way("official", "stdio", LEGACY, forced=True),
    Way("official", "sse", LEGACY),
    Way("old", "http", LEGACY),
    Way("old", "stdio", LEGACY),
    Way("old", "sse", LEGACY),
    Way("fastmcp", "http", MODERN),
    Way("fastmcp", "http", LEGACY, forced=True),
    Way("fastmcp", "stdio", MODERN),
    Way("fastmcp", "sse", LEGACY),
]
"""Those with the tools of `servers/`."""

EVERYTHING = [
    Way("everything", "http", LEGACY),
    Way("everything", "stdio", LEGACY),
    Way("everything", "sse", LEGACY),
]


@attrs.frozen
class Other:
    """A server of others that can be talked to.

    Args:
        way: Which, and how.
        url: Where it is; None over stdio.
        command: What starts it over stdio.
        witness: The file in which it tells what became of calls.
    """

    way: Way
    url: str | None
    command: list[str]
    witness: Path

    def client(self, **options: Unpack[Options]) -> Client:
        """A client of it, not yet open."""
        options = {"timeouts": PATIENCE, **options}
        if self.way.forced:
            options["revision"] = self.way.revision
        return Client.stdio(self.command, **options) if self.url is None else Client(self.url, **options)

    def told(self) -> list[str]:
        """What it told, a word each."""
        return self.witness.read_text().split()


Find = Callable[[Way], Other]


@contextmanager
def others(peers: Peers, scratch: Path) -> Iterator[Find]:
    """What starts the servers that are asked for; those over HTTP run until the block ends."""
    with ExitStack() as servers:
        urls: dict[tuple[str, Transport], str] = {}

        def find(way: Way) -> Other:
            witness = scratch / f"{way.server}-{way.transport}.witness"
            witness.touch()
            key = (way.server, way.transport)
            if way.transport != "stdio" and key not in urls:
                urls[key] = servers.enter_context(_serving(peers, way, witness, scratch))
            return Other(way, urls.get(key), _command(peers, way, witness), witness)

        yield find


@contextmanager
def _serving(peers: Peers, way: Way, witness: Path, scratch: Path) -> Iterator[str]:
    port = free_port()
    url = f"http://127.0.0.1:{port}/{PATHS[way.transport]}"
    log = scratch / f"{way.server}-{way.transport}.log"
    # Some take the port as an argument, and one as a variable.
    command = [*_command(peers, way, witness), *([] if way.server == "everything" else [str(port)])]
    with running(command, url, log, env={"PORT": str(port)}):
        yield url


def _command(peers: Peers, way: Way, witness: Path) -> list[str]:
    if way.server == "everything":
        script = peers.node_modules / "@modelcontextprotocol" / "server-everything" / "dist" / "index.js"
        return [str(peers.node), str(script), "streamableHttp" if way.transport == "http" else way.transport]
    pythons = {"official": peers.python, "old": peers.old_python, "fastmcp": peers.fastmcp}
    script = SERVERS / f"{way.server}_server.py"
    return [str(pythons[way.server]), str(script), str(witness), way.transport]
