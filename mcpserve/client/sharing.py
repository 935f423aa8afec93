"""One piece of work, and several who wait for it."""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any, Generic, TypeVar

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

T = TypeVar("T")


class Shared(Generic[T]):
    """Work that begins at once, and is cancelled when the last who waits for it has given up.

    Args:
        work: The work.
    """

    def __init__(self, work: Coroutine[Any, Any, T]) -> None:
        self._waiting: list[Deferred[T]] = []
        self._outcome: T | Failure | None = None
        self.done = False
        """True when its outcome is known, or nobody wants it any more."""
        self._work = Deferred.fromCoroutine(work)
        self._work.addBoth(self._ended)

    def wait(self) -> Deferred[T]:
        """Fires with the outcome. Cancel: Gives up."""
        waiter: Deferred[T] = Deferred(self._gave_up)
        if self.done:
            waiter.callback(self._outcome)  # type: ignore[arg-type]
        else:
            self._waiting.append(waiter)
        return waiter

    def _ended(self, outcome: T | Failure) -> None:
        self.done, self._outcome = True, outcome
        waiting, self._waiting = self._waiting, []
        for waiter in waiting:
            waiter.callback(outcome)

    def _gave_up(self, waiter: Deferred[T]) -> None:
        if waiter in self._waiting:
            self._waiting.remove(waiter)
            if not self._waiting:
                self.done = True
                self._work.cancel()
