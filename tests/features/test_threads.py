"""The bounded pool of threads, with real threads and the real reactor."""

from __future__ import annotations

import contextvars
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from twisted.internet.defer import CancelledError, Deferred

from mcpserve.errors import ToolError
from mcpserve.features.threads import ToolThreads


@pytest.fixture
def gate() -> Iterator[threading.Event]:
    """Holds the threads of a test until it is set; set in any case at the end."""
    event = threading.Event()
    yield event
    event.set()


@pytest.fixture
def threads(running_reactor: Any, gate: threading.Event) -> Iterator[ToolThreads]:
    """One thread, and place for one more call."""
    pool = ToolThreads(running_reactor, size=1, queue=1)
    pool.start()
    yield pool
    gate.set()
    pool.pool.stop()


async def test_it_runs_elsewhere(threads: ToolThreads) -> None:
    """In a thread of the pool "tools", which does not keep the process from ending; the answer comes back here."""
    thread = await threads.run(threading.current_thread)
    assert "tools" in thread.name
    assert thread.daemon
    assert threading.current_thread() is threading.main_thread()


async def test_it_fails_here(threads: ToolThreads) -> None:
    """What it raises is raised where it is awaited, also what is no Exception."""
    with pytest.raises(SystemExit):
        await threads.run(lambda: exec("raise SystemExit"))
    assert await threads.run(lambda: 1) == 1


async def test_it_sees_the_context(threads: ToolThreads) -> None:
    """Context variables are those of the call."""
    variable = contextvars.ContextVar("variable", default="unset")
    variable.set("set")
    assert await threads.run(variable.get) == "set"


async def test_a_full_queue_is_told_at_once(threads: ToolThreads, gate: threading.Event) -> None:
    """The third call finds no place; when the others are over there is place again."""
    first, second = threads.run(gate.wait), threads.run(gate.wait)
    with pytest.raises(ToolError, match="busy"):
        threads.run(gate.wait)
    gate.set()
    assert (await first, await second) == (True, True)
    assert await threads.run(lambda: 3) == 3


async def test_cancelling_answers_at_once(threads: ToolThreads, gate: threading.Event) -> None:
    """The thread goes on and keeps its place; its late result is discarded, and then the place is free."""
    running, waiting = threads.run(gate.wait), threads.run(lambda: None)
    running.cancel()
    with pytest.raises(CancelledError):
        await running
    with pytest.raises(ToolError):
        threads.run(gate.wait)
    gate.set()
    await waiting
    assert await threads.run(lambda: "after") == "after"


async def test_a_late_failure_is_discarded(threads: ToolThreads, gate: threading.Event) -> None:
    """Nobody is interested in it any more; the fixture fails this test if it is logged."""

    def late() -> None:
        gate.wait()
        raise ZeroDivisionError

    running, waiting = threads.run(late), threads.run(lambda: None)
    running.addErrback(lambda failure: failure.trap(CancelledError) and None)
    running.cancel()
    gate.set()
    await waiting


async def test_cancelled_before_a_thread_was_free(threads: ToolThreads, gate: threading.Event) -> None:
    """It is not run at all."""
    ran: list[str] = []
    running, waiting = threads.run(gate.wait), threads.run(lambda: ran.append("ran"))
    waiting.cancel()
    with pytest.raises(CancelledError):
        await waiting
    gate.set()
    await running
    await threads.run(lambda: None)
    assert ran == []


async def test_a_deferred_is_no_result(threads: ToolThreads) -> None:
    """It would fire in the wrong thread; the place is given back."""
    for _ in range(3):
        with pytest.raises(TypeError, match="Deferred"):
            await threads.run(Deferred)


async def test_stopping_does_not_wait_for_a_thread_that_hangs(running_reactor: Any, gate: threading.Event) -> None:
    """A tool that never comes back must not keep the server from ending."""
    threads = ToolThreads(running_reactor, size=1, queue=1)
    threads.start()
    entered = threading.Event()
    hanging = threads.run(lambda: (entered.set(), gate.wait()))
    entered.wait(5)
    threads.stop()
    assert not gate.is_set()
    with pytest.raises(ToolError, match="shutting down"):
        threads.run(lambda: None)
    gate.set()
    await hanging
    for thread in list(threads.pool.threads):
        thread.join(5)


async def test_a_word_from_a_thread(threads: ToolThreads) -> None:
    """It is said in the reactor's thread."""
    said: Deferred[threading.Thread] = Deferred()
    await threads.run(lambda: threads.call_in_reactor(lambda: said.callback(threading.current_thread())))
    assert await said is threading.main_thread()
