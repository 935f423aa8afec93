"""Many requests on one connection: which of them are in flight, and what carries the messages of each.

For transports with a single way to the client that all requests share: stdio, and HTTP with SSE of 2024-11-05. Over
Streamable HTTP each request has a response of its own, and nothing of this is needed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol

from mcpserve.errors import InternalError, InvalidRequest, ProtocolError
from mcpserve.protocol import jsonrpc
from mcpserve.protocol.exchange import NO_HEADERS, Exchange
from mcpserve.protocol.jsonrpc import Request
from mcpserve.protocol.metadata import SUBSCRIPTION_ID
from mcpserve.protocol.revisions import Revision
from mcpserve.protocol.types import RequestId

LISTEN = "subscriptions/listen"


class Way(Protocol):
    """The way to the client that all requests of a connection share."""

    @property
    def behind(self) -> bool:
        """True while the client is behind with reading."""

    def say(self, message: bytes) -> None:
        """Bring a message to the client: a reply, or one that belongs to no request."""

    def notify(self, voice: Voice, message: bytes, replaceable: bool) -> None:
        """Bring a notification of a request to the client; see `Carrier.notify`."""

    def drop(self, voice: Voice) -> None:
        """Forget what still waits of this one, where that can be."""


class Voice:
    """What carries the messages of one request. Implements `protocol.exchange.Carrier`.

    Args:
        conversation: Where it is in flight.
        way: The way to the client.
        request: The request.
        answer: Gets the reply, or None when there will be none.

    Attributes:
        exchange: What it carries; None when that is over. It holds us as its carrier: a cycle that would wait for the
            garbage collector.
    """

    __slots__ = ("_answer", "_conversation", "_request", "_spoke", "_way", "exchange")

    def __init__(
        self, conversation: Conversation, way: Way, request: Request, answer: Callable[[bytes | None], object]
    ) -> None:
        self._conversation = conversation
        self._way = way
        self._request = request
        self._answer = answer
        self._spoke = False
        self.exchange: Exchange | None = None

    @property
    def live(self) -> bool:
        """True while something may be said."""
        return self.exchange is not None

    def notify(self, message: bytes, replaceable: bool) -> None:
        """See `Carrier.notify`."""
        self._spoke = True
        self._way.notify(self, message, replaceable)

    def reply(self, message: bytes, status: int, headers: Mapping[str, str] = NO_HEADERS) -> None:
        """See `Carrier.reply`. There is no status here."""
        self._over()
        self._last(message)

    def end(self) -> None:
        """See `Carrier.end`. What it said and still waits goes unsaid.

        Spec: 2026-07-28, stdio: servers "MUST NOT send any further messages for it", the cancelled request.
        """
        self._over()
        self._way.drop(self)
        self._answer(None)

    def overrun(self) -> None:
        """It said more than the client reads: it is cut off, but not the others, so that it must be answered."""
        exchange = self._over()
        self._way.drop(self)
        if exchange is not None:
            exchange.overrun()
            self._last(jsonrpc.encode_error(self._request.id, InternalError("Cancelled: it said more than you read")))

    def _over(self) -> Exchange | None:
        exchange, self.exchange = self.exchange, None
        self._conversation.forget(self._request.id)
        return exchange

    def _last(self, message: bytes) -> None:
        self._answer(message)
        if self._spoke and self._request.method == LISTEN:
            # "A server MUST send notifications/cancelled referencing a subscriptions/listen request ID when it tears
            # down that subscription stream" (2026-07-28, Cancellation); here no end of a response says so.
            cancelled = {"_meta": {SUBSCRIPTION_ID: self._request.id}, "requestId": self._request.id}
            self._way.say(jsonrpc.encode_notification("notifications/cancelled", cancelled))


class Conversation:
    """What is in flight on one connection.

    Args:
        way: The way to the client.
    """

    def __init__(self, way: Way) -> None:
        self._way = way
        self._voices: dict[RequestId, Voice] = {}

    def __len__(self) -> int:
        return len(self._voices)

    @property
    def behind(self) -> bool:
        """True while the client is behind with reading."""
        return self._way.behind

    def say(self, message: bytes) -> None:
        """Say what belongs to no request, or answers one that had no time to run."""
        self._way.say(message)

    def take(
        self,
        request: Request,
        revision: Revision,
        dispatch: Callable[[Exchange], None],
        answer: Callable[[bytes | None], object] | None = None,
    ) -> None:
        """Make an exchange of a request, and have it answered.

        Args:
            request: The request.
            revision: The revision that it is answered in.
            dispatch: What answers it, now or later.
            answer: Gets the reply, or None when there will be none; without it a reply is said.

        Raises:
            InvalidRequest: A request of this id is in flight.
        """
        if request.id in self._voices:
            raise InvalidRequest(f"A request with the id {str(request.id)[:64]!r} is still running")
        voice = Voice(self, self._way, request, self._reply if answer is None else answer)
        exchange = voice.exchange = Exchange(request, revision, voice)
        self._voices[request.id] = voice
        dispatch(exchange)
        if self._way.behind:
            exchange.pause()

    def refuse(self, error: ProtocolError, request_id: RequestId | None) -> None:
        """Say what is wrong with a message; see `refusal`."""
        self._way.say(self.refusal(error, request_id))

    def refusal(self, error: ProtocolError, request_id: RequestId | None) -> bytes:
        """The answer that says what is wrong with a message.

        It has no id if a request of that id is in flight: the client would take it for the answer to that one.
        """
        return jsonrpc.encode_error(None if request_id in self._voices else request_id, error)

    def cancel(self, params: Mapping[str, Any]) -> None:
        """The client sent `notifications/cancelled`. What is unknown or over is ignored."""
        request_id = params.get("requestId")
        # 1, 1.0 and true are one key to Python, but not one id
        if jsonrpc.is_id(request_id) and request_id in self._voices:
            exchange = self._voices[request_id].exchange
            if exchange is not None:
                exchange.withdraw()

    def forget(self, request_id: RequestId) -> None:
        """A request is over."""
        self._voices.pop(request_id, None)

    # --- how the connection is doing

    def lost(self) -> None:
        """The client can no longer be reached."""
        for exchange in self._exchanges():
            exchange.lost()
        self._voices.clear()

    def overrun(self) -> None:
        """The client is too far behind, and the connection was cut."""
        for exchange in self._exchanges():
            exchange.overrun()
        self._voices.clear()

    def pause(self) -> None:
        """The client is behind."""
        for exchange in self._exchanges():
            exchange.pause()

    def resume(self) -> None:
        """The client caught up. Whoever goes on may fill the way again, so that the others still have to wait."""
        for exchange in self._exchanges():
            if not self._way.behind:
                exchange.resume()

    def _exchanges(self) -> list[Exchange]:
        return [voice.exchange for voice in self._voices.values() if voice.exchange is not None]

    def _reply(self, message: bytes | None) -> None:
        if message is not None:
            self._way.say(message)
