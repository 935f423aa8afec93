"""What authors may return or await: Deferreds, coroutines, and what is ready at once."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Generator
from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.python.failure import Failure


class _Ready:
    """An awaitable that is always ready, so that `await call.progress(...)` costs nothing while the reader keeps up."""

    __slots__ = ()

    def __await__(self) -> Generator[Any, None, None]:
        return
        yield


READY = _Ready()


def is_awaitable(value: object) -> bool:
    """Tell whether a value has to be waited for: a Deferred, a coroutine, or anything else with `__await__`."""
    return hasattr(type(value), "__await__")


def deferred(value: Any) -> Deferred[Any]:
    """The Deferred of an awaitable. A coroutine begins to run."""
    if isinstance(value, Deferred):
        return value
    return Deferred.fromCoroutine(value if inspect.iscoroutine(value) else _awaited(value))


def cancel(waiting: Deferred[Any]) -> None:
    """Cancel a Deferred that nobody looks at any more: that it was cancelled is no news, any other failure is.

    The author's own canceller may raise. That must not keep the caller from going on; it ends up in the Deferred.
    """
    waiting.addErrback(_expected)
    try:
        waiting.cancel()
    except BaseException:
        if not waiting.called:
            waiting.errback(Failure())


def abandon(value: Any) -> None:
    """Drop an awaitable that was not begun to wait for."""
    if inspect.iscoroutine(value):
        value.close()
    elif isinstance(value, Deferred):
        cancel(value)


def _expected(failure: Failure) -> None:
    failure.trap(CancelledError)


async def _awaited(awaitable: Awaitable[object]) -> object:
    return await awaitable
