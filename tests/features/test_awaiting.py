"""What authors may return or await."""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import Any

import pytest
from twisted.internet.defer import Deferred, succeed
from twisted.python.failure import Failure

from mcpserve.features.awaiting import READY, abandon, cancel, deferred, is_awaitable


class Odd:
    """An awaitable that is neither Deferred nor coroutine."""

    def __await__(self) -> Generator[Any, Any, str]:
        yield from succeed(None)
        return "odd"


async def _coroutine() -> str:
    await READY
    return "coroutine"


def test_what_has_to_be_waited_for() -> None:
    """Deferreds, coroutines, and what has `__await__`; and nothing else."""
    unstarted = _coroutine()
    assert all(map(is_awaitable, [Deferred(), unstarted, Odd(), READY]))
    assert not any(map(is_awaitable, [None, 0, "text", [], _coroutine, Odd]))
    unstarted.close()


@pytest.mark.parametrize(
    ("make", "result"), [(lambda: succeed(1), 1), (_coroutine, "coroutine"), (Odd, "odd"), (lambda: READY, None)]
)
def test_all_become_deferreds(make: Callable[[], Any], result: Any) -> None:
    """Each fires with what awaiting it gives."""
    seen: list[Any] = []
    deferred(make()).addCallback(seen.append)
    assert seen == [result]


def test_a_cancelled_one_is_quiet() -> None:
    """That it was cancelled is no news to anybody; the fixture fails this test if it is logged."""
    cancel(Deferred())
    cancel(succeed(None))


@pytest.mark.parametrize("where", ["canceller", "errback"])
def test_another_failure_is_heard_of(where: str, flush_logged_errors: Callable[..., list[Failure]]) -> None:
    """A cleanup that fails is logged; it does not come out of `cancel`."""

    def fail(_: object) -> None:
        raise ZeroDivisionError

    waiting: Deferred[None] = Deferred(fail if where == "canceller" else None)
    if where == "errback":
        waiting.addErrback(fail)
    cancel(waiting)
    assert waiting.called
    del waiting
    assert len(flush_logged_errors(ZeroDivisionError)) == 1


def test_what_is_abandoned_never_begins() -> None:
    """A coroutine is closed without a warning, a Deferred is cancelled."""
    told: list[str] = []
    abandon(_coroutine())
    abandon(Deferred(lambda _: told.append("cancelled")))
    abandon(READY)
    assert told == ["cancelled"]
