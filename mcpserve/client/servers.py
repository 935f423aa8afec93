"""Named servers, in the JSON form that MCP clients share: `mcpServers`, each with a `url` or a `command`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import attrs


@attrs.frozen(kw_only=True)
class HttpServer:
    """A server that is reached over HTTP.

    Args:
        name: What the configuration calls it.
        url: Its URL.
        headers: More headers of each request; they may hold secrets, so they are never shown.
        transport: "http" to find out by itself, "sse" for a server that knows only the transport of 2024-11-05.
    """

    name: str
    url: str
    headers: Mapping[str, str] = attrs.field(factory=dict, repr=False)
    transport: Literal["http", "sse"] = "http"


@attrs.frozen(kw_only=True)
class StdioServer:
    """A server that is started as a child process.

    Args:
        name: What the configuration calls it.
        command: The command and its arguments.
        env: More environment variables; they may hold secrets, so they are never shown.
        cwd: The directory that it works in; None for ours.
    """

    name: str
    command: tuple[str, ...]
    env: Mapping[str, str] = attrs.field(factory=dict, repr=False)
    cwd: str | None = None


NamedServer = HttpServer | StdioServer


def read_servers(
    text: str | bytes, environment: Mapping[str, str], source: str = "the configuration"
) -> dict[str, NamedServer]:
    """Read the named servers of a configuration, in its order.

    Args:
        text: The JSON.
        environment: Where `${VARIABLE}` and `${VARIABLE:-default}` are looked up.
        source: What errors call the configuration, such as its path.

    Raises:
        ConfigurationError: It is no JSON, has another shape, or names a variable that is not set; says where.
    """
    raise NotImplementedError


def server_of(name: str, entry: Any, environment: Mapping[str, str], source: str = "the configuration") -> NamedServer:
    """Read one entry of `mcpServers`.

    Raises:
        ConfigurationError: As of `read_servers`.
    """
    raise NotImplementedError
