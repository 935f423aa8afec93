"""HTTP with SSE, the transport of 2024-11-05: one endless stream from the server, and a path for what it is told.

    GET url                     a stream; its first event, `endpoint`, names the path for messages
    POST that path              any 2xx; what there is to answer comes on the stream
    the stream ends             so does the session: what is under way is lost
    the path is unknown, 404    the same: the server has forgotten the session

Spec: 2024-11-05, Transports, HTTP with SSE.
"""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any
from urllib.parse import SplitResult, urljoin, urlsplit

import attrs
from twisted.internet.defer import Deferred, TimeoutError, fail
from twisted.python.failure import Failure

from mcpserve.client.channel import MessageChannel, Receiver
from mcpserve.client.conversation import Conversation, Host
from mcpserve.client.duplex import Duplex
from mcpserve.client.flight import Bounds
from mcpserve.client.handshake import Handshake
from mcpserve.client.limits import Terms
from mcpserve.client.posting import STREAM, Endpoint, is_stream, raised, refusal, succeeded, tell
from mcpserve.client.session import VERSION
from mcpserve.client.web import Answer, Web
from mcpserve.errors import AnswerLost, BadAnswer, ClientClosed, ClientError, DeadlinePassed, Refused
from mcpserve.protocol.revisions import Revision

FORGOTTEN = (404, 410)
"""The statuses of a session that is no more."""

_PORTS = {"http": 80, "https": 443}


class SseChannel:
    """A stream, and the path that belongs to it. Implements `MessageChannel`.

    Args:
        endpoint: Where messages are sent.
        answer: The stream; its first event has been read.
        receiver: Takes its messages.
    """

    def __init__(self, endpoint: Endpoint, answer: Answer, receiver: Receiver) -> None:
        self._endpoint = endpoint
        self._answer = answer
        self._receiver: Receiver | None = receiver
        self._headers: dict[str, str] = {}
        self._posts: set[Deferred[None]] = set()
        self._quiet: Deferred[None] | None = None
        self._over = False

    def begin(self) -> None:
        """Read the stream from now on."""
        Deferred.fromCoroutine(self._read())

    def send(self, message: bytes) -> Deferred[None]:
        """See `MessageChannel`. Each message is a request of its own; what must keep its order waits for the other."""
        if self._over:
            return fail(ClientClosed("The connection is closed"))
        post = Deferred.fromCoroutine(tell(self._endpoint, self._headers, message, None))
        if not post.called:
            self._posts.add(post)
        sent: Deferred[None] = Deferred(lambda _: post.cancel())
        post.addBoth(self._posted, post, sent)
        return sent

    def agreed(self, revision: Revision) -> None:
        """See `MessageChannel`. Spec: 2025-06-18, Transports, Protocol Version Header."""
        if revision.version_header:
            self._headers = {VERSION: revision.name}

    async def close(self) -> None:
        """See `MessageChannel`. The last words have their time; then the stream is closed, and with it the session."""
        self._receiver = None
        if self._posts:
            terms, self._quiet = self._endpoint.terms, Deferred()
            timer = terms.clock.callLater(terms.timeouts.close, self._quiet.callback, None)
            await self._quiet
            if timer.active():
                timer.cancel()
        self._over = True
        for post in list(self._posts):
            post.cancel()
        self._answer.abort()

    def _posted(self, outcome: Failure | None, post: Deferred[None], sent: Deferred[None]) -> None:
        self._posts.discard(post)
        if isinstance(outcome, Failure):
            error = outcome.value
            if isinstance(error, Refused) and error.status in FORGOTTEN:
                self._lose(AnswerLost(f"{self._endpoint.name} has forgotten the session: it answers {error.status}"))
        if not sent.called:
            sent.errback(outcome) if isinstance(outcome, Failure) else sent.callback(outcome)
        # Whoever was told may have had something to say.
        if not self._posts and self._quiet is not None and not self._quiet.called:
            self._quiet.callback(None)

    async def _read(self) -> None:
        try:
            while self._receiver is not None:
                event = await self._answer.next_event()
                if event is None:
                    self._lose(AnswerLost(f"{self._endpoint.name} has ended its stream"))
                elif event.type == "message" and self._receiver is not None:
                    self._receiver.received(event.data)
        except ClientError as error:
            self._lose(error)

    def _lose(self, error: ClientError) -> None:
        receiver, self._receiver = self._receiver, None
        if receiver is not None:
            receiver.lost(error)


async def open_http_sse(host: Host, web: Web, url: str, terms: Terms) -> Conversation:
    """Begin a conversation with a server of 2024-11-05, or a later one that still serves its transport.

    Args:
        host: The client.
        web: Sends requests; it is not closed with the conversation.
        url: The URL of the stream.
        terms: How long to wait, for the first event as long as for a connection; how often to try again when the stream
            is lost. Any revision that the server agrees to is spoken, whatever they say.

    Cancel: What was opened is closed.

    Raises:
        ClientError: There is no such stream, or the handshake failed.
    """
    there = Endpoint(host=host, web=web, url=url, terms=terms)

    async def opener(receiver: Receiver) -> MessageChannel:
        return await _open(there, receiver)

    bounds = Bounds(terms=terms, peer=there.name)
    handshake = Handshake(host=host, bounds=bounds, transport="http+sse", probes=False)
    duplex = Duplex(host, opener, handshake=handshake, bounds=bounds)
    await duplex.open()
    return duplex


async def _open(there: Endpoint, receiver: Receiver) -> SseChannel:
    answer = await there.web.send("GET", there.url, {"Accept": STREAM})
    good = False
    try:
        if not succeeded(answer):
            raise raised(await refusal(answer, there.name))
        if not is_stream(answer):
            raise BadAnswer(f"{there.name} answered with {answer.media_type or 'something'}, not with events")
        path = await _within(_endpoint_of(answer), there)
        channel = SseChannel(attrs.evolve(there, url=resolved(there.url, path)), answer, receiver)
        good = True
    finally:
        if not good:
            answer.abort()
    channel.begin()
    return channel


async def _endpoint_of(answer: Answer) -> str:
    while True:
        event = await answer.next_event()
        if event is None:
            raise BadAnswer("The stream ended without an endpoint event")
        if event.type == "endpoint":
            return event.text.strip()


async def _within(coroutine: Coroutine[Deferred[Any], Any, str], there: Endpoint) -> str:
    waiting = Deferred.fromCoroutine(coroutine)
    seconds = there.terms.timeouts.connect
    if seconds is not None:
        waiting.addTimeout(seconds, there.terms.clock)
    try:
        return await waiting
    except TimeoutError:
        raise DeadlinePassed(f"{there.name} sent no endpoint event within {seconds:g} s", "connect") from None


def resolved(url: str, path: str) -> str:
    """The URL for messages.

    Args:
        url: That of the stream.
        path: What the server named; relative to it, or a whole URL.

    Raises:
        BadAnswer: It is of another origin, where our credentials have no business, or no URL.
    """
    try:
        found = urljoin(url, path)
        same = _origin(urlsplit(found)) == _origin(urlsplit(url))
    except ValueError:
        raise BadAnswer("The endpoint that the server names is no URL") from None
    if not same:
        raise BadAnswer("The endpoint that the server names is of another origin")
    return found


def _origin(parts: SplitResult) -> tuple[str, str | None, int | None, str | None]:
    return parts.scheme, parts.hostname, parts.port or _PORTS.get(parts.scheme), parts.username
