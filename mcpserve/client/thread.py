"""The thread in which the reactor of plain scripts runs: one, a daemon, started when it is first needed.

a client is made        the thread runs from then on
Python ends             the clients that are open are closed, within a bound; then the thread ends
the process forks       the child has no such thread: clients of before say so, new ones start one of their own
"""

from __future__ import annotations

import asyncio
import atexit
import os
import sys
from collections.abc import Callable
from contextlib import suppress
from queue import Empty, SimpleQueue
from threading import Lock, Thread
from typing import Any, Protocol, TypeVar, cast

from twisted.internet.defer import Deferred, maybeDeferred
from twisted.python import threadable
from twisted.python.failure import Failure

from mcpserve.client.looping import LoopReactor
from mcpserve.errors import ClientClosed

T = TypeVar("T")

IN_REACTOR = (
    "The reactor runs in this thread, and would stand still while this waits: use mcpserve.client.Client in its"
    " coroutines, or call this in another thread, as with twisted.internet.threads.deferToThread"
)
LAST_WORDS = 5.0
"""Seconds for the last words of all clients together when Python ends, and for those of what Ctrl-C has cancelled."""

_GLANCE = 1.0
"""Seconds between two looks at whether the reactor still runs."""


class Closable(Protocol):
    """What is closed when Python ends."""

    async def close(self) -> None:
        """Leave nothing behind."""


class ReactorThread:
    """A thread with a reactor."""

    def __init__(self) -> None:
        self.open: set[Closable] = set()
        """What is to be closed before it ends."""
        self._loop = asyncio.SelectorEventLoop()
        self.reactor = LoopReactor(self._loop)
        self._thread = Thread(target=self._work, name="mcpserve.client", daemon=True)
        self._thread.start()

    @property
    def alive(self) -> bool:
        """Whether it runs; after a fork that is so in the parent only."""
        return self._thread.is_alive()

    def end(self) -> None:
        """Close what is open, and end."""
        closing: SimpleQueue[object] = SimpleQueue()

        async def close_all() -> None:
            for one in [Deferred.fromCoroutine(one.close()) for one in list(self.open)]:
                await one

        if self.alive:
            if self.open:
                self.reactor.callFromThread(lambda: maybeDeferred(close_all).addBoth(closing.put))
                with suppress(Empty):
                    closing.get(timeout=LAST_WORDS)
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join(LAST_WORDS)

    def _work(self) -> None:
        self._loop.run_forever()
        self._loop.close()


class _Own:
    """The one thread of this process."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._thread: ReactorThread | None = None
        self._parents: ReactorThread | None = None
        atexit.register(self._end)
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=self._forget)

    def __call__(self) -> ReactorThread:
        with self._lock:
            if self._thread is None:
                self._thread = ReactorThread()
            return self._thread

    def _end(self) -> None:
        if self._thread is not None:
            self._thread.end()

    def _forget(self) -> None:
        # What watches the sockets of the parent is shared with it, and must not be tidied up here: it is kept.
        self._parents = self._thread
        self._lock, self._thread = Lock(), None


own = _Own()
"""The thread of this process; started if it does not run yet."""


def wait(reactor: Any, alive: Callable[[], bool], function: Callable[[], Any]) -> Any:
    """Call a function of Twisted where its reactor runs, and wait in this thread for what comes of it.

    Args:
        reactor: Runs in another thread.
        alive: Whether it does.
        function: Gives a value, a Deferred or a coroutine.

    Raises:
        KeyboardInterrupt: As always. What the function began is cancelled, and waited for within a bound.
        ClientClosed: The reactor does not run.
        RuntimeError: A reactor runs in this thread.
        Exception: That of the function.
    """
    if _a_reactor_runs_here():
        raise RuntimeError(IN_REACTOR)
    outcome: SimpleQueue[Any] = SimpleQueue()
    ended: SimpleQueue[Any] = SimpleQueue()
    running: list[Deferred[Any]] = []

    def begin() -> None:
        running.append(maybeDeferred(function))
        running[0].addBoth(outcome.put)

    def cancel() -> None:
        for one in running:
            one.cancel()
            one.addBoth(ended.put)
        if not running:
            ended.put(None)

    over = False
    try:
        if alive():
            reactor.callFromThread(begin)
        result = _taken(outcome, alive)
        over = True
    finally:
        if not over and alive():
            reactor.callFromThread(cancel)
            with suppress(Empty):
                ended.get(timeout=LAST_WORDS)
    if isinstance(result, Failure):
        result.raiseException()
    return result


def _taken(outcome: SimpleQueue[T], alive: Callable[[], bool]) -> T:
    while alive():
        with suppress(Empty):
            return outcome.get(timeout=_GLANCE)
    raise ClientClosed("The reactor of this client does not run (any more): it ended, or is that of a parent process")


def _a_reactor_runs_here() -> bool:
    """Tell whether this is the thread of the installed reactor, and that runs."""
    installed = cast(Any, sys.modules.get("twisted.internet.reactor"))
    return installed is not None and installed.running and threadable.isInIOThread()
