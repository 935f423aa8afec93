"""The one place where the command line makes a client."""

from __future__ import annotations

from mcpserve.cli.surroundings import Way
from mcpserve.client.client import Client
from mcpserve.client.ways import Options


def connect(way: Way, options: Options) -> Client:
    """Make a client of a server; it is not opened yet."""
    return Client.to(way.server, credentials=way.credentials, **options)
