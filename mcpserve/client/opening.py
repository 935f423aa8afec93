"""The ways to a server, and what they need of the client that goes them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol
from urllib.parse import urlsplit

from twisted.web.iweb import IAgent

from mcpserve.client.conversation import Conversation, Host
from mcpserve.client.credentials import Credentials
from mcpserve.client.eras import Eras
from mcpserve.client.http_sse import open_http_sse
from mcpserve.client.limits import Terms
from mcpserve.client.negotiation import connect
from mcpserve.client.stdio import open_stdio
from mcpserve.client.web import Web
from mcpserve.errors import ConfigurationError

_NOTHING: Mapping[str, str] = {}


class Opening(Protocol):
    """A way to a server."""

    async def open(self, host: Host, terms: Terms) -> Conversation:
        """Begin the conversation.

        Cancel: What was opened is closed.

        Raises:
            ClientError: It did not come about.
        """

    async def close(self) -> None:
        """Leave nothing behind of what the conversation stood on; after the conversation was closed, never raises."""


class OverHttp:
    """To a server that has a URL, in whatever era it lives.

    Args:
        url: Its endpoint.
        agent: What speaks HTTP, instead of our own.
        credentials: Who is calling.
        headers: More headers of each request; as secret as credentials.
        eras: What is remembered of the eras of servers.
        sse: It is known to speak only HTTP+SSE, the transport of 2024-11-05.

    Raises:
        ConfigurationError: This is no URL of a server.
    """

    def __init__(
        self,
        url: str,
        *,
        agent: IAgent | None = None,
        credentials: Credentials | None = None,
        headers: Mapping[str, str] = _NOTHING,
        eras: Eras | None = None,
        sse: bool = False,
    ) -> None:
        _check(url)
        self._url = url
        self._agent = agent
        self._credentials = credentials
        self._headers = dict(headers)
        self._eras = eras
        self._sse = sse
        self._web: Web | None = None

    async def open(self, host: Host, terms: Terms) -> Conversation:
        """See `Opening`."""
        self._web = web = Web(
            terms.reactor,
            timeouts=terms.timeouts,
            limits=terms.limits,
            credentials=self._credentials,
            headers=self._headers,
            agent=self._agent,
            origin=self._url,
        )
        if self._sse:
            return await open_http_sse(host, web, self._url, terms)
        return await connect(host, web, self._url, terms, self._eras)

    async def close(self) -> None:
        """See `Opening`."""
        if self._web is not None:
            await self._web.close()


class OverStdio:
    """To a server that is started as a child process.

    Args:
        command: The command and its arguments.
        env: More environment variables.
        cwd: The directory that it works in.
        on_stderr: Takes what it says on its standard error, line by line; by default it goes to the log.
    """

    def __init__(
        self,
        command: Sequence[str],
        *,
        env: Mapping[str, str] | None = None,
        cwd: str | None = None,
        on_stderr: Callable[[str], object] | None = None,
    ) -> None:
        if isinstance(command, str) or not command:
            raise ConfigurationError('The command of a server is a list: ["python", "server.py"]')
        self._command = tuple(command)
        self._env = env
        self._cwd = cwd
        self._on_stderr = on_stderr

    async def open(self, host: Host, terms: Terms) -> Conversation:
        """See `Opening`."""
        return await open_stdio(host, terms, self._command, env=self._env, cwd=self._cwd, on_stderr=self._on_stderr)

    async def close(self) -> None:
        """See `Opening`. The child ends with the conversation."""


def _check(url: str) -> None:
    try:
        parts = urlsplit(url)
        parts.port  # noqa: B018 - reading it is what checks it
        good = parts.scheme in ("http", "https") and bool(parts.hostname)
    except ValueError:
        good = False
    if not good:
        raise ConfigurationError(f"This is no URL of a server: {url!r:.200}; it looks like https://example.org/mcp")
