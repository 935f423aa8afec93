"""The thread of a file, with the real reactor."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from twisted.internet import reactor

from mcpserve.stores.thread import FileThread


async def test_one_after_the_other() -> None:
    """In one thread that is not the reactor's, in order; what fails does not stop what follows."""
    thread = FileThread(reactor)
    seen: list[tuple[int, Any]] = []

    def note(number: int) -> None:
        seen.append((number, threading.current_thread()))
        if number == 3:
            raise ValueError("three")

    done = [thread(lambda number=number: note(number)) for number in range(6)]  # type: ignore[misc]
    for number, one in enumerate(done):
        if number == 3:
            with pytest.raises(ValueError, match="three"):
                await one
        else:
            await one
    assert [number for number, _ in seen] == list(range(6))
    assert len({ran for _, ran in seen}) == 1
    assert seen[0][1] is not threading.current_thread()
    thread.stop()


async def test_a_thread_that_never_comes_back() -> None:
    """It does not hold up the end, and the process does not wait for it."""
    thread = FileThread(reactor)
    released, running = threading.Event(), threading.Event()
    names: list[bool] = []

    def hang() -> None:
        names.append(threading.current_thread().daemon)
        running.set()
        released.wait(10)

    hanging = thread(hang)
    assert running.wait(10)
    thread.stop()
    assert names == [True]
    released.set()
    await hanging


def test_a_thread_that_was_never_needed() -> None:
    """There is none, and it can be stopped."""
    before = threading.active_count()
    FileThread(reactor).stop()
    assert threading.active_count() == before
