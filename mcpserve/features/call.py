"""What a tool gets to work with while it runs; `stream` has what it gets when it takes the response over.

A call owns its timers. When the call ends, for whatever reason, they stop in the same turn of the reactor, and nothing
of it stays in `getDelayedCalls()`.
"""

from __future__ import annotations

import enum
import math
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any, Protocol

import attrs
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger

from mcpserve.features import awaiting
from mcpserve.features.asking import Asks, Question
from mcpserve.features.awaiting import READY
from mcpserve.features.seals import Seals
from mcpserve.features.threads import Threads
from mcpserve.features.timing import Repeating, Timer, TimingWheel
from mcpserve.policy.callers import Caller
from mcpserve.protocol import wire
from mcpserve.protocol.exchange import Exchange
from mcpserve.protocol.metadata import RequestMetadata
from mcpserve.protocol.trace import Trace
from mcpserve.protocol.types import LogLevel

_log = Logger()


class Cause(enum.Enum):
    """Why a call was cancelled."""

    DISCONNECTED = "the client has gone"
    WITHDRAWN = "the client asked to cancel"
    TIMED_OUT = "the tool's time is up"
    SHUTDOWN = "the server is shutting down"
    OVERRUN = "the client reads too slowly"
    EXPIRED = "the task's time to live is over"
    ASKED = "the client was asked for more, and will call again"


@attrs.frozen(kw_only=True)
class Runtime:
    """What calls run on: the clock, the timing wheel on it, the threads for blocking tools, and the seals of what
    clients carry for them."""

    clock: IReactorTime
    wheel: TimingWheel
    threads: Threads
    seals: Seals = attrs.Factory(lambda self: Seals(self.clock), takes_self=True)


class Outcome(Protocol):
    """Where a call says how it ends; implemented by what runs it."""

    def finish(self, value: object) -> None:
        """End with a value that a tool may return."""

    def fail(self, error: BaseException) -> None:
        """End with an error."""

    def start_task(self) -> Deferred[None]:
        """Answer the request with a task, and go on with the work; see `Call.start_task`."""

    def ask(self, questions: Mapping[str, Question]) -> Deferred[dict[str, Any]]:
        """Ask the client; the Deferred fires with what each question gives, or never if the call ends with them."""

    def once(self, key: str, make: Callable[[], Any]) -> Any:
        """See `Call.once`."""


_LIMIT = 1e308
"""Numbers of progress lie within this on both sides: a double that has a next one."""

_INTEGER = 2**63
"""Whole numbers up to here are written as they are; JSON's writers and readers know no longer ones."""

_LATE_SLEEPS = 100


class Call(Asks):
    """One running call of a tool, as its author sees it.

    Attributes:
        tool: The name of the tool.
        caller: Who is calling.
        clock: The clock that the call lives on (IReactorTime).
        closed: True when nothing more can be said: the reply was given, or the client has gone.
        paused: True while the reader is behind.
    """

    __slots__ = (
        "_asked",
        "_cancel_calls",
        "_exchange",
        "_late",
        "_metadata",
        "_outcome",
        "_runtime",
        "_timers",
        "_value",
        "_waiters",
        "caller",
        "closed",
        "paused",
        "tool",
    )

    def __init__(
        self,
        *,
        tool: str,
        exchange: Exchange,
        metadata: RequestMetadata,
        caller: Caller,
        runtime: Runtime,
        outcome: Outcome,
    ) -> None:
        self.tool = tool
        self.caller = caller
        self.closed = False
        self.paused = False
        self._exchange = exchange
        self._metadata = metadata
        self._runtime = runtime
        self._outcome = outcome
        self._value = -math.inf
        self._late = 0
        self._timers: dict[Timer | Repeating, None] = {}
        # Who sleeps, with the timer, and who waits for room, without one.
        self._waiters: dict[Deferred[None], Timer | None] = {}
        # The keys of all questions, with who waits for the answer.
        self._asked: dict[str, Deferred[Any] | None] = {}
        self._cancel_calls: tuple[Callable[[], object], ...] | None = ()

    # --- what is known of the request

    @property
    def clock(self) -> IReactorTime:
        """The clock that the call lives on: the reactor, or a `task.Clock` in tests."""
        return self._runtime.clock

    @property
    def meta(self) -> Mapping[str, Any]:
        """The request's `_meta`, as it was sent."""
        return self._metadata.meta

    @property
    def client_info(self) -> Mapping[str, Any] | None:
        """The client's name and version as it says itself; never a ground for a decision."""
        return self._metadata.client_info

    @property
    def client_capabilities(self) -> Mapping[str, Any]:
        """The capabilities that the client declared."""
        return self._metadata.capabilities

    @property
    def trace(self) -> Trace | None:
        """The place of this call in a trace, if it belongs to one: pass `call.trace.headers()` on to whom you ask."""
        return self._metadata.trace

    @property
    def protocol_version(self) -> str:
        """The revision that the request is answered in, such as "2026-07-28"."""
        return self._metadata.revision.name

    @property
    def cancelled(self) -> bool:
        """True when the result is no longer wanted: the client has gone or said so, time is up, the server stops."""
        return self._cancel_calls is None

    # --- what can be said before the result

    def progress(self, value: float, total: float | None = None, message: str | None = None) -> Awaitable[None]:
        """Tell how far the work has come.

        It is sent only if the client gave a progress token. Values only increase: a bare number that does not is left
        out, and a message that comes with such a number is sent with the least number above the last.

        Args:
            value: How much is done, in units of your choice; finite.
            total: How much there is to do, in the same units, if known; finite.
            message: A sentence for people. It is never dropped; a bare number may be replaced by a newer one while the
                reader is behind.

        Returns:
            An awaitable that is ready when there is room for more. It need not be awaited.

        Raises:
            ValueError: A number is not finite, or too large for a double.

        Spec: Progress: "The progress value MUST increase with each notification, even if the total is unknown."
        """
        if type(value) is not float or not -_LIMIT < value < _LIMIT:
            value = _number(value)
        if total is not None:
            total = _number(total)
        token = self._metadata.progress_token
        if token is None or self.closed:
            return self._turn()
        if value <= self._value:
            if message is None:
                return self._turn()
            value = math.nextafter(self._value, math.inf)
        encoded = wire.progress(token, value, total, message)
        self._value = value
        self._exchange.notify(encoded, message is None)
        return self._turn() if self.paused else READY

    def log(self, level: LogLevel, data: Any, logger: str | None = None) -> Awaitable[None]:
        """Send a log message to the client, if it asked for messages of this level.

        Args:
            level: From "debug" to "emergency".
            data: JSON.
            logger: A name for the source, if there is more than one.

        Returns:
            An awaitable that is ready when there is room for more. It need not be awaited.

        Raises:
            ValueError: The level is not one of the eight.
            TypeError: The data have no form in JSON.

        Spec: Logging: "the server MUST NOT send notifications/message for a request that does not" carry a log level.
        """
        if self._metadata.wants_log(level) and not self.closed:
            self._exchange.notify(wire.log_message(level, data, logger))
        return self._turn()

    # --- to go on without the request

    def start_task(self) -> Deferred[None]:
        """Answer the request with a task now; the work goes on, and its client comes back for the outcome.

        For tools with `defer_task=True`; other ones that may be tasks are tasks from the start. It does nothing when
        the call is a task already, or when the client does not know tasks.

        Fires: with None, when the client was told.

        Raises:
            ToolError: The Deferred fails with it when there is no room for one more task.
        """
        return self._outcome.start_task()

    # --- time that belongs to the call

    def sleep(self, seconds: float) -> Deferred[None]:
        """Wait.

        Fires: with None, after that many seconds.
        Cancel: stops the wait. It is cancelled when the call ends.
        """
        waiter: Deferred[None] = Deferred(self._leave)
        if self.closed:
            self._sleep_late(waiter)
        else:
            self._waiters[waiter] = self._runtime.wheel.call_later(seconds, self._wake, waiter)
        return waiter

    def call_later(self, delay: float, f: Callable[..., object], *args: object) -> Timer:
        """Call `f(*args)` in `delay` seconds, unless the call has ended by then. If `f` raises, the call fails."""
        timer = self._runtime.wheel.call_later(delay, self._guarded, f, args)
        if self.closed:
            timer.cancel()
        else:
            timer.on_done = self._forget
            self._timers[timer] = None
        return timer

    def every(self, interval: float, f: Callable[[], object], now: bool = False) -> Repeating:
        """Call `f()` every `interval` seconds until the call ends or `stop()` is called.

        Args:
            interval: Seconds; more than 0. The shortest is 5 ms; what is less counts as that.
            f: May return a Deferred or a coroutine, for which the next call then waits. If it raises, the call fails.
            now: Begin at once instead of one interval from now.

        Returns:
            The repetition: `stop()`, `running`, `interval`.
        """
        repeating = Repeating(self._runtime.wheel, interval, f, self._outcome.fail)
        if self.closed:
            return repeating
        repeating.on_done = self._forget
        self._timers[repeating] = None
        return repeating.start(now)

    def on_cancel(self, f: Callable[[], object]) -> None:
        """Call `f()` once if the call is cancelled: the client has gone or said so, time is up, the server stops.

        If that has happened already, `f` is called at once.
        """
        if self._cancel_calls is None:
            self._tell(f)
        else:
            self._cancel_calls += (f,)

    def close_stream(self, retry_ms: int | None = None) -> Awaitable[None]:
        """Close the connection to the client, and go on working: it comes back for the rest.

        So a call that takes long does not hold a connection all the time. What is said meanwhile is kept, and so is the
        result. Nothing happens where the stream can't be resumed: in revisions other than 2025-11-25, or when the
        client takes JSON only.

        Args:
            retry_ms: Milliseconds that the client is asked to wait before it comes back, 0 and more; None for what is
                usual. Some time after that the client counts as gone.

        Returns:
            An awaitable that is ready. It need not be awaited.

        Raises:
            ValueError: `retry_ms` is not a whole number, or negative.

        Spec: 2025-11-25, Transports, Sending Messages to the Server: "the server MAY close the connection (without
        terminating the SSE stream) at any time".
        """
        if retry_ms is not None and (type(retry_ms) is not int or retry_ms < 0):
            raise ValueError("retry_ms is a whole number of milliseconds, 0 and more")
        if not self.closed:
            self._exchange.close_stream(retry_ms)
        return READY

    # --- what can be asked

    def once(self, key: str, make: Callable[[], Any]) -> Any:
        """See `Asks.once`."""
        return self._outcome.once(key, make)

    def _ask_one(self, question: Question, key: str | None) -> Deferred[Any]:
        key = key or f"{question.kind}-{len(self._asked) + 1}"
        return self._ask({key: question}).addCallback(lambda answers: answers[key])

    def _ask(self, questions: Mapping[str, Question]) -> Deferred[dict[str, Any]]:
        for key in questions:
            if key in self._asked:
                raise ValueError(f"this call has asked a question with the key {key!r} before; keys are for one each")
        if self.closed:
            return self._too_late()
        self._asked |= dict.fromkeys(questions)
        waiter = self._outcome.ask(questions)
        self._expect(waiter, questions)
        return waiter

    def _expect(self, waiter: Deferred[Any], questions: Iterable[str]) -> None:
        if self.closed:
            # The questions have ended the call. Its coroutine is cancelled where it waits; so is whoever else does.
            waiter.addBoth(_settled, self.clock.callLater(0, awaiting.cancel, waiter))
        else:
            self._asked |= dict.fromkeys(questions, waiter)

    def _too_late(self) -> Deferred[Any]:
        waiter: Deferred[Any] = Deferred()
        self._sleep_late(waiter)
        return waiter

    # --- what runs the call says this to it

    def move(self, exchange: Exchange, metadata: RequestMetadata) -> None:
        """The call has become a task: from now on what it says goes there."""
        self._exchange = exchange
        self._metadata = metadata
        if self.paused:
            self.resume()

    def pause(self) -> None:
        """The reader is behind."""
        self.paused = True

    def resume(self) -> None:
        """The reader caught up: whoever waits goes on."""
        self.paused = False
        for waiter in [waiter for waiter, timer in self._waiters.items() if timer is None]:
            # One that goes on may end the call, which cancels the others.
            if waiter in self._waiters:
                self._wake(waiter)

    def close(self) -> None:
        """The call has ended: stop its timers."""
        self.closed = True
        timers, self._timers = self._timers, {}
        for timer in timers:
            timer.stop()

    def tell_cancelled(self) -> None:
        """The call was cancelled and is closed: tell those who asked to know."""
        calls, self._cancel_calls = self._cancel_calls, None
        for f in calls or ():
            self._tell(f)

    def release(self) -> None:
        """The call is closed: cancel what still sleeps or waits for room, so that nobody waits for ever."""
        for waiter in [*self._waiters, *filter(None, self._asked.values())]:
            if not waiter.called:
                awaiting.cancel(waiter)

    def _turn(self) -> Awaitable[None]:
        if not self.paused or self.closed:
            return READY
        waiter: Deferred[None] = Deferred(self._leave)
        self._waiters[waiter] = None
        return waiter

    def _wake(self, waiter: Deferred[None]) -> None:
        del self._waiters[waiter]
        waiter.callback(None)

    def _leave(self, waiter: Deferred[None]) -> None:
        timer = self._waiters.pop(waiter, None)
        if timer is not None:
            timer.cancel()

    def _sleep_late(self, waiter: Deferred[Any]) -> None:
        """End a loop that sleeps or asks on after the end of its call.

        One that catches even CancelledError would spin for ever, and stop the whole server; after some tries it is left
        to sleep, and the garbage collection ends it.
        """
        self._late += 1
        if self._late <= _LATE_SLEEPS:
            waiter.errback(CancelledError())

    def _tell(self, f: Callable[[], object]) -> None:
        try:
            f()
        except BaseException:
            _log.failure("A call of {tool} has ended, and what it asked to be called then failed", tool=self.tool)

    def _forget(self, timer: Timer | Repeating) -> None:
        self._timers.pop(timer, None)

    def _guarded(self, f: Callable[..., object], args: tuple[object, ...] = ()) -> None:
        try:
            f(*args)
        except BaseException as error:
            self._outcome.fail(error)


def _settled(result: Any, delayed: IDelayedCall) -> Any:
    """Pass a result on; what was to be done about it need not be done any more."""
    if delayed.active():
        delayed.cancel()
    return result


def _number(value: float) -> float:
    """A number that JSON can carry, and of which there is a greater one."""
    if not -_LIMIT < value < _LIMIT:
        raise ValueError("progress and total are finite numbers below 1e308")
    # bool is an int to Python; numbers of other libraries become ours.
    return value if type(value) is int and -_INTEGER <= value < _INTEGER else float(value)
