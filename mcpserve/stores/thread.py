"""A thread of its own for a file that blocks."""

from __future__ import annotations

from collections.abc import Callable
from threading import Thread
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorFromThreads
from twisted.internet.threads import deferToThreadPool
from twisted.python.threadpool import ThreadPool


class FileThread:
    """One thread that does one thing after the other. Implements `stores.writing.Run`.

    Args:
        reactor: Where it says that something is done.
        name: Of the thread.
    """

    def __init__(self, reactor: IReactorFromThreads, name: str = "store") -> None:
        self._reactor = reactor
        self._pool = ThreadPool(0, 1, name=name)
        # A disk that never answers must not keep the process from ending.
        self._pool.threadFactory = _daemon  # type: ignore[assignment]
        self._doing = 0

    def __call__(self, f: Callable[[], None]) -> Deferred[None]:
        """See `Run`."""
        if not self._pool.started:
            self._pool.start()
        self._doing += 1
        return deferToThreadPool(self._reactor, self._pool, f).addBoth(self._did)

    def stop(self) -> None:
        """End the thread; if it is still at work it is left to end by itself, or with the process."""
        if self._doing:
            _daemon(target=self._pool.stop).start()
        elif self._pool.started:
            self._pool.stop()

    def _did(self, result: Any) -> Any:
        self._doing -= 1
        return result


def _daemon(**options: Any) -> Thread:
    return Thread(daemon=True, **options)
