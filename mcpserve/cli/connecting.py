"""The one place where the command line makes a client."""

from __future__ import annotations

from mcpserve.cli.surroundings import Way
from mcpserve.client.client import Client, Options
from mcpserve.client.servers import StdioServer


def connect(way: Way, options: Options) -> Client:
    """Make a client of a server; it is not opened yet."""
    server = way.server
    if isinstance(server, StdioServer):
        return Client.stdio(server.command, env=server.env, cwd=server.cwd, **options)
    if server.transport == "http":
        return Client(server.url, credentials=way.credentials, headers=server.headers, **options)
    return Client.to(server, credentials=way.credentials, **options)
