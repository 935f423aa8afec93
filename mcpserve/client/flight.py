"""One request on its way, where all requests share one connection: what came for it, and how long it may take.

What nobody has taken yet is bounded in bytes. Past the bound this request fails and is withdrawn, as the connection
can't be kept from bringing the messages of all others.
"""

from __future__ import annotations

from collections import deque
from typing import Protocol

import attrs
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IDelayedCall

from mcpserve.client.conversation import Outgoing
from mcpserve.client.limits import Terms
from mcpserve.errors import AnswerTooLarge, BadAnswer, DeadlinePassed
from mcpserve.protocol.jsonrpc import Notification, Response
from mcpserve.protocol.types import RequestId

LISTEN = "subscriptions/listen"
"""The one request that may be silent for ever, once it was acknowledged."""
HASTE = 1.0
"""Seconds that a request which nobody wants any more may take to arrive, before it is given up and cancelled."""


@attrs.frozen(kw_only=True)
class Bounds:
    """What all requests of a connection have in common.

    Args:
        terms: Time, the deadlines of requests that bring none, and how much may wait for its consumer.
        peer: How the server is called in messages; nothing secret.
    """

    terms: Terms
    peer: str


class Place(Protocol):
    """Where a flight is: on a connection, or waiting for one."""

    def left(self, flight: Flight, reason: str | None) -> None:
        """It is over. The reason is for the server; None if there is nothing to tell it."""


class Flight:
    """A request and what came of it. Implements `conversation.Running`.

    Args:
        outgoing: The request.
        bounds: How long it may take, and how much may wait.
        place: Where it is at first.
    """

    def __init__(self, outgoing: Outgoing, bounds: Bounds, place: Place) -> None:
        self.outgoing = outgoing
        self.place = place
        """Told when it is over."""
        self.id: RequestId | None = None
        """Its id on the connection; None while it is on none."""
        self.sent: Deferred[None] | None = None
        """Not None while the connection still carries it to the server."""
        self.heard = False
        """True when the server said something about it on this connection."""
        self.repeated = False
        """True when it has been sent a second time."""
        self._bounds = bounds
        self._timeouts = outgoing.timeouts or bounds.terms.timeouts
        self._waiting: deque[tuple[Notification | Response, int]] = deque()
        self._size = 0
        self._receiver: Deferred[Notification | Response] | None = None
        self._failure: BaseException | None = None
        self._timer: IDelayedCall | None = None
        self._over = False
        self._set_timer(self._timeouts.head)

    @property
    def over(self) -> bool:
        """True when nothing more comes: its response is here, or will never be."""
        return self._over

    async def receive(self) -> Notification | Response:
        """See `Running`. Cancelling it while it waits leaves the next message to whoever asks next."""
        if self._waiting:
            message, size = self._waiting.popleft()
            self._size -= size
            return message
        if self._failure is not None:
            raise self._failure
        self._receiver = Deferred(self._gave_up)
        return await self._receiver

    def cancel(self, reason: str | None = None) -> None:
        """See `Running`."""
        if not self._over:
            self.fail(CancelledError(), "the client no longer wants it" if reason is None else reason)

    def again(self) -> None:
        """It leaves a connection that is gone, for the next one."""
        self.id = self.sent = None
        self.repeated, self.heard = True, False
        self._set_timer(self._timeouts.head)

    def hurry(self) -> None:
        """Nobody wants it any more: what carries it to the server is given up if that takes long."""
        if self.sent is not None:
            self.sent.addTimeout(HASTE, self._bounds.terms.clock)

    def take(self, message: Notification | Response, size: int) -> None:
        """Something of this size in bytes has come for it."""
        if self._over:
            return
        self.heard = True
        if isinstance(message, Response):
            self._end(None)
        elif self._receiver is None and self._waiting and self._size + size > self._bounds.terms.limits.buffer:
            self.fail(
                AnswerTooLarge(
                    f"More than {self._bounds.terms.limits.buffer} bytes of {self._bounds.peer} wait to be taken "
                    f"for {self.outgoing.method}"
                ),
                "the client is too slow",
            )
            return
        else:
            self._set_timer(None if self.outgoing.method == LISTEN else self._timeouts.idle)
        self._hand_out(message, size)

    def fail(self, error: BaseException, reason: str | None = None) -> None:
        """Its response will not come.

        Args:
            error: What `receive` raises when what has come before was taken; at once, if it was cancelled.
            reason: What the server is told; None if there is nothing to tell it.
        """
        if self._over:
            return
        self._failure = error
        if isinstance(error, CancelledError):
            self._waiting.clear()
        self._end(reason)
        receiver, self._receiver = self._receiver, None
        if receiver is not None:
            receiver.errback(error)

    def spoiled(self, what: str) -> None:
        """Its answer has come, but is not MCP."""
        self.fail(BadAnswer(f"The answer of {self._bounds.peer} to {self.outgoing.method} is not MCP: {what}"))

    def _gave_up(self, _: object) -> None:
        self._receiver = None

    def _hand_out(self, message: Notification | Response, size: int) -> None:
        receiver, self._receiver = self._receiver, None
        if receiver is None:
            self._waiting.append((message, size))
            self._size += size
        else:
            receiver.callback(message)

    def _end(self, reason: str | None) -> None:
        self._over = True
        self._set_timer(None)
        self.place.left(self, reason)

    def _set_timer(self, seconds: float | None) -> None:
        timer = self._timer
        if seconds is not None and timer is not None and timer.active():
            timer.reset(seconds)
        elif seconds is not None:
            self._timer = self._bounds.terms.clock.callLater(seconds, self._late)
        elif timer is not None:
            self._timer = None
            if timer.active():
                timer.cancel()

    def _late(self) -> None:
        which, words = ("idle", "Nothing more") if self.heard else ("head", "Nothing")
        seconds = self._timeouts.idle if self.heard else self._timeouts.head
        self.fail(
            DeadlinePassed(
                f"{words} came from {self._bounds.peer} about {self.outgoing.method} within {seconds:g} s", which
            ),
            "it took too long",
        )
