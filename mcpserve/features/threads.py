"""Where blocking tools run: a bounded pool of threads whose queue is bounded too.

Twisted's own pool queues without limit; a queue that only grows is an outage that has not been noticed yet. Here a call
that finds no place is answered at once.
"""

from __future__ import annotations

from collections.abc import Callable
from contextvars import copy_context
from typing import Any, Protocol

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorFromThreads
from twisted.internet.threads import deferToThreadPool
from twisted.python.failure import Failure
from twisted.python.threadpool import ThreadPool

from mcpserve.errors import ToolError


class Threads(Protocol):
    """What runs a blocking function elsewhere."""

    def run(self, f: Callable[[], Any]) -> Deferred[Any]:
        """Run `f()`.

        Fires: in the reactor's thread, with what `f` returned or raised.
        Cancel: fires at once; `f` runs to its end, and its result is discarded.
        Raises:
            ToolError: All threads are busy and the queue is full.
        """

    def call_in_reactor(self, f: Callable[..., object], *args: object) -> None:
        """Call `f(*args)` in the reactor's thread; may be called from any thread."""


class ToolThreads:
    """The pool named "tools".

    Args:
        reactor: Where results come back.
        size: Threads at the most.
        queue: Calls that may wait for a thread.
    """

    def __init__(self, reactor: IReactorFromThreads, size: int = 10, queue: int = 100) -> None:
        self._reactor = reactor
        self._places = size + queue
        self._taken = 0
        self.pool = ThreadPool(0, size, name="tools")

    def start(self) -> None:
        """Begin to take calls."""
        self.pool.start()

    def stop(self) -> None:
        """Wait for the running calls and end the threads."""
        self.pool.stop()

    def run(self, f: Callable[[], Any]) -> Deferred[Any]:
        """See `Threads.run`."""
        if self._taken >= self._places:
            raise ToolError("The server is busy: all its threads are taken and the queue is full. Try again later.")
        self._taken += 1
        ran = deferToThreadPool(self._reactor, self.pool, copy_context().run, f)
        ran.addBoth(self._left)
        answer: Deferred[Any] = Deferred()
        ran.addBoth(lambda result: None if answer.called else answer.callback(result))
        return answer

    def call_in_reactor(self, f: Callable[..., object], *args: object) -> None:
        """See `Threads.call_in_reactor`."""
        self._reactor.callFromThread(f, *args)

    def _left(self, result: Any | Failure) -> Any | Failure:
        self._taken -= 1
        return result
