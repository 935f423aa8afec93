"""Batches of revision 2025-03-26: several requests in one POST, answered in one response.

The response is a JSON array of the replies, or, as soon as one of the calls has something to say before its reply, a
stream of events with one reply each. Such a stream has no event ids: losing it cancels its calls.

Spec: 2025-03-26, Base Protocol, Batching; Transports, Sending Messages to the Server.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from mcpserve.errors import ProtocolError
from mcpserve.policy.callers import Caller
from mcpserve.protocol import jsonrpc, sse
from mcpserve.protocol.exchange import NO_HEADERS, Exchange
from mcpserve.protocol.types import RequestId
from mcpserve.web.response import JSON_HEADERS, ResponseWriter

MOST_ELEMENTS = 1000
"""Of a batch: an element of two bytes may cost an answer of a hundred."""

Again = Callable[[Caller], object]
"""Counts one more request of a caller; raises Busy if there were too many."""


def uncounted(caller: Caller) -> None:
    """Count nothing: there is no limit."""


class BatchReply:
    """The replies to one batch. Implements `web.response.Listener`.

    Args:
        writer: The one response.

    Attributes:
        requests: How many there were among its elements so far.
    """

    def __init__(self, writer: ResponseWriter) -> None:
        self._writer = writer
        self._replies: list[bytes] = []
        self._elements: list[ElementCarrier] = []
        self._waiting = 0
        self.requests = 0
        self._complete = False
        writer.listener = self

    def carrier(self, on_end: Callable[[], object]) -> ElementCarrier:
        """What carries one of the requests; `on_end` is called when it has ended."""
        self._waiting += 1
        element = ElementCarrier(self, on_end)
        self._elements.append(element)
        return element

    def refuse(self, error: ProtocolError, request_id: RequestId | None) -> None:
        """Answer an element that can't become a request."""
        self._replies.append(jsonrpc.encode_error(request_id, error))

    def complete(self) -> None:
        """All elements were looked at."""
        self._complete = True
        self._settle()
        self._writer.until_replied()

    # --- what its elements say

    def notify(self, message: bytes) -> None:
        """Say something before a reply.

        Nothing is replaceable here: the number that waits may be of another call than the newer one.
        """
        self._writer.notify(message)

    def ended(self, reply: bytes | None) -> None:
        """One of the requests has ended, with this reply or without any."""
        self._waiting -= 1
        if reply is not None:
            self._replies.append(reply)
        self._settle()

    # --- Listener

    def lost(self) -> None:
        """The client has gone: all calls are cancelled."""
        for element in self._elements:
            element.lost()

    def overrun(self) -> None:
        """The reader was too slow, and was cut off: all calls are cancelled."""
        for element in self._elements:
            element.overrun()

    def pause(self) -> None:
        """The reader is behind."""
        for element in self._elements:
            element.exchange.pause()

    def resume(self) -> None:
        """The reader caught up."""
        for element in self._elements:
            element.exchange.resume()

    def _settle(self) -> None:
        if not self._complete:
            return
        if not (self._elements or self._replies):
            # "If the input consists solely of (any number of) JSON-RPC responses or notifications: ... 202 Accepted"
            self._writer.answer(202)
        elif self._writer.streaming or not self._writer.accept.json:
            self._stream()
        elif not self._waiting:
            self._answer()

    def _stream(self) -> None:
        replies, self._replies = self._replies, []
        for reply in replies:
            self._writer.send(sse.event(reply))
        if not self._waiting:
            self._writer.end()

    def _answer(self) -> None:
        if self._replies:
            self._writer.answer(200, JSON_HEADERS, b"[" + b",".join(self._replies) + b"]")
        else:
            self._writer.end()  # all were withdrawn: an array is never empty, a stream may be


class ElementCarrier:
    """What carries one request of a batch. Implements `protocol.exchange.Carrier`.

    Attributes:
        exchange: What it carries; set once, before anything is said.
    """

    exchange: Exchange

    def __init__(self, batch: BatchReply, on_end: Callable[[], object]) -> None:
        self._batch = batch
        self._on_end = on_end

    def notify(self, message: bytes, replaceable: bool) -> None:
        """See `Carrier.notify`."""
        self._batch.notify(message)

    def reply(self, message: bytes, status: int, headers: Mapping[str, str] = NO_HEADERS) -> None:
        """See `Carrier.reply`."""
        self._on_end()
        self._batch.ended(message)

    def end(self) -> None:
        """See `Carrier.end`."""
        self._on_end()
        self._batch.ended(None)

    def lost(self) -> None:
        """The connection is gone."""
        if self.exchange.live:
            self._on_end()
            self.exchange.lost()

    def overrun(self) -> None:
        """The connection was cut, as its reader was too slow."""
        if self.exchange.live:
            self._on_end()
            self.exchange.overrun()
