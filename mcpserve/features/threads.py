"""Where blocking tools run: a bounded pool of threads whose queue is bounded too.

Twisted's own pool queues without limit; a queue that only grows is an outage that has not been noticed yet. Here a call
that finds no place is answered at once.
"""

from __future__ import annotations

from collections.abc import Callable
from contextvars import copy_context
from threading import Thread
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
        Cancel: fires at once. If `f` waits for a thread it is not run; if it runs, it does so to its end, and its
            result is discarded. Its place is free when it is over.
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
        self._stopped = False
        self.pool = ThreadPool(0, size, name="tools")
        # A tool that never comes back must not keep the process from ending.
        self.pool.threadFactory = _daemon  # type: ignore[assignment]

    @property
    def taken(self) -> int:
        """Calls that have a thread or wait for one."""
        return self._taken

    def start(self) -> None:
        """Begin to take calls."""
        self.pool.start()

    def stop(self) -> None:
        """End the threads; those that still work are left to end by themselves, or with the process."""
        self._stopped = True
        if self._taken:
            _daemon(target=self.pool.stop).start()
        else:
            self.pool.stop()

    def run(self, f: Callable[[], Any]) -> Deferred[Any]:
        """See `Threads.run`."""
        if self._taken >= self._places:
            raise ToolError("The server is busy: all its threads are taken and the queue is full. Try again later.")
        if self._stopped:
            raise ToolError("The server is shutting down")
        self._taken += 1
        answer: Deferred[Any] = Deferred()
        ran = deferToThreadPool(self._reactor, self.pool, copy_context().run, _work, f, answer)
        ran.addBoth(self._left, answer)
        return answer

    def call_in_reactor(self, f: Callable[..., object], *args: object) -> None:
        """See `Threads.call_in_reactor`."""
        self._reactor.callFromThread(f, *args)

    def _left(self, result: Any | Failure, answer: Deferred[Any]) -> None:
        self._taken -= 1
        if not answer.called:
            answer.callback(result)


def _work(f: Callable[[], Any], answer: Deferred[Any]) -> Any:
    if answer.called:  # cancelled while it waited for a thread
        return None
    result = f()
    if isinstance(result, Deferred):
        raise TypeError("a function that runs in a thread can't return a Deferred")
    return result


def _daemon(**options: Any) -> Thread:
    return Thread(daemon=True, **options)
