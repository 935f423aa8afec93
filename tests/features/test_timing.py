"""The timing wheel and what turns on it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from twisted.internet.defer import CancelledError, Deferred, succeed
from twisted.internet.task import Clock
from twisted.python.failure import Failure

from mcpserve.features.awaiting import READY
from mcpserve.features.timing import GRANULARITY, Repeating, Timer, TimingWheel

ROUNDING = 1e-7


class Wheel(RuleBasedStateMachine):
    """Adds, cancels and lets time pass, and compares with a list of times."""

    def __init__(self) -> None:
        super().__init__()
        self.clock = Clock()
        self.wheel = TimingWheel(self.clock)
        self.waiting: dict[int, tuple[float, Timer]] = {}
        self.number = 0

    def _fired(self, number: int) -> None:
        due, timer = self.waiting.pop(number)
        assert not timer.active()
        assert due - ROUNDING <= self.clock.seconds()

    @rule(delay=st.floats(0, 0.1) | st.sampled_from([0, GRANULARITY, 0.01, 1.0]))
    def add(self, delay: float) -> None:
        """Begin a timer."""
        self.number += 1
        due = self.clock.seconds() + delay
        self.waiting[self.number] = (due, self.wheel.call_later(delay, self._fired, self.number))

    @precondition(lambda self: self.waiting)
    @rule(data=st.data())
    def cancel(self, data: st.DataObject) -> None:
        """Cancel one of them, twice."""
        number = data.draw(st.sampled_from(sorted(self.waiting)))
        _, timer = self.waiting.pop(number)
        timer.cancel()
        timer.cancel()
        assert not timer.active()

    @rule(seconds=st.floats(0, 0.05))
    def advance(self, seconds: float) -> None:
        """Let time pass."""
        self.clock.advance(seconds)

    @invariant()
    def on_time(self) -> None:
        """Nothing fires early, nothing is later than promised, nothing is forgotten, nothing is left."""
        late = [due for due, _ in self.waiting.values() if due + GRANULARITY + ROUNDING < self.clock.seconds()]
        assert late == []
        assert len(self.wheel) == len(self.waiting)
        assert bool(self.clock.getDelayedCalls()) == bool(self.waiting)
        assert len(self.clock.getDelayedCalls()) <= len(self.waiting)


TestWheel = Wheel.TestCase
TestWheel.settings = settings(max_examples=50, stateful_step_count=30)


@pytest.fixture
def clock() -> Clock:
    """The time."""
    return Clock()


@pytest.fixture
def wheel(clock: Clock) -> TimingWheel:
    """A wheel on it."""
    return TimingWheel(clock)


def _never(error: BaseException) -> None:
    raise AssertionError(error)


def test_many_timers_share_a_delayed_call(clock: Clock, wheel: TimingWheel) -> None:
    """Thousands that are due within the same 5 ms are one entry in the reactor's heap."""
    seen: list[int] = []
    for number in range(1000):
        wheel.call_later(0.0951 + number * 1e-6, seen.append, number)
    assert len(clock.getDelayedCalls()) == 1
    clock.advance(0.1)
    assert seen == list(range(1000))


def test_a_slot_mate_may_be_cancelled_while_the_slot_fires(clock: Clock, wheel: TimingWheel) -> None:
    """It does not fire any more."""
    seen: list[str] = []
    wheel.call_later(1, lambda: second.cancel())
    second = wheel.call_later(1, seen.append, "second")
    wheel.call_later(1, seen.append, "third")
    clock.advance(1)
    assert seen == ["third"]
    assert clock.getDelayedCalls() == []


@pytest.mark.parametrize("error", [ZeroDivisionError, SystemExit, KeyboardInterrupt])
def test_one_that_fails_does_not_stop_the_others(
    error: type[BaseException], clock: Clock, wheel: TimingWheel, flush_logged_errors: Callable[..., list[Failure]]
) -> None:
    """Whatever is raised, it is logged, and the rest of the slot fires."""
    seen: list[int] = []

    def broken() -> None:
        raise error

    wheel.call_later(1, broken)
    wheel.call_later(1, seen.append, 1)
    clock.advance(1)
    assert seen == [1]
    assert len(flush_logged_errors(error)) == 1


def test_a_timer_added_while_its_slot_fires(clock: Clock, wheel: TimingWheel) -> None:
    """It waits for its own delayed call, so that the reactor turns in between."""
    seen: list[float] = []

    def again() -> None:
        seen.append(clock.seconds())
        if len(seen) == 1:
            wheel.call_later(0, again)
            assert len(clock.getDelayedCalls()) == 1

    wheel.call_later(1, again)
    clock.advance(1)
    assert seen == [1, 1]


# --- repetitions


def test_the_rhythm(clock: Clock, wheel: TimingWheel) -> None:
    """One interval from the start, then one after the other, without drift."""
    seen: list[float] = []
    repeating = Repeating(wheel, 0.375, lambda: seen.append(clock.seconds()), _never).start()
    clock.pump([0.125] * 100)
    assert seen == [0.375 * n for n in range(1, 34)]
    repeating.stop()
    assert clock.getDelayedCalls() == []


def test_at_once(clock: Clock, wheel: TimingWheel) -> None:
    """`now` begins at once, and stop ends it for good."""
    seen: list[float] = []
    repeating = Repeating(wheel, 1, lambda: seen.append(clock.seconds()), _never).start(now=True)
    assert seen == [0]
    clock.advance(1)
    assert seen == [0, 1]
    repeating.stop()
    repeating.stop()
    clock.advance(5)
    assert seen == [0, 1]
    assert not repeating.running


def test_what_was_missed_is_skipped(clock: Clock, wheel: TimingWheel) -> None:
    """After a long pause there is one call, and the rhythm is the old one."""
    seen: list[float] = []
    repeating = Repeating(wheel, 1, lambda: seen.append(clock.seconds()), _never).start()
    clock.advance(10.4)
    assert seen == [10.4]
    clock.advance(0.6)
    assert seen == [10.4, 11.0]
    repeating.stop()


@pytest.mark.parametrize("interval", [0, -1, float("nan"), float("inf")])
def test_intervals_that_are_none(interval: float, wheel: TimingWheel) -> None:
    """An interval is more than zero and finite."""
    with pytest.raises(ValueError, match="an interval is"):
        Repeating(wheel, interval, lambda: None, _never)


@given(st.floats(min_value=1e-320, max_value=GRANULARITY))
def test_the_shortest_interval(interval: float) -> None:
    """It can't be used to keep the reactor from turning: what is shorter than the granularity counts as that."""
    clock = Clock()
    seen: list[float] = []
    repeating = Repeating(TimingWheel(clock), interval, lambda: seen.append(clock.seconds()), _never).start()
    clock.pump([GRANULARITY / 2] * 20)
    assert 9 <= len(seen) <= 10
    assert repeating.interval == GRANULARITY
    repeating.stop()


def test_it_waits_for_a_deferred(clock: Clock, wheel: TimingWheel) -> None:
    """The next call comes in the rhythm, but not before the last one has ended."""
    calls: list[Deferred[None]] = []

    def f() -> Deferred[None]:
        calls.append(Deferred())
        return calls[-1]

    repeating = Repeating(wheel, 1, f, _never).start()
    clock.advance(1)
    clock.advance(5)
    assert len(calls) == 1
    assert clock.getDelayedCalls() == []
    calls[0].callback(None)
    clock.advance(1)
    assert len(calls) == 2
    calls[1].callback(None)
    repeating.stop()


def test_it_waits_for_a_coroutine(clock: Clock, wheel: TimingWheel) -> None:
    """A coroutine is run, and cancelled by stop: its `finally` blocks run at once."""
    seen: list[str] = []

    async def f() -> None:
        seen.append("began")
        try:
            await Deferred()
        finally:
            seen.append("ended")

    repeating = Repeating(wheel, 1, f, _never).start(now=True)
    assert seen == ["began"]
    repeating.stop()
    assert seen == ["began", "ended"]


@pytest.mark.parametrize("result", [None, 0, "text", READY, succeed(None)])
def test_what_is_ready_is_not_waited_for(result: Any, clock: Clock, wheel: TimingWheel) -> None:
    """Any value may be returned; what `progress` returns costs no coroutine."""
    repeating = Repeating(wheel, 1, lambda: result, _never).start(now=True)
    assert len(wheel) == 1
    repeating.stop()


@pytest.mark.parametrize("error", [ZeroDivisionError, SystemExit])
@pytest.mark.parametrize("late", [False, True])
def test_a_failure_ends_it(error: type[BaseException], late: bool, clock: Clock, wheel: TimingWheel) -> None:
    """Whether it is raised at once or by a Deferred: it is told once, and nothing is left."""
    told: list[BaseException] = []
    waiting: Deferred[None] = Deferred()

    def f() -> Deferred[None]:
        if late:
            return waiting
        raise error

    repeating = Repeating(wheel, 1, f, told.append).start(now=True)
    waiting.errback(Failure(error()))
    waiting.addErrback(lambda failure: None)
    assert [type(one) for one in told] == [error]
    assert not repeating.running
    assert clock.getDelayedCalls() == []


def test_it_may_stop_itself(clock: Clock, wheel: TimingWheel) -> None:
    """From within its own call, also from the first."""
    seen: list[int] = []

    def f() -> None:
        seen.append(1)
        repeating.stop()

    repeating = Repeating(wheel, 1, f, _never)
    repeating.start(now=True)
    clock.advance(5)
    repeating.start()
    clock.advance(5)
    assert seen == [1, 1]
    assert clock.getDelayedCalls() == []


@pytest.mark.parametrize("kind", ["deferred", "coroutine"])
def test_stopping_itself_with_something_to_wait_for(kind: str, wheel: TimingWheel) -> None:
    """What it returns after it stopped itself is cancelled: nobody waits for it."""
    ends: list[str] = []

    def f() -> Any:
        repeating.stop()
        if kind == "deferred":
            return Deferred(lambda _: ends.append("cancelled"))
        return late()

    async def late() -> None:
        try:
            await Deferred()
        except CancelledError:
            ends.append("cancelled")

    repeating = Repeating(wheel, 1, f, _never)
    repeating.start(now=True)
    assert ends == ["cancelled"]
    assert len(wheel) == 0


def test_a_failure_after_the_stop_is_logged(
    wheel: TimingWheel, flush_logged_errors: Callable[..., list[Failure]]
) -> None:
    """The repetition is over and tells nobody; but a broken cleanup must not go unseen."""

    async def f() -> None:
        try:
            await Deferred()
        finally:
            raise ZeroDivisionError

    Repeating(wheel, 1, f, _never).start(now=True).stop()
    assert len(flush_logged_errors(ZeroDivisionError)) == 1


def test_a_canceller_that_raises(wheel: TimingWheel, flush_logged_errors: Callable[..., list[Failure]]) -> None:
    """It does not come out of stop, which has others to stop."""

    def canceller(_: Deferred[None]) -> None:
        raise ZeroDivisionError

    Repeating(wheel, 1, lambda: Deferred(canceller), _never).start(now=True).stop()
    assert len(flush_logged_errors(ZeroDivisionError)) == 1
