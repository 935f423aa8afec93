"""What a command finds around it: streams, environment, time, and what makes a client; all of it is handed in."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Protocol, TextIO

import attrs

from mcpserve.client.client import Client
from mcpserve.client.credentials import Credentials
from mcpserve.client.servers import NamedServer
from mcpserve.client.ways import Options


@attrs.frozen(kw_only=True)
class Way:
    """The way to a server.

    Args:
        target: How it was named on the command line.
        server: Where it is.
        credentials: Who is calling, over HTTP.
    """

    target: str
    server: NamedServer
    credentials: Credentials | None = attrs.field(default=None, repr=False)


class Connect(Protocol):
    """Makes a client that goes a way; it is not opened yet."""

    def __call__(self, way: Way, options: Options) -> Client:
        """Make it."""


class Ending(Protocol):
    """How a command is ended from outside of it: by a signal, or as nobody reads what it writes.

    Attributes:
        status: The exit status that it ends with; None if nobody has ended it.
        tell: Tells the person about it; who shows things on the terminal sets it.
    """

    status: int | None
    tell: Callable[[str], object]

    def cancel(self, status: int) -> None:
        """Cancel the command soon; it ends with this status."""


@attrs.frozen(kw_only=True)
class Surroundings:
    """What is around a command.

    Args:
        reactor: Time and connections.
        input: Standard input. out: Standard output. err: Standard error.
        environment: The environment variables.
        connect: Makes a client.
        ending: How the command is ended from outside of it.
    """

    reactor: Any
    input: TextIO
    out: TextIO
    err: TextIO
    environment: Mapping[str, str]
    connect: Connect
    ending: Ending


Job = Callable[[Surroundings], Awaitable[int]]
"""What a command does once its words are read; gives its exit status."""
