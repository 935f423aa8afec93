"""The ways to a server, as constructors; whatever the style of the client that goes them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Self, TypedDict, Unpack

from twisted.web.iweb import IAgent

from mcpserve.client.answering import Elicit, Roots, Sample, Visit
from mcpserve.client.credentials import Credentials
from mcpserve.client.eras import Eras
from mcpserve.client.limits import Limits, Retries, Timeouts
from mcpserve.client.opening import Opening, OverHttp, OverStdio
from mcpserve.client.servers import HttpServer, NamedServer
from mcpserve.client.values import Notice
from mcpserve.protocol.types import LogLevel

OnNotice = Callable[[Notice], None]


class Options(TypedDict, total=False):
    """What every client can be given, whatever its server; see `Client`."""

    reactor: Any
    elicit: Elicit | None
    visit: Visit | None
    sample: Sample | None
    roots: Roots | None
    capabilities: Mapping[str, Any] | None
    on_notice: OnNotice | None
    timeouts: Timeouts
    limits: Limits
    retries: Retries
    revision: str | None
    name: str
    version: str
    log_level: LogLevel | None
    random: Callable[[], float]


class Ways:
    """What may be made of other things than a URL."""

    def __init__(self, url: str | Opening, **options: Unpack[Options]) -> None:
        raise NotImplementedError

    @classmethod
    def stdio(
        cls,
        command: Sequence[str],
        *,
        env: Mapping[str, str] | None = None,
        cwd: str | None = None,
        **options: Unpack[Options],
    ) -> Self:
        """A client of a server that it starts as a child process and talks to over its standard streams.

        Args:
            command: The command and its arguments; no shell is involved.
            env: More environment variables; of ours only the usual harmless ones are handed on.
            cwd: The directory that the child works in.
            options: As of `Client`.
        """
        return cls(OverStdio(command, env=env, cwd=cwd), **options)

    @classmethod
    def to(
        cls,
        server: NamedServer,
        *,
        agent: IAgent | None = None,
        credentials: Credentials | None = None,
        eras: Eras | None = None,
        **options: Unpack[Options],
    ) -> Self:
        """A client of a named server, as configuration files describe it (`mcpserve.client.servers`).

        Args:
            server: The server.
            agent, credentials, eras: As of `Client`, for servers over HTTP.
            options: As of `Client`.
        """
        if isinstance(server, HttpServer):
            way = OverHttp(
                server.url,
                agent=agent,
                credentials=credentials,
                headers=server.headers,
                eras=eras,
                sse=server.transport == "sse",
            )
            return cls(way, **options)
        return cls.stdio(server.command, env=server.env, cwd=server.cwd, **options)

    @classmethod
    def through(cls, opening: Opening, **options: Unpack[Options]) -> Self:
        """A client that goes another way to its server: a transport of your own."""
        return cls(opening, **options)
