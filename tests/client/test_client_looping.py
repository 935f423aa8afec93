"""The reactor on a loop that others run."""

from __future__ import annotations

import asyncio
import gc
import os
import threading
from typing import Any

import pytest
from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.threads import deferToThreadPool
from twisted.python import threadable
from twisted.python.failure import Failure

from mcpserve.client.looping import DaemonThreads, LoopReactor


def test_it_runs_with_its_loop() -> None:
    """Calls come in time, from this thread and from others; it has no descriptor, and is not the reactor of anybody."""

    async def main() -> list[str]:
        before = len(os.listdir("/proc/self/fd")), threadable.ioThread
        reactor = LoopReactor(asyncio.get_running_loop())
        assert (len(os.listdir("/proc/self/fd")), threadable.ioThread) == before
        assert reactor.running
        heard: list[str] = []
        done = asyncio.Event()
        reactor.callLater(0.02, done.set)
        reactor.callLater(0.01, heard.append, "later")
        threading.Thread(target=lambda: reactor.callFromThread(heard.append, "thread")).start()
        await asyncio.wait_for(done.wait(), 5)
        assert reactor.getDelayedCalls() == []
        return heard

    assert asyncio.run(main()) == ["thread", "later"]


def test_names_are_looked_up() -> None:
    """In threads that keep no process alive."""

    class Receiver:
        """Takes what is found."""

        def __init__(self) -> None:
            self.found: list[Any] = []
            self.over = asyncio.Event()

        def resolutionBegan(self, resolution: object) -> None:
            """It begins."""

        def addressResolved(self, address: Any) -> None:
            """One is found."""
            self.found.append(address.host)

        def resolutionComplete(self) -> None:
            """There are no more."""
            self.over.set()

    async def main() -> list[str]:
        receiver = Receiver()
        LoopReactor(asyncio.get_running_loop()).nameResolver.resolveHostName(receiver, "localhost", 80)
        await asyncio.wait_for(receiver.over.wait(), 5)
        return receiver.found

    assert {"127.0.0.1", "::1"} & set(asyncio.run(main()))


async def test_threads_are_few(running_reactor: Any) -> None:
    """No more than there may be are at work at once, all that waits is called in order, and then they end."""
    threads: Any = DaemonThreads(2)
    gate, most, called = threading.Event(), [0], []

    def work(number: int) -> int:
        called.append(number)
        most[0] = max(most[0], sum(thread.name == "mcpserve" for thread in threading.enumerate()))
        assert threading.current_thread().daemon
        gate.wait(5)
        return number

    results: list[Deferred[int]] = [deferToThreadPool(running_reactor, threads, work, n) for n in range(5)]
    assert len(threads) >= 3
    gate.set()
    assert await gatherResults(results) == [0, 1, 2, 3, 4]
    assert most == [2]
    assert called[2:] == [2, 3, 4]
    assert len(threads) == 0
    deferred = deferToThreadPool(running_reactor, threads, work, 5)
    assert await deferred == 5


@pytest.mark.parametrize("wrong", [ValueError, SystemExit])
async def test_what_fails_in_a_thread(running_reactor: Any, wrong: type[BaseException]) -> None:
    """Is told to the one who waits, also that the program is to end; the thread goes on."""
    threads: Any = DaemonThreads(1)

    def fail() -> None:
        raise wrong("no")

    told: list[Failure] = []
    await deferToThreadPool(running_reactor, threads, fail).addErrback(told.append)
    assert told[0].check(wrong)
    told.clear()
    gc.collect()
    assert await deferToThreadPool(running_reactor, threads, lambda: 1) == 1
