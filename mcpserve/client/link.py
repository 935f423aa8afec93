"""One connection that carries all messages of both sides, from its first message to its end.

    what comes                            belongs to
    a response                            the request of its id
    notifications/progress                the request whose token it names; the token is the request's id
    a notification of a subscription      the subscriptions/listen of the id that it names
    notifications/message                 the only request under way, if there is one; the protocol does not say more
    notifications/cancelled               the subscription (2026-07-28) or the server's question (before) that it ends
    any other notification                the host
    a request                             the host, which answers; in 2026-07-28 servers ask nothing
    what is no message                    the log, and the request that it was to answer, where that can be told

Spec: 2026-07-28, stdio, Receiving Messages; Subscriptions; 2025-11-25, Cancellation, Progress.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Protocol

import orjson
from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from mcpserve.client.channel import MessageChannel
from mcpserve.client.conversation import Host
from mcpserve.client.dressing import dressed
from mcpserve.client.flight import LISTEN, Flight
from mcpserve.client.messages import read
from mcpserve.client.questions import Questions
from mcpserve.errors import (
    AnswerLost,
    AnswerTooLarge,
    BadAnswer,
    ClientError,
    DeadlinePassed,
    InvalidRequest,
    ProtocolError,
)
from mcpserve.protocol import jsonrpc, metadata
from mcpserve.protocol.jsonrpc import Batch, Message, Notification, Request, Response
from mcpserve.protocol.revisions import Revision

PROGRESS = "notifications/progress"
CANCELLED = "notifications/cancelled"
LOG = "notifications/message"

_SPOILS = 10
"""How many messages that are none are told of in the log, for each connection."""

_FIRST = re.compile(rb'\s*\{\s*"jsonrpc"\s*:\s*"2\.0"\s*,\s*"id"\s*:\s*(-?\d+|"[^"\\]*")\s*,')
_LAST = re.compile(rb'[,{]\s*"id"\s*:\s*(-?\d+|"[^"\\]*")\s*(?:,\s*"jsonrpc"\s*:\s*"2\.0"\s*)?\}\s*$')
"""Where the id of a message stands that is too long to be read: before all else, or after."""

_log = Logger()


class Owner(Protocol):
    """Has the link."""

    def answered(self, link: Link, flight: Flight, response: Response) -> None:
        """A request got its response."""

    def unsent(self, link: Link, flight: Flight, error: BaseException) -> None:
        """A request may not have reached the server; it is on no connection any more."""

    def lost(self, link: Link, reason: ClientError, flights: list[Flight]) -> None:
        """The connection is gone; these flights, in order, are on none any more."""


class Link:
    """A connection, and the requests that are under way on it. Implements `Receiver` and `flight.Place`.

    Args:
        host: The client.
        owner: Who has the link.
        peer: How the server is called in messages; nothing secret.
    """

    def __init__(self, host: Host, owner: Owner, peer: str) -> None:
        self.peer = peer
        self.revision: Revision | None = None
        """None before the handshake: what is sent is sent as it is."""
        self.channel: MessageChannel | None = None
        self.gone: ClientError | None = None
        self._host = host
        self._owner = owner
        self._flights: dict[Any, Flight] = {}
        self._questions = Questions(host, self._send)
        self._next = 1
        self._spoils = 0
        self._blamed = False

    def agree(self, revision: Revision) -> None:
        """From now on this revision is spoken. What of the handshake has no answer yet will have none."""
        for flight in list(self._flights.values()):
            flight.fail(AnswerLost(f"{self.peer} did not answer {flight.outgoing.method}"))
        self.revision = revision
        if self.channel is not None:
            self.channel.agreed(revision)

    def start(self, flight: Flight) -> None:
        """Send a request."""
        flight.place, flight.id = self, self._next
        if self.gone is not None:
            flight.fail(self.gone)
            return
        outgoing = flight.outgoing
        params = outgoing.params if self.revision is None else dressed(outgoing, self._host, self.revision, self._next)
        body: dict[str, Any] = {"jsonrpc": "2.0", "id": self._next, "method": outgoing.method}
        if params:
            body["params"] = params
        try:
            message = orjson.dumps(body)
        except TypeError as error:
            flight.fail(error)
            return
        self._flights[self._next] = flight
        self._next += 1
        sent = self._send(message)
        if sent is not None:
            flight.sent = sent
            sent.addCallbacks(_arrived, self._unsent, callbackArgs=(flight, sent), errbackArgs=(flight, sent))

    def notify(self, method: str, params: Mapping[str, Any]) -> Deferred[None] | None:
        """Send a notification; what it returns is that of `MessageChannel.send`."""
        return self._send(jsonrpc.encode_notification(method, params or None))

    def left(self, flight: Flight, reason: str | None) -> None:
        """See `Place`. What is told to the server must not overtake the request, but does not wait for it for long."""
        self._flights.pop(flight.id, None)
        # "The initialize request MUST NOT be cancelled by clients" (2025-11-25, Cancellation); and before the
        # handshake nobody knows whether the server would understand it.
        if reason is None or self.gone is not None or self.revision is None:
            return
        message = _cancellation(flight, reason)
        if flight.sent is None:
            self._send_unheeded(message)
        else:
            flight.hurry()
            flight.sent.addBoth(lambda _: self._send_unheeded(message))

    def received(self, message: bytes) -> None:
        """See `Receiver`."""
        try:
            parsed = jsonrpc.parse(message)
        except ProtocolError as error:
            self._spoiled(message, error)
        else:
            self._take(parsed, len(message))

    def overlong(self, excerpt: bytes, *, ended: bool) -> None:
        """See `Receiver`. Whose answer it was is told by its id; if that can't be found, all that wait are told."""
        blamed, self._blamed = self._blamed, False
        if blamed and ended:
            return
        found = (_LAST.search if ended else _FIRST.match)(excerpt)
        flights = [one for one in self._flights.values() if one.outgoing.method != LISTEN]
        if found is not None:
            named = self._flights.get(orjson.loads(found[1]))
            flights = [] if named is None else [named]
        elif not ended and len(flights) != 1:
            return
        self._blamed = not ended
        for flight in flights:
            flight.fail(AnswerTooLarge(f"A message of {self.peer} is longer than the limit"), "its answer is too long")

    def lost(self, reason: ClientError) -> None:
        """See `Receiver`."""
        if self.gone is not None:
            return
        self.gone = reason
        self._questions.close()
        flights = list(self._flights.values())
        self._flights.clear()
        self._owner.lost(self, reason, flights)

    def end(self, error: ClientError) -> None:
        """Nobody wants anything of it any more: withdraw all that is under way."""
        for flight in list(self._flights.values()):
            flight.fail(error, "the client is closed")
        self._questions.close()

    def _unsent(self, failure: Failure, flight: Flight, sent: Deferred[None]) -> None:
        if flight.sent is sent:
            flight.sent = None
            self._flights.pop(flight.id, None)
            if self.revision is not None and _may_have_arrived(failure.value):
                # Then the server works on it for nobody.
                self._send_unheeded(_cancellation(flight, "nobody knows whether it arrived"))
            self._owner.unsent(self, flight, failure.value or AnswerLost("The request could not be sent"))

    def _send(self, message: bytes) -> Deferred[None] | None:
        return None if self.channel is None or self.gone is not None else self.channel.send(message)

    def _send_unheeded(self, message: bytes, times: int = 2) -> None:
        """Send a cancellation, and once more if the connection was to blame: that harms nobody."""
        sent = self._send(message)
        if sent is not None:
            sent.addErrback(self._unheeded, message, times - 1)

    def _unheeded(self, failure: Failure, message: bytes, times: int) -> None:
        if times and failure.check(AnswerLost, DeadlinePassed):
            self._send_unheeded(message, times)
        else:
            _log.debug("{peer} could not be told: {reason}", peer=self.peer, reason=failure.value)

    def _take(self, message: Message | Batch, size: int) -> None:
        if isinstance(message, Response):
            self._answered(message, size)
        elif isinstance(message, Notification):
            self._notified(message, size)
        elif isinstance(message, Request):
            self._asked(message)
        else:
            self._take_batch(message, size)

    def _take_batch(self, batch: Batch, size: int) -> None:
        # "MCP implementations MUST support receiving JSON-RPC batches" (2025-03-26, Base Protocol, Batching).
        for item in batch.items:
            try:
                message = jsonrpc.message_from(item)
            except InvalidRequest as error:
                self._spoiled(orjson.dumps(item), error)
            else:
                self._take(message, size // len(batch.items))

    def _answered(self, response: Response, size: int) -> None:
        flight = self._flights.get(response.id)
        if flight is not None:
            self._owner.answered(self, flight, response)
            flight.take(response, size)
        elif response.id is None:
            self._unnamed(response, size)
        # "The sender of the cancellation notification SHOULD ignore any response to the request that arrives
        # afterward" (Cancellation).

    def _unnamed(self, response: Response, size: int) -> None:
        """An error that does not say whose: that of the only request, if there is one."""
        if len(self._flights) == 1:
            (flight,) = self._flights.values()
            flight.take(Response(flight.id, error=response.error), size)
        else:
            _log.warn("{peer} sent an error that names no request", peer=self.peer)

    def _notified(self, notice: Notification, size: int) -> None:
        if notice.method == CANCELLED:
            self._withdrawn(notice.params.get("requestId"))
            return
        known, name = _named(notice)
        flight = self._flights.get(name) if known else None
        if flight is not None:
            # The server has the request, whatever becomes of the message that brought it.
            flight.sent = None
        elif notice.method == LOG:
            flight = self._only()
        if flight is not None:
            flight.take(notice, size)
        elif not (known and isinstance(name, int) and 0 < name < self._next):
            # Otherwise it is late: its request is over.
            self._host.heard(notice)

    def _withdrawn(self, request_id: Any) -> None:
        self._questions.withdraw(request_id)
        flight = self._flights.get(request_id) if jsonrpc.is_id(request_id) else None
        # "Servers MUST NOT send notifications/cancelled for any other purpose" (2026-07-28, Cancellation).
        if flight is not None and flight.outgoing.method == LISTEN:
            flight.fail(AnswerLost(f"{self.peer} has ended the subscription"))

    def _asked(self, question: Request) -> None:
        if self.revision is not None and self.revision.modern:
            # "The client MUST NOT write JSON-RPC responses" (2026-07-28, stdio).
            self._warn("asked, which servers of this revision do not do")
        else:
            self._questions.ask(question)

    def _only(self) -> Flight | None:
        """The only request that is under way, subscriptions aside."""
        found = None
        for flight in self._flights.values():
            if flight.outgoing.method != LISTEN:
                if found is not None:
                    return None
                found = flight
        return found if self.revision is not None else None

    def _spoiled(self, message: bytes, error: ProtocolError) -> None:
        """It is no message as it stands. What it was to answer fails now, instead of waiting for ever."""
        try:
            for mended in read(message):
                self._take(mended, len(message))
        except BadAnswer:
            self._warn("sent what is no message")
            flight = self._flights.get(getattr(error, "request_id", None))
            if flight is not None:
                flight.spoiled(error.message)

    def _warn(self, what: str) -> None:
        self._spoils += 1
        if self._spoils <= _SPOILS:
            _log.warn("{peer} {what}; it is ignored", peer=self.peer, what=what)


def _named(notice: Notification) -> tuple[bool, Any]:
    """Whether a notification names its request, and how."""
    if notice.method == PROGRESS:
        name = notice.params.get("progressToken")
    else:
        meta = notice.params.get("_meta")
        name = meta.get(metadata.SUBSCRIPTION_ID) if isinstance(meta, dict) else None
    return jsonrpc.is_id(name), name


def _arrived(_: None, flight: Flight, sent: Deferred[None]) -> None:
    if flight.sent is sent:
        flight.sent = None


def _may_have_arrived(error: BaseException | None) -> bool:
    return isinstance(error, AnswerLost) or (isinstance(error, DeadlinePassed) and error.which != "connect")


def _cancellation(flight: Flight, reason: str) -> bytes:
    return jsonrpc.encode_notification(CANCELLED, {"requestId": flight.id, "reason": reason})
