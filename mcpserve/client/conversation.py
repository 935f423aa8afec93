"""What the client and the ways to talk to a server know of each other; the roles, and the values between them.

    Client ──request──▶ Conversation ──▶ the server
           ◀─receive── Running        (one request on its way: its notifications, then its response)
    Host   ◀──heard, answer── Conversation    (what belongs to no request; what the server asks)

There is a conversation for each era and transport. Whoever uses one knows neither.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

import attrs

from mcpserve.client.limits import Timeouts
from mcpserve.errors import ClientError
from mcpserve.protocol.jsonrpc import Notification, Request, Response
from mcpserve.protocol.revisions import Revision
from mcpserve.protocol.types import Implementation, LogLevel

_NOTHING: Mapping[str, Any] = {}
_NO_HEADERS: Mapping[str, str] = {}


@attrs.frozen(kw_only=True)
class Outgoing:
    """A request to be sent; its id, its metadata and its headers are given by the conversation.

    Args:
        method: The method.
        params: The params. `_meta` in them holds only what the user put there.
        progress: Ask for progress: the conversation chooses the token.
        mirrored: More request headers (`Mcp-Param-*`, encoded), for those who send headers.
        repeatable: It may be sent again when nobody knows whether it arrived: it only reads.
        timeouts: Other deadlines than those of the client.
    """

    method: str
    params: Mapping[str, Any] = _NOTHING
    progress: bool = False
    mirrored: Mapping[str, str] = _NO_HEADERS
    repeatable: bool = False
    timeouts: Timeouts | None = None


class Running(Protocol):
    """One request on its way to its response."""

    async def receive(self) -> Notification | Response:
        """The next notification that belongs to this request, in order; the response is the last one.

        A response with an error is returned as it came. What was read ahead is bounded; while it waits, no more is
        read, or the request fails, as the transport allows. Not called again after the response, nor by two at once.

        Raises:
            ClientError: The response will not come. Nothing of it is left on this side.
        """

    def cancel(self, reason: str | None = None) -> None:
        """Nobody wants the response any more: tell the server in the way of the era, at once and without waiting.

        A `receive` that waits raises `twisted.internet.defer.CancelledError`. Does nothing after the response.

        Spec: 2026-07-28, Streamable HTTP, Cancellation (the connection of the response is closed); Cancellation of
        each revision before, and stdio (`notifications/cancelled`, but never for `initialize`).
        """


@attrs.frozen(kw_only=True)
class ServerDescription:
    """What a server says of itself.

    Args:
        revision: The revision that is spoken with it.
        transport: "streamable-http", "http+sse" or "stdio".
        implementation: Its name and version; None if it does not say (2026-07-28 allows that).
        capabilities: What it declares, as it came.
        instructions: What it tells models, if anything.
        raw: The result of `server/discover` or `initialize`, as it came.
    """

    revision: Revision
    transport: str
    implementation: Implementation | None
    capabilities: Mapping[str, Any]
    instructions: str | None
    raw: Mapping[str, Any] = attrs.field(repr=False)


class Conversation(Protocol):
    """Talks to one server in one era over one transport."""

    @property
    def server(self) -> ServerDescription:
        """What the server says of itself, as far as it is known; it may change with a new session."""

    def request(self, outgoing: Outgoing) -> Running:
        """Send a request, as soon as may be. Many may run at once."""

    async def notify(self, method: str, params: Mapping[str, Any]) -> None:
        """Send a notification; returns when the server has it, as far as the transport tells.

        Raises:
            ClientError: It could not be sent.
        """

    async def close(self) -> None:
        """Cancel what runs, end the session if there is one, leave nothing behind; within a bound, and never raises."""


class Host(Protocol):
    """What a conversation needs of the client that it talks for."""

    @property
    def implementation(self) -> Implementation:
        """The name and version of the client."""

    @property
    def capabilities(self) -> Mapping[str, Any]:
        """`ClientCapabilities`, as declared to the server; the same during the life of a conversation."""

    @property
    def log_level(self) -> LogLevel | None:
        """The least severe log messages that are wanted; None for none. Of each request in 2026-07-28."""

    def heard(self, notification: Notification) -> None:
        """The server said something that belongs to no request of ours. Never raises."""

    @property
    def listens(self) -> bool:
        """Somebody waits for what belongs to no request, in a session: so the way for it is to be kept open."""

    def missed(self) -> None:
        """What belongs to no request may not have come for a while: the way for it is a new one. Never raises."""

    def deaf(self, error: ClientError) -> None:
        """What belongs to no request will not come any more, and why: who listened does so no longer. Never raises."""

    async def answer(self, question: Request) -> Mapping[str, Any]:
        """Answer what the server asks during a session: sampling, elicitation, roots, ping. The result, for the wire.

        Cancel: the server has withdrawn its question, or the connection is gone.

        Raises:
            ProtocolError: The error to answer with.
        """
