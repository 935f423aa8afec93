"""HTTP as the client sees it: a request, the head of its answer, and a body or events that are read at one's own pace."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from twisted.web.iweb import IAgent

from mcpserve.client.credentials import Credentials
from mcpserve.client.limits import Limits, Timeouts
from mcpserve.protocol.sse import Event

_NO_HEADERS: Mapping[str, str] = {}


class Web:
    """Sends requests to one server, over connections that are kept for the next ones.

    Args:
        reactor: Connects, and tells the time.
        timeouts: Those of requests that bring none.
        limits: How much is taken.
        credentials: Who is calling.
        headers: More headers for each request; they are treated as secret as credentials.
        agent: What speaks HTTP, for tests and for proxies; by default ours.
        origin: A URL of the only origin that credentials and `headers` are shown to; by default that of the first
            request.
    """

    def __init__(
        self,
        reactor: Any,
        *,
        timeouts: Timeouts,
        limits: Limits,
        credentials: Credentials | None = None,
        headers: Mapping[str, str] = _NO_HEADERS,
        agent: IAgent | None = None,
        origin: str | None = None,
    ) -> None:
        raise NotImplementedError

    async def send(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str],
        body: bytes | None = None,
        timeouts: Timeouts | None = None,
    ) -> Answer:
        """Send a request, and wait for the head of its answer.

        Redirects are followed within the origin if they keep the method (307, 308). A 401 or a 403 is shown to the
        credentials, and the request is repeated if they say so. Every other status is given back.

        Args:
            method: The HTTP method.
            url: An http or https URL.
            headers: `Accept`, `Content-Type`, and what else the caller wants to say.
            body: The body.
            timeouts: Other deadlines than usual: connect, head, and idle for the answer.

        Returns:
            The answer. It has to be read to its end or aborted.

        Cancel: The connection is closed at once.

        Raises:
            Unreachable: No connection came about; nothing was sent.
            AnswerLost: The connection broke off after something was sent, before the head had come.
            AnswerTooLarge: The head is larger than any head should be.
            BadAnswer: What came is not HTTP.
            DeadlinePassed: connect or head.
            Unauthorized: 401 or 403, after the credentials had their say.
            Refused: A redirect that is not followed.
            ClientClosed: `close` was called, before or meanwhile.
        """
        raise NotImplementedError

    async def close(self) -> None:
        """Abort what is open and close every connection; nothing is left in the reactor. May be called again."""
        raise NotImplementedError


class Answer:
    """The head of an answer, and the way to its body: `whole`, or `next_event` again and again; not both."""

    status: int
    """The HTTP status."""
    media_type: str
    """The media type, in lower case and without parameters; "" if there is none."""

    def header(self, name: str) -> str | None:
        """The value of a header; the last one, if there are several. Names are compared without case."""
        raise NotImplementedError

    async def whole(self) -> bytes:
        """The whole body.

        Cancel: The connection is closed at once.

        Raises:
            AnswerTooLarge: It is larger than `limits.body`.
            AnswerLost: It broke off, or was aborted.
            DeadlinePassed: idle.
            ClientClosed: The `Web` was closed.
        """
        raise NotImplementedError

    async def next_event(self) -> Event | None:
        """The next event that has data; None when the stream has come to its orderly end.

        Cancel: The connection is closed at once. What had come is lost.

        Raises:
            AnswerTooLarge: An event is larger than `limits.event`.
            AnswerLost: The stream broke off, or was aborted. What came before has been given.
            DeadlinePassed: idle.
            ClientClosed: The `Web` was closed.
        """
        raise NotImplementedError

    @property
    def last_event_id(self) -> str | None:
        """The last event id in force after the event that was given last, those of events without data included."""
        raise NotImplementedError

    @property
    def retry_ms(self) -> int | None:
        """How long the server wants us to wait before we reconnect, if it said so."""
        raise NotImplementedError

    def abort(self) -> None:
        """Close the connection at once. Who waits gets AnswerLost. Does nothing after the end of the answer."""
        raise NotImplementedError
