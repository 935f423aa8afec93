"""What a tool gets to work with while it runs: the call, or the response stream that it takes over.

A call owns its timers. When the call ends, for whatever reason, they stop in the same turn of the reactor, and nothing
of it stays in `getDelayedCalls()`.
"""

from __future__ import annotations

import enum
import math
from collections.abc import Awaitable, Callable, Generator, Mapping
from typing import Any, NoReturn, Protocol

import attrs
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IConsumer, IProducer, IReactorTime
from twisted.logger import Logger
from zope.interface import implementer

from mcpserve.features.threads import Threads
from mcpserve.features.timing import Repeating, Timer, TimingWheel
from mcpserve.protocol import wire
from mcpserve.protocol.exchange import Exchange
from mcpserve.protocol.metadata import RequestMetadata
from mcpserve.protocol.types import LOG_LEVELS, LogLevel

_log = Logger()


class Cause(enum.Enum):
    """Why a call was cancelled."""

    DISCONNECTED = "the client has gone"
    WITHDRAWN = "the client asked to cancel"
    TIMED_OUT = "the tool's time is up"
    SHUTDOWN = "the server is shutting down"
    OVERRUN = "the client reads too slowly"


@attrs.frozen(kw_only=True)
class Caller:
    """Who is calling. `name` is None for somebody who was not asked to say so."""

    name: str | None = None


@attrs.frozen(kw_only=True)
class Runtime:
    """What calls run on: the clock, the timing wheel on it, and the threads for blocking tools."""

    clock: IReactorTime
    wheel: TimingWheel
    threads: Threads


class Outcome(Protocol):
    """Where a call says how it ends; implemented by what runs it."""

    def finish(self, value: object) -> None:
        """End with a value that a tool may return."""

    def fail(self, error: BaseException) -> None:
        """End with an error."""


class _Ready:
    """An awaitable that is always ready, so that `await call.progress(...)` costs nothing while the reader keeps up."""

    __slots__ = ()

    def __await__(self) -> Generator[Any, None, None]:
        return
        yield


READY = _Ready()


class Call:
    """One running call of a tool, as its author sees it.

    Attributes:
        tool: The name of the tool.
        caller: Who is calling.
        clock: The clock that the call lives on (IReactorTime).
        closed: True when nothing more can be said: the reply was given, or the client has gone.
        paused: True while the reader is behind.
    """

    __slots__ = (
        "_cancel_calls",
        "_exchange",
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
        self._timers: dict[Timer | Repeating, None] = {}
        self._waiters: list[Deferred[None]] = []
        self._cancel_calls: list[Callable[[], object]] = []

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
    def protocol_version(self) -> str:
        """The revision that the request is answered in, such as "2026-07-28"."""
        return self._metadata.revision.name

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
            ValueError: A number is not finite.

        Spec: Progress: "The progress value MUST increase with each notification, even if the total is unknown."
        """
        token = self._metadata.progress_token
        if token is None or self.closed:
            return self._turn()
        if not (math.isfinite(value) and (total is None or math.isfinite(total))):
            raise ValueError("progress and total are finite numbers")
        if value <= self._value:
            if message is None:
                return self._turn()
            value = math.nextafter(self._value, math.inf)
        self._value = value
        self._exchange.notify(wire.progress(token, value, total, message), message is None)
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

        Spec: Logging: "the server MUST NOT send notifications/message for a request that does not" carry a log level.
        """
        severity = LOG_LEVELS.index(level)
        wanted = self._metadata.log_level
        if wanted is not None and not self.closed and severity >= LOG_LEVELS.index(wanted):
            self._exchange.notify(wire.log_message(level, data, logger))
        return self._turn()

    # --- time that belongs to the call

    def sleep(self, seconds: float) -> Deferred[None]:
        """Wait.

        Fires: with None, after that many seconds.
        Cancel: stops the wait; it also stops when the call ends.
        """
        waiting: Deferred[None] = Deferred(lambda _: timer.cancel())
        timer = self.call_later(seconds, waiting.callback, None)
        return waiting

    def call_later(self, delay: float, f: Callable[..., object], *args: object) -> Timer:
        """Call `f(*args)` in `delay` seconds, unless the call has ended by then. If `f` raises, the call fails."""
        timer = self._runtime.wheel.call_later(delay, self._guarded, f, args)
        timer.on_done = self._forget
        self._timers[timer] = None
        return timer

    def every(self, interval: float, f: Callable[[], object], now: bool = False) -> Repeating:
        """Call `f()` every `interval` seconds until the call ends or `stop()` is called.

        Args:
            interval: Seconds; more than 0.
            f: May return a Deferred or a coroutine, for which the next call then waits. If it raises, the call fails.
            now: Begin at once instead of one interval from now.

        Returns:
            The repetition: `stop()`, `running`, `interval`.
        """
        repeating = Repeating(self._runtime.wheel, interval, f, self._outcome.fail)
        self._timers[repeating] = None
        return repeating.start(now)

    def on_cancel(self, f: Callable[[], object]) -> None:
        """Call `f()` once if the call is cancelled: the client has gone or said so, time is up, the server stops."""
        self._cancel_calls.append(f)

    # --- what runs the call says this to it

    def pause(self) -> None:
        """The reader is behind."""
        self.paused = True

    def resume(self) -> None:
        """The reader caught up: whoever waits goes on."""
        self.paused = False
        waiters, self._waiters = self._waiters, []
        for waiter in waiters:
            waiter.callback(None)

    def close(self) -> None:
        """The call has ended: stop its timers."""
        self.closed = True
        timers, self._timers = self._timers, {}
        for timer in timers:
            timer.stop()

    def cancelled(self) -> None:
        """The call was cancelled and is closed: tell those who asked to know."""
        calls, self._cancel_calls = self._cancel_calls, []
        for f in calls:
            try:
                f()
            except Exception:
                _log.failure("An on_cancel callback of tool {tool} failed", tool=self.tool)

    def timers(self) -> int:
        """How many timers the call still owns."""
        return len(self._timers)

    def _turn(self) -> Awaitable[None]:
        if not self.paused or self.closed:
            return READY
        waiter: Deferred[None] = Deferred(self._leave)
        self._waiters.append(waiter)
        return waiter

    def _leave(self, waiter: Deferred[None]) -> None:
        if waiter in self._waiters:
            self._waiters.remove(waiter)

    def _forget(self, timer: Timer) -> None:
        self._timers.pop(timer, None)

    def _guarded(self, f: Callable[..., object], args: tuple[object, ...]) -> None:
        try:
            f(*args)
        except Exception as error:
            self._outcome.fail(error)


@implementer(IConsumer)
class Stream(Call):
    """A response that a tool takes over, as a Twisted producer takes over its consumer.

    The tool returns None and goes on until it says `finish` or `fail`, or until the response closes. A push producer
    may be registered: it is paused and resumed with the reader, and told to stop, once, when the response closes.
    """

    __slots__ = ("_producer", "_written")

    def __init__(self, **facts: Any) -> None:
        super().__init__(**facts)
        self._producer: Any = None
        self._written = 0

    def finish(self, value: object = None) -> None:
        """End with a value that a tool may return. Does nothing when the call has ended."""
        if not self.closed:
            self._outcome.finish(value)

    def fail(self, error: BaseException) -> None:
        """End with an error: the text of a `ToolError` reaches the model. Does nothing when the call has ended."""
        if not self.closed:
            self._outcome.fail(error)

    def write(self, data: bytes | str) -> None:
        """Say one piece of content: a progress message, numbered by its place."""
        self._written += 1
        self.progress(self._written, message=data if isinstance(data, str) else data.decode("utf-8", "replace"))

    def registerProducer(self, producer: IProducer, streaming: bool) -> None:
        """Take a producer; see `IConsumer`.

        Args:
            producer: An IPushProducer when `streaming`, else an IPullProducer, which is asked once a turn while the
                reader keeps up.

        Raises:
            RuntimeError: There is one already.
        """
        if self._producer is not None:
            raise RuntimeError(f"{self._producer!r} is already registered")
        if self.closed:
            producer.stopProducing()
            return
        self._producer = producer if streaming else _Pull(self, producer)
        if self.paused:
            self._producer.pauseProducing()
        elif not streaming:
            self._producer.resumeProducing()

    def unregisterProducer(self) -> None:
        """Let go of the producer, without a word to it."""
        producer, self._producer = self._producer, None
        if isinstance(producer, _Pull):
            producer.pauseProducing()

    def pause(self) -> None:
        """See `Call.pause`."""
        super().pause()
        if self._producer is not None:
            self._producer.pauseProducing()

    def resume(self) -> None:
        """See `Call.resume`."""
        super().resume()
        if self._producer is not None:
            self._producer.resumeProducing()

    def close(self) -> None:
        """See `Call.close`; then the producer, if there is one, is told to stop."""
        super().close()
        producer, self._producer = self._producer, None
        if producer is not None:
            producer.stopProducing()


class _Pull:
    """A pull producer, made to look like a push producer: asked once in each turn of the reactor while not paused."""

    def __init__(self, stream: Stream, producer: Any) -> None:
        self._stream = stream
        self._producer = producer
        self._next: Timer | None = None

    def resumeProducing(self) -> None:
        self._next = self._stream.call_later(0, self._pull)

    def pauseProducing(self) -> None:
        if self._next is not None:
            self._next.cancel()
            self._next = None

    def stopProducing(self) -> None:
        self.pauseProducing()
        self._producer.stopProducing()

    def _pull(self) -> None:
        self._producer.resumeProducing()
        if not self._stream.paused and self._stream._producer is self:
            self._next = self._stream.call_later(0, self._pull)


class ThreadCall:
    """The call as a blocking tool in a thread sees it: the same words, carried to the reactor's thread.

    Attributes:
        cancelled: True when the result is no longer wanted; a long loop should look at it.
    """

    def __init__(self, call: Call, threads: Threads) -> None:
        self._call = call
        self._threads = threads
        self.cancelled = False
        call.on_cancel(self._cancel)

    def progress(self, value: float, total: float | None = None, message: str | None = None) -> None:
        """See `Call.progress`."""
        self._threads.call_in_reactor(self._call.progress, value, total, message)

    def log(self, level: LogLevel, data: Any, logger: str | None = None) -> None:
        """See `Call.log`."""
        self._threads.call_in_reactor(self._call.log, level, data, logger)

    def on_cancel(self, f: Callable[[], object]) -> None:
        """See `Call.on_cancel`; `f` is called in the reactor's thread."""
        self._threads.call_in_reactor(self._call.on_cancel, f)

    def sleep(self, seconds: float) -> NoReturn:
        """Not for threads."""
        raise RuntimeError("call.sleep is for async tools; in a thread use time.sleep and look at call.cancelled")

    def __getattr__(self, name: str) -> Any:
        return getattr(self._call, name)

    def _cancel(self) -> None:
        self.cancelled = True
