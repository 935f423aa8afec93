"""The publisher: who hears what, and when."""

from __future__ import annotations

from collections.abc import Callable
from threading import Thread, current_thread
from typing import Any

import attrs
import pytest
import pytest_twisted
from twisted.internet.defer import Deferred
from twisted.internet.threads import deferToThread
from twisted.python.failure import Failure

from mcpserve.protocol.notices import (
    PROMPTS_CHANGED,
    TOOLS_CHANGED,
    FilterKey,
    Notice,
    Topic,
    notice,
    resource_updated,
)
from mcpserve.server.publisher import A_TURN, Publisher

A, B = resource_updated("a:"), resource_updated("b:")
TASKS = FilterKey(name="taskIds", capability="extensions", flag="tasks", many=True)


@attrs.define(eq=False)
class Ear:
    """A listener that remembers what it heard."""

    heard: list[Notice] = attrs.Factory(list)

    def hear(self, notice: Notice) -> None:
        """See `Listener`."""
        self.heard.append(notice)


class Bench:
    """A publisher whose turns the test makes."""

    def __init__(self) -> None:
        self.asked: list[Callable[[], None]] = []
        self.publisher = Publisher(self.asked.append)

    def ear(self, *topics: Topic) -> Ear:
        """A listener of these topics."""
        ear = Ear()
        self.publisher.listen(ear, topics)
        return ear

    def turn(self) -> None:
        """Let the reactor turn."""
        asked = list(self.asked)
        self.asked.clear()
        for f in asked:
            f()


def test_who_hears_what() -> None:
    """Each hears of its own topics, in the order in which they were told."""
    bench = Bench()
    both, one, none = bench.ear(A.topic, B.topic), bench.ear(B.topic), bench.ear(TOOLS_CHANGED.topic)
    for told in (B, A):
        bench.publisher.publish(told)
    assert both.heard == [], "nobody hears anything while somebody speaks"
    bench.turn()
    assert (both.heard, one.heard, none.heard) == ([B, A], [B], [])


def test_the_same_within_a_turn() -> None:
    """It is told once; of what is said better by a later notice, the later one. The next turn begins anew."""
    bench = Bench()
    ear = bench.ear(A.topic, ("taskIds", "t"))
    tasks = [notice("notifications/tasks", TASKS, "t", {"n": n}) for n in range(3)]
    for told in (tasks[0], A, tasks[1], A, tasks[2]):
        bench.publisher.publish(told)
    assert len(bench.asked) == 1
    bench.turn()
    assert ear.heard == [tasks[2], A]
    bench.publisher.publish(A)
    bench.turn()
    assert ear.heard == [tasks[2], A, A]


def test_nobody_listens() -> None:
    """Then nothing is done at all: not even a turn of the reactor is asked for."""
    bench = Bench()
    bench.publisher.publish(A)
    bench.publisher.leave(bench.ear(A.topic), [A.topic])
    bench.publisher.publish(A)
    assert bench.asked == []


def test_who_leaves() -> None:
    """It hears no more, the others do, and nothing is kept of it; leaving twice is no harm."""
    bench = Bench()
    gone, there = bench.ear(A.topic, B.topic), bench.ear(A.topic)
    bench.publisher.publish(A)
    for _ in range(2):
        bench.publisher.leave(gone, [A.topic, B.topic])
    bench.turn()
    assert (gone.heard, there.heard) == ([], [A])
    bench.publisher.leave(there, [A.topic])
    assert bench.publisher.listened_to() == 0


def test_one_that_listens_twice() -> None:
    """It hears once."""
    bench = Bench()
    ear = bench.ear(A.topic, A.topic)
    bench.publisher.listen(ear, [A.topic])
    bench.publisher.publish(A)
    bench.turn()
    assert ear.heard == [A]


def test_one_that_fails(flush_logged_errors: Callable[..., list[Failure]]) -> None:
    """The log says so; neither the one who speaks nor the others notice."""

    class Broken(Ear):
        def hear(self, notice: Notice) -> None:
            raise RuntimeError("broken")

    bench = Bench()
    bench.publisher.listen(Broken(), [A.topic, TOOLS_CHANGED.topic])
    ear = bench.ear(A.topic)
    bench.publisher.publish(TOOLS_CHANGED)
    bench.publisher.publish(A)
    bench.turn()
    assert ear.heard == [A]
    assert len(flush_logged_errors(RuntimeError)) == 2


def test_what_is_told_while_others_hear() -> None:
    """It waits for the next turn, so that two who answer each other stop nobody."""
    bench = Bench()

    class Echo(Ear):
        def hear(self, notice: Notice) -> None:
            super().hear(notice)
            bench.publisher.publish(notice)

    echo = Echo()
    bench.publisher.listen(echo, [A.topic])
    bench.publisher.publish(A)
    for times in (1, 2, 3):
        bench.turn()
        assert len(echo.heard) == times


def test_one_that_leaves_while_others_hear() -> None:
    """A listener may leave, or let another leave, at any time."""
    bench = Bench()

    class Leaver(Ear):
        def hear(self, notice: Notice) -> None:
            super().hear(notice)
            bench.publisher.leave(self, [A.topic])

    leavers = [Leaver() for _ in range(3)]
    for leaver in leavers:
        bench.publisher.listen(leaver, [A.topic])
    bench.publisher.publish(A)
    bench.turn()
    assert [leaver.heard for leaver in leavers] == [[A]] * 3
    assert bench.publisher.listened_to() == 0


def test_many_listeners() -> None:
    """They hear over several turns, each notice in its order; what is told meanwhile comes after, and is not lost."""
    bench = Bench()
    ears = [bench.ear(A.topic, B.topic) for _ in range(A_TURN)]
    for told in (A, B):
        bench.publisher.publish(told)
    bench.turn()
    assert [len(ear.heard) for ear in ears] == [1] * A_TURN
    for told in (A, A):
        bench.publisher.publish(told)
    assert len(bench.asked) == 1
    bench.publisher.leave(ears[0], [A.topic, B.topic])
    for _ in range(4):
        bench.turn()
    assert bench.asked == []
    assert ears[0].heard == [A]
    assert all(ear.heard == [A, B, A] for ear in ears[1:])


def test_one_that_leaves_before_its_turn() -> None:
    """It does not hear what was told while it was there."""
    bench = Bench()
    ears = [bench.ear(A.topic) for _ in range(A_TURN + 2)]
    bench.publisher.publish(A)
    bench.turn()
    bench.publisher.leave(ears[-2], [A.topic])
    bench.turn()
    assert [len(ear.heard) for ear in ears[-3:]] == [1, 0, 1]
    assert bench.asked == []


@pytest.mark.parametrize("threads", [1, 8])
def test_from_threads(threads: int) -> None:
    """Whoever speaks in a thread is heard in the reactor's; however many speak, each topic is told once a turn."""
    bench = Bench()
    told = [resource_updated(f"x:{n}") for n in range(200)]
    topics = [PROMPTS_CHANGED.topic, *(one.topic for one in told)]
    ear = bench.ear(*topics)

    def speak() -> None:
        for one in told:
            bench.publisher.publish(one)
            bench.publisher.publish(PROMPTS_CHANGED)

    speakers = [Thread(target=speak) for _ in range(threads)]
    for speaker in speakers:
        speaker.start()
    for speaker in speakers:
        speaker.join()
    assert (ear.heard, len(bench.asked)) == ([], 1)
    bench.turn()
    assert sorted(map(str, topics)) == sorted(str(one.topic) for one in ear.heard)


@pytest_twisted.ensureDeferred
async def test_with_a_real_reactor(running_reactor: Any) -> None:
    """What is said in a thread is heard in the reactor's thread, which is woken for it."""
    heard: Deferred[Thread] = Deferred()

    class Waiting:
        def hear(self, notice: Notice) -> None:
            heard.callback(current_thread())

    publisher = Publisher(running_reactor.callFromThread)
    publisher.listen(Waiting(), [A.topic])
    await deferToThread(publisher.publish, A)
    assert await heard is current_thread()
