"""What a tool can say and own while it runs, through the bench that plugin authors use."""

from __future__ import annotations

import math
import weakref
from collections.abc import Awaitable, Callable
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.defer import CancelledError, Deferred
from twisted.python.failure import Failure

from mcpserve import Call, Stream, ToolError, tool
from mcpserve.features.thread_call import ThreadCall
from mcpserve.protocol.types import LOG_LEVELS
from mcpserve.testing import Progress, ToolCall, ToolRunner
from tests.held import hold


def values(call: ToolCall) -> list[float]:
    """The numbers of the progress so far."""
    return [said.value for said in call.progress]


def _break() -> None:
    raise ZeroDivisionError


# --- progress


def test_progress_goes_out_as_it_is_said() -> None:
    """Value, total and message."""
    held = hold()
    held.stream.progress(0)
    held.stream.progress(1.5, 3)
    held.stream.progress(2, 3, "two")
    assert held.call.progress == [Progress(0, None, None), Progress(1.5, 3, None), Progress(2, 3, "two")]


def test_no_token_no_progress() -> None:
    """A client that did not ask for progress gets none."""
    held = hold(progress_token=None)
    held.stream.progress(1, 2, "m")
    assert held.call.progress == []
    assert not held.call.done


@given(st.lists(st.tuples(st.integers(-3, 3) | st.floats(-1e9, 1e9) | st.booleans(), st.none() | st.text("ab"))))
def test_progress_only_increases(said: list[tuple[float, str | None]]) -> None:
    """Each value is greater than the last; no message is left out, and no number that was greater by itself."""
    held = hold()
    most, expected = -math.inf, 0
    for value, message in said:
        if message is not None or value > most:
            expected += 1
        held.stream.progress(value, message=message)
        most = values(held.call)[-1] if held.call.progress else most
    seen = values(held.call)
    assert len(seen) == expected
    assert all(a < b for a, b in pairwise(seen))
    assert [p.message for p in held.call.progress if p.message] == [m for _, m in said if m]


def test_a_message_that_comes_with_an_old_number() -> None:
    """It goes out with the least number above the last."""
    held = hold()
    held.stream.progress(5, 10, "a")
    held.stream.progress(5, 10, "b")
    held.stream.progress(1, 10)
    assert held.call.progress[1:] == [Progress(math.nextafter(5, 6), 10, "b")]


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf, 1.7e308, 10**400, -(10**400)])
@pytest.mark.parametrize("token", [None, "t"])
def test_numbers_that_are_none(number: float, token: str | None) -> None:
    """They are refused where they are said, whether or not this client wants progress."""
    held = hold(progress_token=token)
    with pytest.raises(ValueError, match="finite"):
        held.stream.progress(number)
    with pytest.raises(ValueError, match="finite"):
        held.stream.progress(1, number)
    held.stream.progress(1)
    assert values(held.call) == ([] if token is None else [1])


@pytest.mark.parametrize(
    ("number", "sent"), [(True, 1), (2**64, 2.0**64), (-(2**70), -(2.0**70)), (2**53 + 1, 2**53 + 1)]
)
def test_numbers_of_other_kinds(number: float, sent: float) -> None:
    """A boolean is written as a number, and an integer that is too long for JSON's readers as a double."""
    held = hold()
    held.stream.progress(number, number)
    assert held.call.progress == [Progress(sent, sent, None)]
    assert type(held.call.progress[0].value) in (int, float)


def test_the_greatest_number_has_a_next_one() -> None:
    """A message can always follow."""
    held = hold()
    held.stream.progress(9.9e307, message="a")
    held.stream.progress(9.9e307, message="b")
    assert values(held.call)[0] < values(held.call)[1] < math.inf


def test_a_message_that_is_not_unicode_leaves_no_trace() -> None:
    """It raises in the tool, and the number that came with it is still free."""
    held = hold()
    with pytest.raises(TypeError):
        held.stream.progress(1, message="\ud800")
    held.stream.progress(1, message="a")
    assert values(held.call) == [1]


@pytest.mark.parametrize("end", ["finish", "drop", "cancel"])
def test_nothing_is_said_after_the_end(end: str) -> None:
    """Neither progress nor logs, and nothing raises: a tick more or less is no fault."""
    held = hold()
    held.stream.progress(1)
    held.stream.finish("x") if end == "finish" else getattr(held.call, end)()
    assert held.stream.closed
    held.stream.progress(2)
    held.stream.log("error", "late")
    held.stream.write("late")
    held.stream.finish("again")
    held.stream.fail(ToolError("again"))
    assert (values(held.call), held.call.logs) == ([1], [])


# --- logs


@pytest.mark.parametrize("wanted", [None, *LOG_LEVELS])
def test_log_levels(wanted: Any) -> None:
    """A message goes out if the client asked for its level or a less severe one; without a level none does."""
    held = hold(log_level=wanted)
    for level in LOG_LEVELS:
        held.stream.log(level, {"n": 1}, "logger")
    expected = [] if wanted is None else list(LOG_LEVELS[LOG_LEVELS.index(wanted) :])
    assert [entry.level for entry in held.call.logs] == expected
    assert all((entry.data, entry.logger) == ({"n": 1}, "logger") for entry in held.call.logs)


@pytest.mark.parametrize("wanted", [None, "error"])
def test_an_unknown_level(wanted: Any) -> None:
    """It is the author's mistake, and raises even if nothing would be sent."""
    with pytest.raises(ValueError):
        hold(log_level=wanted).stream.log("warn", 1)  # type: ignore[arg-type]


def test_log_data_without_a_form_in_json() -> None:
    """Raises where it is said."""
    with pytest.raises(TypeError):
        hold().stream.log("error", object())


# --- the reader


def test_waiting_for_the_reader() -> None:
    """While the reader is behind, what progress and log return is not ready; it is when the reader caught up."""
    held = hold()
    ready: list[str] = []

    async def say(name: str, what: Awaitable[None]) -> None:
        await what
        ready.append(name)

    Deferred.fromCoroutine(say("first", held.stream.progress(1)))
    held.call.stall()
    for name, what in (("second", held.stream.progress(2)), ("third", held.stream.log("info", 1))):
        Deferred.fromCoroutine(say(name, what))
    assert held.stream.paused
    assert ready == ["first"]
    held.call.resume()
    assert not held.stream.paused
    assert ready == ["first", "second", "third"]


def test_whoever_goes_on_may_end_the_call() -> None:
    """The others that waited are cancelled then, and not told to go on as well."""
    held = hold()
    held.call.stall()
    seen: list[object] = []
    for number in (1, 2):
        waiting = held.stream.progress(number)
        assert isinstance(waiting, Deferred)
        waiting.addCallbacks(lambda _: held.stream.finish("x"), lambda failure: seen.append(failure.type))
    held.call.resume()
    assert seen == [CancelledError]
    assert held.runner.leftovers() == []


def test_a_wait_for_the_reader_can_be_cancelled() -> None:
    """It is forgotten, and resuming does not fire it."""
    held = hold()
    held.call.stall()
    waiting = held.stream.progress(1)
    assert isinstance(waiting, Deferred)
    waiting.addErrback(lambda failure: failure.trap(CancelledError) and None)
    waiting.cancel()
    held.call.resume()


# --- time


def test_sleep() -> None:
    """Fires after that time, and leaves nothing."""
    held = hold()
    seen: list[float] = []
    held.stream.sleep(1).addCallback(lambda _: seen.append(held.runner.clock.seconds()))
    held.runner.clock.pump([0.5] * 4)
    assert seen == [1.0]
    held.call.drop()
    assert held.runner.leftovers() == []


def test_a_cancelled_sleep() -> None:
    """Its timer is gone at once."""
    held = hold()
    sleeping = held.stream.sleep(1)
    sleeping.addErrback(lambda failure: failure.trap(CancelledError) and None)
    sleeping.cancel()
    assert held.runner.clock.getDelayedCalls() == []
    held.call.drop()


@pytest.mark.parametrize("end", ["finish", "drop"])
def test_whoever_sleeps_when_the_call_ends(end: str) -> None:
    """Is cancelled, so that nobody waits for ever and `finally` blocks run, also in coroutines of the author's own."""
    held = hold()
    seen: list[str] = []

    async def own() -> None:
        try:
            await held.stream.sleep(5)
        finally:
            seen.append("finally")

    Deferred.fromCoroutine(own()).addErrback(lambda failure: failure.trap(CancelledError) and None)
    held.stream.finish("x") if end == "finish" else held.call.drop()
    assert seen == ["finally"]
    assert held.runner.leftovers() == []


def test_sleeping_after_the_end() -> None:
    """Is cancelled at once, and leaves no timer."""
    held = hold()
    held.call.drop()
    seen: list[Any] = []
    held.stream.sleep(5).addErrback(lambda failure: seen.append(failure.type))
    assert seen == [CancelledError]
    assert held.runner.leftovers() == []


def test_a_loop_that_catches_everything_ends() -> None:
    """It would spin for ever if each sleep after the end were cancelled at once."""
    turns = 0

    @tool
    async def stubborn(call: Call) -> None:
        """Never give up."""
        nonlocal turns
        while True:
            turns += 1
            try:
                await call.sleep(1)
            except Exception:
                continue

    runner = ToolRunner(stubborn)
    runner.call("stubborn").drop()
    assert 1 < turns < 1000
    assert runner.leftovers() == []


def test_call_later() -> None:
    """Is called once with its arguments, unless it was cancelled."""
    held = hold()
    seen: list[object] = []
    timer = held.stream.call_later(1, seen.append, "a")
    other = held.stream.call_later(1, seen.append, "b")
    assert timer.active()
    other.cancel()
    held.runner.clock.pump([1.0] * 3)
    assert seen == ["a"]
    assert not timer.active()
    assert not other.active()


@pytest.mark.parametrize("begin", ["call_later", "every"])
def test_what_a_timer_raises_fails_the_call(begin: str) -> None:
    """A ToolError's text reaches the model; the call is over, and nothing is left of it."""
    held = hold()

    def fail() -> None:
        raise ToolError("No more.")

    getattr(held.stream, begin)(1, fail)
    held.runner.clock.advance(1)
    assert held.call.result.is_error
    assert held.call.text == "No more."
    assert held.runner.leftovers() == []


@pytest.mark.parametrize("end", ["finish", "fail", "drop", "cancel", "shut_down"])
def test_timers_end_with_the_call(end: str) -> None:
    """However it ends, in the same turn; those that are begun later never run."""
    held = hold()
    seen: list[str] = []
    held.stream.every(1, lambda: seen.append("every"))
    held.stream.call_later(1, seen.append, "later")
    if end == "shut_down":
        held.runner.shut_down()
    elif end == "finish":
        held.stream.finish(None)
    elif end == "fail":
        held.stream.fail(ToolError("x"))
    else:
        getattr(held.call, end)()
    assert held.runner.leftovers() == []
    repeating = held.stream.every(1, lambda: seen.append("every"), now=True)
    timer = held.stream.call_later(0, seen.append, "later")
    assert not repeating.running
    assert not timer.active()
    assert held.runner.leftovers() == []
    repeating.stop()
    timer.cancel()
    held.runner.clock.advance(10)
    assert seen == []


def test_finishing_in_the_first_tick() -> None:
    """`now=True`, and the tick that ends the call is the one within `every`."""

    @tool
    def one(stream: Stream) -> None:
        """One tick."""
        repeating = stream.every(1, lambda: stream.finish("done"), now=True)
        assert not repeating.running

    runner = ToolRunner(one)
    assert runner.call("one").text == "done"
    assert runner.leftovers() == []


def test_a_tick_that_waits_for_the_reader() -> None:
    """`every` with progress: a reader that is behind is not told more, and the rhythm goes on when it caught up."""
    held = hold()
    sent = iter(range(100))
    held.stream.every(1, lambda: held.stream.progress(next(sent)))
    held.runner.clock.advance(1)
    held.call.stall()
    held.runner.clock.pump([1.0] * 10)
    assert held.runner.clock.getDelayedCalls() == []
    held.call.resume()
    assert values(held.call) == [0, 1]
    held.runner.clock.advance(1)
    assert values(held.call) == [0, 1, 2]
    held.call.drop()
    assert held.runner.leftovers() == []


# --- cancellation


@pytest.mark.parametrize("end", ["drop", "cancel", "shut_down"])
def test_on_cancel(end: str) -> None:
    """Each is called once, in order, when the timers have stopped already."""
    held = hold()
    seen: list[object] = []
    held.stream.every(1, lambda: None)
    held.stream.on_cancel(lambda: seen.append(held.runner.clock.getDelayedCalls()))
    held.stream.on_cancel(lambda: seen.append("second"))
    held.runner.shut_down() if end == "shut_down" else getattr(held.call, end)()
    held.call.drop()
    held.runner.shut_down()
    assert seen == [[], "second"]


@pytest.mark.parametrize("end", ["finish", "fail"])
def test_an_ordinary_end_is_no_cancellation(end: str) -> None:
    """Those who asked with `on_cancel` are not called."""
    held = hold()
    seen: list[str] = []
    held.stream.on_cancel(lambda: seen.append("cancelled"))
    getattr(held.stream, end)(ToolError("x"))
    held.call.drop()
    held.stream.on_cancel(lambda: seen.append("late"))
    assert seen == []


def test_asking_after_the_cancellation() -> None:
    """It is called at once: a thread may ask while the client goes."""
    held = hold()
    held.call.drop()
    seen: list[str] = []
    held.stream.on_cancel(lambda: seen.append("late"))
    assert seen == ["late"]


def test_an_on_cancel_that_fails(flush_logged_errors: Callable[..., list[Failure]]) -> None:
    """It is logged, and the others are called."""
    held = hold()
    seen: list[str] = []
    held.stream.on_cancel(_break)
    held.stream.on_cancel(lambda: seen.append("second"))
    held.call.drop()
    assert seen == ["second"]
    assert len(flush_logged_errors(ZeroDivisionError)) == 1
    assert held.runner.leftovers() == []


# --- what is known of the request


def test_facts() -> None:
    """What the request said, as it said it."""
    held = hold(capabilities={"sampling": {}}, meta={"trace": "x"})
    stream = held.stream
    assert (stream.tool, stream.caller.name, stream.protocol_version) == ("held", None, "2026-07-28")
    assert (stream.meta, stream.client_capabilities, stream.client_info) == ({"trace": "x"}, {"sampling": {}}, None)
    assert stream.clock is held.runner.clock


# --- in a thread


def test_the_call_of_a_thread() -> None:
    """It says the same words and knows the same facts, and has no timers."""

    @tool(thread=True)
    def block(call: Call) -> str:
        """Work."""
        assert isinstance(call, ThreadCall)
        call.progress(1, 2, "half")
        call.log("info", "x")
        call.on_cancel(lambda: None)
        assert (call.tool, call.closed, call.cancelled, call.protocol_version) == ("block", False, False, "2026-07-28")
        with pytest.raises(RuntimeError, match=r"time\.sleep"):
            call.sleep(1)
        for name in ("every", "call_later", "close", "_outcome", "anything"):
            with pytest.raises(AttributeError):
                getattr(call, name)
        return "done"

    call = ToolRunner(block).call("block")
    assert call.text == "done"
    assert call.progress == [Progress(1, 2, "half")]
    assert len(call.logs) == 1


def test_a_thread_may_close_its_stream() -> None:
    """As any other call."""

    @tool(thread=True)
    def block(call: Call) -> str:
        """Work."""
        call.close_stream(700)
        return "done"

    assert ToolRunner(block).call("block", revision="2025-11-25").sent_away == [700]


def test_what_a_thread_can_not_say_fails_its_call() -> None:
    """It is found out in the reactor's thread, where there is nobody else to tell."""

    @tool(thread=True)
    def block(call: Call) -> str:
        """Work."""
        call.progress(math.nan)
        return "done"

    call = ToolRunner(block).call("block")
    assert call.result.is_error
    assert "nan" not in call.text


def test_a_stopped_repetition_is_forgotten() -> None:
    """A call that lives long and starts and stops many of them does not keep them."""
    held = hold()

    def tick() -> None:
        """Nothing."""

    watched = weakref.ref(tick)
    held.stream.every(1, tick).stop()
    del tick
    assert watched() is None


def test_a_call_knows_that_it_is_cancelled() -> None:
    """For a long loop to look at."""
    held = hold()
    stream = held.stream
    assert not stream.cancelled
    held.call.drop()
    assert stream.cancelled
