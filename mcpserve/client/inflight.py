"""One request on its way, as its user sees it, and as the work behind it does."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Coroutine
from types import CoroutineType
from typing import Any, cast

from twisted.internet.defer import CancelledError, Deferred, ensureDeferred
from twisted.python.failure import Failure

from mcpserve.errors import AnswerTooLarge, ClientClosed
from mcpserve.protocol.jsonrpc import Notification, Response


class Work:
    """A coroutine that runs beside us, and can be cancelled from anywhere, even from what it calls itself."""

    __slots__ = ("_coroutine", "_done")

    def __init__(self, coroutine: Coroutine[Deferred[Any], Any, None]) -> None:
        # What an `async def` gives, which is all that there is here, can say whether it runs.
        self._coroutine = cast("CoroutineType[Any, Any, None]", coroutine)
        self._done = ensureDeferred(coroutine)

    def ended(self, told: Callable[[BaseException | None], object]) -> None:
        """Have `told` called when the work has ended: with what it raised, or None."""
        self._done.addCallbacks(lambda _: told(None), lambda failure: told(failure.value))

    def cancel(self) -> None:
        """Cancel what the work waits for.

        Work that is running at the moment waits for nothing that could be cancelled: it has to look for itself.
        """
        if not self._coroutine.cr_running:
            self._done.cancel()


class InFlight:
    """One request on its way to its response; see `mcpserve.client.conversation.Running`.

    The work behind it says what comes by `deliver`, and fails with what is to be raised.

    Args:
        buffer: Bytes that may wait from elsewhere than the request's own stream.
    """

    __slots__ = ("_buffer", "_error", "_held", "_queue", "_room", "_taker", "_work", "fresh", "over")

    def __init__(self, buffer: int) -> None:
        self.fresh = True
        """Nothing has come of it yet."""
        self.over = False
        """Nothing will come of it any more: its response came, or it failed, or was cancelled."""
        self._buffer = buffer
        self._queue: deque[tuple[Notification | Response, int]] = deque()
        self._held = 0
        self._taker: Deferred[Notification | Response] | None = None
        self._room: Deferred[None] | None = None
        self._error: BaseException | None = None
        self._work: Work | None = None

    # --- what its user does

    async def receive(self) -> Notification | Response:
        """Wait for the next message; see `Running.receive`."""
        if self._queue:
            message, size = self._queue.popleft()
            self._held -= size
            if self._room is not None and not self._queue:
                room, self._room = self._room, None
                room.callback(None)
            return message
        if self._error is not None:
            raise self._error
        if self.over:
            raise ClientClosed("The response was taken already")
        self._taker = Deferred(self._gave_up)
        return await self._taker

    def cancel(self, reason: str | None = None) -> None:
        """Nobody wants the response any more; see `Running.cancel`."""
        self.stop(CancelledError(), reason)

    # --- what the work does

    def start(self, coroutine: Coroutine[Deferred[Any], Any, None], ended: Callable[[], object]) -> None:
        """Begin the work. `ended` is called when it has ended, in whatever way."""

        def told(error: BaseException | None) -> None:
            self._work = None
            if not self.over:
                self._fail(error or RuntimeError("The work on a request ended without a response"))
            ended()

        self._work = work = Work(coroutine)
        work.ended(told)

    async def deliver(self, message: Notification | Response, size: int) -> None:
        """Hand on what came on the request's own stream, and wait until it was taken; not for a response.

        Raises:
            CancelledError: Nobody wants more.
        """
        self._add(message, size)
        if self._queue and not self.over:
            self._room = Deferred()
            await self._room
        self.check()

    def push(self, message: Notification | Response, size: int) -> None:
        """Hand on what came elsewhere, without waiting. Too much of it ends the request."""
        if self.over:
            return
        if self._held + size > self._buffer and self._taker is None:
            self.stop(AnswerTooLarge(f"More than {self._buffer} bytes wait for whoever reads them"), "too slow")
            return
        self._add(message, size)
        if isinstance(message, Response):
            self._end_work()

    def check(self) -> None:
        """Look whether anybody still wants the response.

        Raises:
            CancelledError: No.
        """
        if self._error is not None:
            raise CancelledError

    def stop(self, error: BaseException, reason: str | None = None) -> None:
        """End it before its response, with what `receive` is to raise. Does nothing when it is over."""
        if self.over:
            return
        self._queue.clear()
        self._held = 0
        self.over = True
        self.withdraw(reason)
        self._end_work()
        self._fail(error)

    def withdraw(self, reason: str | None) -> None:
        """Tell the server that nobody wants the response any more; where closing the connection does not do that."""

    def close(self) -> None:
        """The conversation is closed: end it, and also what is left to do after its response."""
        self.stop(ClientClosed("The client was closed"), "the client is closed")
        self._end_work()

    def _end_work(self) -> None:
        if self._work is not None:
            self._work.cancel()

    def _add(self, message: Notification | Response, size: int) -> None:
        if self.over:
            return
        self.fresh = False
        if isinstance(message, Response):
            self.over = True
        taker, self._taker = self._taker, None
        if taker is None:
            self._queue.append((message, size))
            self._held += size
        else:
            taker.callback(message)

    def _fail(self, error: BaseException) -> None:
        self.over = True
        self._error = error
        taker, self._taker = self._taker, None
        if taker is not None:
            taker.errback(Failure(error))

    def _gave_up(self, taker: Deferred[Notification | Response]) -> None:
        """Whoever waited was cancelled: the next message is for the next who asks."""
        self._taker = None
