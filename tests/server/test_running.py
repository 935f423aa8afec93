"""A call from its start to its end, in every way in which it can end."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from typing import Any

import attrs
import pytest
from twisted.internet.defer import CancelledError, Deferred, fail, succeed
from twisted.logger import LogEvent, globalLogPublisher

from mcpserve import Call, Result, Stream, Text, ToolError, tool
from mcpserve.errors import InvalidParams, MissingCapability
from tests.garbage import cycles_left_by
from tests.server.desk import Asked, Desk

GENERIC = "The tool failed; the server's log has the reason under id "


@pytest.fixture
def lines() -> Iterator[list[LogEvent]]:
    """The lines that running calls log, without tracebacks."""
    seen: list[LogEvent] = []

    def observe(event: LogEvent) -> None:
        if event.get("log_namespace") == "mcpserve.server.running":
            seen.append(event)

    globalLogPublisher.addObserver(observe)
    yield seen
    globalLogPublisher.removeObserver(observe)


def desk_of(body: Callable[..., Any], **options: Any) -> Desk:
    """A desk with one tool `t` that needs a call object, as it has a long timeout unless told otherwise."""

    @tool(name="t", **{"timeout": 1000, **options})
    def t(call: Call) -> Any:
        """Do what the test wants."""
        return body(call)

    return Desk(t)


def stream_desk(body: Callable[[Stream], Any], **options: Any) -> Desk:
    """A desk with one tool `t` that takes over its response."""

    @tool(name="t", **options)
    def t(stream: Stream) -> Any:
        """Do what the test wants."""
        return body(stream)

    return Desk(t)


def raiser(error: BaseException) -> Callable[..., Any]:
    """A body that raises."""

    def body(*_: Any) -> None:
        raise error

    return body


async def _async_value(value: Any) -> Any:
    return value


async def _async_raise(error: BaseException) -> Any:
    raise error


# --- values


@pytest.mark.parametrize(
    ("value", "content"),
    [
        (None, []),
        ("text", [{"type": "text", "text": "text"}]),
        (Text("a"), [{"type": "text", "text": "a"}]),
        (Result(content=[Text("b")]), [{"type": "text", "text": "b"}]),
    ],
)
@pytest.mark.parametrize("how", [lambda value: value, succeed, _async_value])
def test_what_it_returns(value: Any, content: list[Any], how: Callable[[Any], Any]) -> None:
    """A value, a Deferred of it, a coroutine: the same result."""
    desk = desk_of(lambda call: how(value))
    assert desk.call("t").result["content"] == content
    assert desk.nothing_left()


def test_a_deferred_that_fires_later() -> None:
    """The call goes on until then."""
    waiting: Deferred[str] = Deferred()
    desk = desk_of(lambda call: waiting)
    asked = desk.call("t")
    assert asked.exchange.live
    assert len(desk.calls.running) == 1
    waiting.callback("late")
    assert asked.text == "late"
    assert desk.nothing_left()


def test_a_result_with_is_error() -> None:
    """A tool may say itself that it failed."""
    asked = desk_of(lambda call: Result(content=[Text("no")], is_error=True)).call("t")
    assert asked.result["isError"] is True


@pytest.mark.parametrize(
    "value",
    [
        object(),
        {"a": object()},
        float("nan"),
        "\ud800",
        Text("\ud800"),
        Result(meta={"k": object()}),
        Result(structured=object()),
        Result(content=[5]),  # type: ignore[list-item]
        asyncio.Event,
    ],
)
@pytest.mark.parametrize("how", [lambda value: value, _async_value])
def test_values_that_are_no_result(value: Any, how: Callable[[Any], Any], lines: list[LogEvent]) -> None:
    """They fail the call, and never leave it without an answer; the model learns nothing of the inside."""
    desk = desk_of(lambda call: how(value))
    asked = desk.call("t")
    assert asked.result["isError"] is True
    assert asked.text.startswith(GENERIC)
    assert desk.nothing_left()
    assert lines[-1]["log_id"] in asked.text


def test_the_output_schema_is_kept() -> None:
    """ "Servers MUST provide structured results that conform to this schema": else it is a failure."""

    @tool(timeout=9, output_schema={"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]})
    def t(n: str) -> Any:
        """Give n back, in one form or the other."""
        return {"good": {"n": 1}, "bad": {"n": "x"}, "none": None, "blocks": Text("x")}.get(
            n, Result(is_error=True, content=[Text("own")])
        )

    desk = Desk(t)
    assert desk.call("t", n="good").result["structuredContent"] == {"n": 1}
    assert desk.call("t", n="error").text == "own"
    for bad in ("bad", "none", "blocks"):
        assert desk.call("t", n=bad).text.startswith(GENERIC)
    assert desk.nothing_left()


# --- errors


@pytest.mark.parametrize("how", [lambda error: raiser(error)(), fail, _async_raise])
@pytest.mark.parametrize("error", [ValueError, SystemExit, KeyboardInterrupt, asyncio.CancelledError, GeneratorExit])
def test_what_it_raises(error: type[BaseException], how: Callable[[Any], Any], lines: list[LogEvent]) -> None:
    """Whatever it is: a generic text with a log id for the model, the reason for the log, and nothing left."""
    desk = desk_of(lambda call: how(error("secret 4711")))
    asked = desk.call("t")
    assert asked.result["isError"] is True
    assert asked.text.startswith(GENERIC)
    assert "4711" not in asked.text
    (line,) = lines
    assert (line["name"], line["kind"], line["text"]) == ("t", error.__name__, "secret 4711")
    assert line["log_id"] in asked.text
    assert desk.nothing_left()


def test_the_log_names_the_place(lines: list[LogEvent]) -> None:
    """File and line of the innermost frame; a failure that was never raised has none."""
    desk_of(raiser(ValueError())).call("t")
    assert __file__ in lines[0]["where"]
    desk_of(lambda call: fail(ValueError())).call("t")
    assert lines[1]["where"] == "an unknown place"


@pytest.mark.parametrize("how", [lambda error: raiser(error)(), fail, _async_raise])
def test_a_tool_error(how: Callable[[Any], Any], lines: list[LogEvent]) -> None:
    """Its text is for the model, and nothing for the log."""
    asked = desk_of(lambda call: how(ToolError("No such city."))).call("t")
    assert (asked.result["isError"], asked.text) == (True, "No such city.")
    assert lines == []


@pytest.mark.parametrize("how", [lambda error: raiser(error)(), _async_raise])
def test_a_protocol_error(how: Callable[[Any], Any]) -> None:
    """It is an error of the request, with its own code, status and data."""
    asked = desk_of(lambda call: how(MissingCapability({"sampling": {}}))).call("t")
    assert asked.error[0] == -32021
    assert asked.carrier.statuses == [400]
    assert asked.carrier.replies[0]["error"]["data"] == {"requiredCapabilities": {"sampling": {}}}


class Mute(Exception):
    """An exception that can't say what it is."""

    def __str__(self) -> str:
        raise ZeroDivisionError


class MuteToolError(Mute, ToolError):
    """The same, for the model."""


@pytest.mark.parametrize(
    "error", [ToolError("\ud800"), InvalidParams("\ud800"), InvalidParams("x", object()), Mute(), MuteToolError()]
)
def test_errors_that_can_not_be_said(error: Exception) -> None:
    """They are answered as any failure is: a call always has an answer."""
    desk = desk_of(raiser(error))
    assert desk.call("t").text.startswith(GENERIC)
    assert desk.nothing_left()


def test_an_asyncio_future_is_no_deferred() -> None:
    """Awaiting it fails at once, and does not hang."""
    loop = asyncio.new_event_loop()
    future = loop.create_future()

    async def body() -> None:
        await future

    assert desk_of(lambda call: body()).call("t").text.startswith(GENERIC)
    loop.close()


# --- ends from outside

ENDS: list[tuple[str, Callable[[Desk, Asked], object]]] = [
    ("lost", lambda desk, asked: asked.exchange.lost()),
    ("withdrawn", lambda desk, asked: asked.exchange.withdraw()),
    ("overrun", lambda desk, asked: asked.exchange.overrun()),
    ("timeout", lambda desk, asked: desk.clock.advance(1000)),
    ("shutdown", lambda desk, asked: desk.stop()),
]


@pytest.mark.parametrize(("name", "end"), ENDS)
def test_a_coroutine_is_cancelled(name: str, end: Callable[[Desk, Asked], object]) -> None:
    """Its `finally` blocks run, `on_cancel` is called once before, nothing is left, and what it returns is dropped."""
    seen: list[str] = []

    async def body(call: Call) -> str:
        call.on_cancel(lambda: seen.append("on_cancel"))
        try:
            await Deferred()
        except CancelledError:
            seen.append("cancelled")
            raise
        finally:
            seen.append("finally")
        return "never"

    desk = desk_of(body)
    asked = desk.call("t")
    end(desk, asked)
    desk.clock.advance(0)
    assert seen == ["on_cancel", "cancelled", "finally"]
    assert desk.nothing_left()
    replies = len(asked.carrier.replies)
    assert replies == (name in ("timeout", "shutdown"))
    end(desk, asked)
    assert len(asked.carrier.replies) == replies
    assert seen == ["on_cancel", "cancelled", "finally"]


@pytest.mark.parametrize(("name", "end"), ENDS)
@pytest.mark.parametrize("plain", [False, True])
def test_a_deferred_is_cancelled(plain: bool, name: str, end: Callable[[Desk, Asked], object]) -> None:
    """That of a tool with a call object, and that of one that was begun without."""
    told: list[str] = []

    def body(*_: Any) -> Any:
        return Deferred(lambda _: told.append("cancelled"))

    @tool(name="t")
    def without() -> Any:
        """Wait."""
        return body()

    desk = Desk(without) if plain else desk_of(body)
    asked = desk.call("t")
    (asked.exchange.lost if plain and name == "timeout" else lambda: end(desk, asked))()
    desk.clock.advance(0)
    assert told == ["cancelled"]
    assert desk.nothing_left()


def test_how_cancelled_calls_are_answered() -> None:
    """Time up: a result that says so. Shutdown: an error that says to call again. Otherwise: nothing."""
    desk = desk_of(lambda call: Deferred(), timeout=2.5)
    asked = desk.call("t")
    desk.clock.advance(2.5)
    assert (asked.result["isError"], asked.text) == (True, "The tool did not finish within 2.5 s")
    asked = desk.call("t")
    desk.stop()
    assert asked.error == (-32603, "The server is shutting down; call again")


def test_a_timeout_that_is_not_needed() -> None:
    """It is gone with the call."""
    desk = desk_of(lambda call: "quick", timeout=2.5)
    desk.call("t")
    assert desk.nothing_left()


@pytest.mark.parametrize(("name", "end"), ENDS)
def test_a_coroutine_that_swallows_its_cancellation(name: str, end: Callable[[Desk, Asked], object]) -> None:
    """What it returns then is dropped: the call has ended."""

    async def body(call: Call) -> str:
        try:
            await Deferred()
        except CancelledError:
            await call.progress(99)
        return "swallowed"

    desk = desk_of(body)
    asked = desk.call("t")
    end(desk, asked)
    desk.clock.advance(0)
    assert "swallowed" not in str(asked.carrier.replies)
    assert asked.progress == []
    assert desk.nothing_left()


def test_a_cleanup_that_takes_time() -> None:
    """A `finally` block may await; it goes on after the call has ended."""
    closing: Deferred[None] = Deferred()
    seen: list[str] = []

    async def body(call: Call) -> None:
        try:
            await Deferred()
        finally:
            await closing
            seen.append("closed")

    desk = desk_of(body)
    desk.call("t").exchange.lost()
    assert desk.nothing_left()
    closing.callback(None)
    assert seen == ["closed"]


def test_a_cleanup_that_fails(lines: list[LogEvent]) -> None:
    """It is for the log; a cancellation by itself is not."""

    async def body(call: Call) -> None:
        try:
            await Deferred()
        finally:
            raise ValueError("cleanup")

    desk_of(body).call("t").exchange.lost()
    assert [line["text"] for line in lines if "text" in line] == ["cleanup"]
    lines.clear()
    desk_of(lambda call: Deferred()).call("t").exchange.lost()
    assert [line for line in lines if "text" in line] == []


def test_a_canceller_that_raises(flush_logged_errors: Callable[..., Any], lines: list[LogEvent]) -> None:
    """It does not keep the others from being cancelled when the server stops."""
    seen: list[str] = []
    cancellers = iter([raiser(ZeroDivisionError()), lambda _: seen.append("second")])
    desk = desk_of(lambda call: Deferred(next(cancellers)))
    calls = [desk.call("t"), desk.call("t")]
    desk.stop()
    assert seen == ["second"]
    assert all(asked.error[0] == -32603 for asked in calls)
    assert desk.nothing_left()
    assert len(flush_logged_errors(ZeroDivisionError)) + sum("text" in line for line in lines) == 1


# --- a client that goes, and a tool that finishes


def test_on_disconnect_finish() -> None:
    """The call goes on and ends by itself, once; nothing is written, and nothing is cancelled."""
    seen: list[str] = []

    async def body(call: Call) -> str:
        call.on_cancel(lambda: seen.append("cancelled"))
        for step in range(3):
            await call.progress(step)
            await call.sleep(1)
        seen.append("finished")
        return "done"

    desk = desk_of(body, on_disconnect="finish")
    asked = desk.call("t")
    asked.exchange.pause()
    asked.exchange.lost()
    desk.clock.pump([1.0] * 5)
    assert seen == ["finished"]
    assert asked.progress == [0]
    assert asked.carrier.replies == []
    assert desk.nothing_left()


def test_a_waiting_reader_that_goes() -> None:
    """Whoever waited for it goes on, when the tool is to finish."""
    said: list[int] = []

    async def body(call: Call) -> None:
        for step in range(3):
            await call.progress(step)
            said.append(step)
            await call.sleep(1)

    desk = desk_of(body, on_disconnect="finish")
    asked = desk.call("t")
    asked.exchange.pause()
    desk.clock.advance(1)
    assert said == [0]
    asked.exchange.lost()
    desk.clock.pump([1.0] * 5)
    assert said == [0, 1, 2]


@pytest.mark.parametrize(("name", "end"), [end for end in ENDS if end[0] != "lost"])
def test_finish_is_only_about_disconnecting(name: str, end: Callable[[Desk, Asked], object]) -> None:
    """Withdrawn, out of time, shut down, too slow: it is cancelled as any other."""
    desk = desk_of(lambda call: Deferred(), on_disconnect="finish")
    end(desk, desk.call("t"))
    desk.clock.advance(0)
    assert desk.nothing_left()


# --- taking over the response


def test_a_stream_goes_on_after_none() -> None:
    """Until it says finish; what is said later does not count."""
    streams: list[Stream] = []
    desk = stream_desk(streams.append)
    asked = desk.call("t")
    assert asked.exchange.live
    streams[0].progress(1)
    streams[0].finish("done")
    streams[0].finish("again")
    streams[0].fail(ToolError("again"))
    assert asked.text == "done"
    assert asked.progress == [1]
    assert desk.nothing_left()


def test_a_stream_that_returns_a_value() -> None:
    """It is finished with it."""
    assert stream_desk(lambda stream: "value").call("t").text == "value"


def test_a_stream_that_raises() -> None:
    """It has failed."""
    asked = stream_desk(raiser(ToolError("no"))).call("t")
    assert (asked.result["isError"], asked.text) == (True, "no")


@pytest.mark.parametrize("then", [None, "value", succeed("value"), fail(ValueError())])
def test_finishing_before_the_function_returns(then: Any, lines: list[LogEvent]) -> None:
    """The first word counts, whatever the function gives back after it."""
    if isinstance(then, Deferred):
        then.addErrback(lambda failure: failure)

    def body(stream: Stream) -> Any:
        stream.finish("first")
        return then

    desk = stream_desk(body)
    assert desk.call("t").text == "first"
    assert desk.nothing_left()


def test_fail() -> None:
    """A ToolError's text is for the model, others are generic, a protocol error is an error."""
    for error, expected in ((ToolError("no"), "no"), (ValueError("no"), GENERIC)):
        streams: list[Stream] = []
        asked = stream_desk(streams.append).call("t")
        streams[0].fail(error)
        assert asked.result["isError"] is True
        assert asked.text.startswith(expected)
    streams = []
    asked = stream_desk(streams.append).call("t")
    streams[0].fail(InvalidParams("wrong"))
    assert asked.error == (-32602, "wrong")


def test_a_bad_value_for_finish() -> None:
    """It fails the call, which has ended then."""
    streams: list[Stream] = []
    desk = stream_desk(streams.append)
    asked = desk.call("t")
    streams[0].finish(object())
    assert asked.text.startswith(GENERIC)
    streams[0].finish("late")
    assert desk.nothing_left()


@pytest.mark.parametrize("ending", ["finish", "fail"])
def test_a_timer_that_ends_the_call_of_a_coroutine(ending: str) -> None:
    """The coroutine is cancelled: nobody waits for it any more."""
    seen: list[str] = []

    async def body(stream: Stream) -> None:
        stream.call_later(1, lambda: getattr(stream, ending)(ToolError("x")))
        try:
            await Deferred()
        finally:
            seen.append("finally")

    desk = stream_desk(body)
    desk.call("t")
    desk.clock.advance(1)
    assert seen == ["finally"]
    assert desk.nothing_left()


@pytest.mark.parametrize("late", [False, True])
def test_a_coroutine_that_ends_its_call_goes_on(late: bool) -> None:
    """It knows what it does: it may tidy up after its last word, at its first step or later."""
    closing: Deferred[None] = Deferred()
    seen: list[str] = []

    async def body(stream: Stream) -> None:
        if late:
            await stream.sleep(1)
        stream.finish("done")
        await closing
        seen.append("closed")

    desk = stream_desk(body)
    asked = desk.call("t")
    desk.clock.advance(1)
    assert asked.text == "done"
    assert desk.nothing_left()
    closing.callback(None)
    assert seen == ["closed"]


@pytest.mark.parametrize("late", [False, True])
def test_a_coroutine_that_says_too_much(late: bool) -> None:
    """It is cut off while it runs, and cancelled when it waits for something: in its first step, or the next turn."""
    seen: list[str] = []
    asked: list[Asked] = []

    async def body(call: Call) -> None:
        if late:
            await call.sleep(1)
        call._exchange.overrun()
        await call.progress(2)
        try:
            await Deferred()
        finally:
            seen.append("finally")

    desk = desk_of(body)
    asked.append(desk.call("t"))
    desk.clock.advance(1)
    desk.clock.advance(0)
    assert seen == ["finally"]
    assert asked[0].carrier.notices == asked[0].carrier.replies == []
    assert desk.nothing_left()


# --- threads


def test_a_cancelled_thread() -> None:
    """The client is answered at once; the thread sees that it was cancelled, and its result is discarded."""
    threads: list[Any] = []
    answer: Deferred[str] = Deferred()

    @tool(thread=True, timeout=5)
    def t(call: Call) -> Any:
        """Block."""
        threads.append(call)
        return answer

    desk = Desk(t)
    asked = desk.call("t")
    assert not threads[0].cancelled
    desk.clock.advance(5)
    assert threads[0].cancelled
    assert "within 5 s" in asked.text
    assert desk.nothing_left()


@attrs.define
class FullThreads:
    """A pool without place."""

    def run(self, f: Callable[[], Any]) -> Deferred[Any]:
        """See `Threads`."""
        raise ToolError("The server is busy")

    def call_in_reactor(self, f: Callable[..., object], *args: object) -> None:
        """See `Threads`."""


def test_a_full_pool() -> None:
    """Is a result that the model reads, at once."""

    @tool(thread=True)
    def t() -> None:
        """Block."""

    desk = Desk(t)
    desk.threads.run = FullThreads().run  # type: ignore[method-assign]
    asked = desk.call("t")
    assert (asked.result["isError"], asked.text) == (True, "The server is busy")
    assert desk.nothing_left()


# --- memory


@pytest.mark.parametrize("end", ["finish", "lost"])
def test_an_ended_call_is_gone_without_the_collector(end: str) -> None:
    """No cycle is left of it, so that thousands of calls a second are no work for the collector."""

    @tool(name="t")
    def t(stream: Stream) -> None:
        """Tick, and finish if asked."""
        stream.every(1, lambda: None)
        stream.on_cancel(lambda: None)
        if end == "finish":
            stream.finish("x")

    desk = Desk(t)

    def one() -> None:
        asked = desk.call("t")
        if end == "lost":
            asked.exchange.lost()
        desk.clock.advance(1)
        assert desk.nothing_left()

    assert cycles_left_by(one) == []
