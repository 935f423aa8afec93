"""A reactor for an asyncio loop that others run: not installed, and without descriptors and threads that stay."""

from __future__ import annotations

from asyncio import AbstractEventLoop
from collections import deque
from collections.abc import Callable
from functools import partial
from threading import Lock, Thread
from typing import Any

from twisted.internet.asyncioreactor import AsyncioSelectorReactor
from twisted.python.failure import Failure

OnResult = Callable[[bool, Any], object]

_ASKING = 8
"""How many names are looked up at once."""


class LoopReactor(AsyncioSelectorReactor):
    """A reactor on a loop; there may be many, on as many loops. It runs while its loop does.

    Args:
        loop: The loop. Its selector is what watches sockets.

    Raises:
        TypeError: On Windows, that is another loop than a selector's: make it with `asyncio.SelectorEventLoop`.
    """

    # Which thread is that of the reactor is asked of the one that is installed, and this one is not.
    _registerAsIOThread = False

    def __init__(self, loop: AbstractEventLoop) -> None:
        super().__init__(loop)
        self._loop = loop
        self._threads = DaemonThreads(_ASKING)
        self.startRunning(installSignalHandlers=False)

    def callFromThread(self, callable: Callable[..., Any], *args: Any, **kwargs: Any) -> None:  # type: ignore[override]
        """Call a function in the thread of the loop, soon; may be called in any thread."""
        self._loop.call_soon_threadsafe(partial(callable, *args, **kwargs))

    def installWaker(self) -> None:
        """Not needed: `callFromThread` wakes the loop up."""

    def getThreadPool(self) -> Any:
        """Where names are looked up."""
        return self._threads


class DaemonThreads:
    """Calls functions in threads that keep no process alive; what `twisted.internet.threads` needs of a pool.

    Threads end when nothing is left to call, so there is nothing to stop.

    Args:
        most: How many there are at once; what comes on top waits.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._lock = Lock()
        self._threads = 0
        self._waiting: deque[Callable[[], object]] = deque()

    def __len__(self) -> int:
        """How many calls have not begun."""
        return len(self._waiting)

    def callInThreadWithCallback(
        self, on_result: OnResult | None, function: Callable[..., Any], *args: Any, **named: Any
    ) -> None:
        """Call a function, then in the same thread `on_result` with True and its value, or False and its failure."""

        def call() -> None:
            try:
                succeeded, result = True, function(*args, **named)
            except BaseException:  # that it wants to exit is for the one who waits, too
                succeeded, result = False, Failure()
            if on_result is not None:
                on_result(succeeded, result)

        with self._lock:
            self._waiting.append(call)
            if self._threads == self._most:
                return
            self._threads += 1
        Thread(target=self._work, name="mcpserve", daemon=True).start()

    def _work(self) -> None:
        while True:
            with self._lock:
                if not self._waiting:
                    self._threads -= 1
                    return
                call = self._waiting.popleft()
            call()
