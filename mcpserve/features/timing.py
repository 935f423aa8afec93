"""Timers by the thousand: a timing wheel behind the LoopingCall and DelayedCall that authors know.

The reactor keeps its delayed calls in a heap; a LoopingCall for each of some thousand streams makes that heap the
bottleneck. Here all that is due in the same 5 ms shares one delayed call of the clock, and a slot that holds nothing
holds no delayed call either, so that a server at rest leaves `getDelayedCalls()` empty.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Protocol

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from mcpserve.features.awaiting import READY, cancel, deferred, is_awaitable

GRANULARITY = 0.005
"""Seconds. Nothing fires early; it fires at most this much late."""


class Entry(Protocol):
    """What the wheel can hold: it knows its slot and what to do when it is due."""

    slot: Slot | None

    def fire(self) -> None:
        """Do it; called once for each time it was added."""


class Slot:
    """All that is due in the same tick of the wheel."""

    __slots__ = ("delayed", "entries", "index")

    def __init__(self, index: int) -> None:
        self.index = index
        self.entries: dict[Entry, None] = {}
        self.delayed: IDelayedCall | None = None


class TimingWheel:
    """Timers that share delayed calls of a clock.

    Args:
        clock: The reactor, or a `task.Clock` in tests; owned by the caller.
    """

    log = Logger()

    def __init__(self, clock: IReactorTime) -> None:
        self.clock = clock
        self._slots: dict[int, Slot] = {}

    def add(self, entry: Entry, due: float) -> None:
        """Fire `entry` when the clock reaches `due` (seconds of the clock)."""
        index = math.ceil(due / GRANULARITY - 1e-6)
        slot = self._slots.get(index)
        if slot is None:
            slot = self._slots[index] = Slot(index)
            wait = max(0.0, index * GRANULARITY - self.clock.seconds())
            slot.delayed = self.clock.callLater(wait, self._run, slot)
        slot.entries[entry] = None
        entry.slot = slot

    def remove(self, entry: Entry) -> None:
        """Forget `entry`; does nothing when it is not waiting."""
        slot, entry.slot = entry.slot, None
        if slot is None:
            return
        slot.entries.pop(entry, None)
        if not slot.entries and self._slots.get(slot.index) is slot:
            del self._slots[slot.index]
            assert slot.delayed is not None
            slot.delayed.cancel()

    def call_later(self, delay: float, f: Callable[..., object], *args: object) -> Timer:
        """Call `f(*args)` once, `delay` seconds from now."""
        timer = Timer(self, f, args)
        self.add(timer, self.clock.seconds() + delay)
        return timer

    def __len__(self) -> int:
        return sum(len(slot.entries) for slot in self._slots.values())

    def _run(self, slot: Slot) -> None:
        del self._slots[slot.index]
        # An entry may remove others of the same slot while it fires; those must not fire.
        while slot.entries:
            entry = next(iter(slot.entries))
            del slot.entries[entry]
            entry.slot = None
            try:
                entry.fire()
            except BaseException:  # whatever it was, the others in the slot still have their turn
                self.log.failure("A timer failed")


class Timer:
    """A delayed call: fires once unless it is cancelled before. Like Twisted's `IDelayedCall` where it matters."""

    __slots__ = ("_args", "_f", "_wheel", "on_done", "slot")

    def __init__(self, wheel: TimingWheel, f: Callable[..., object], args: tuple[object, ...]) -> None:
        self._wheel = wheel
        self._f = f
        self._args = args
        self.slot: Slot | None = None
        self.on_done: Callable[[Timer], object] | None = None

    def active(self) -> bool:
        """True until it fired or was cancelled."""
        return self.slot is not None

    def cancel(self) -> None:
        """Do not fire. Does nothing when it already did, or was cancelled before."""
        if self.slot is not None:
            self._wheel.remove(self)
            self._done()

    def stop(self) -> None:
        """The same as `cancel`: what owns timers and repetitions alike stops them by one name."""
        self.cancel()

    def fire(self) -> None:
        """Called by the wheel."""
        self._done()
        self._f(*self._args)

    def _done(self) -> None:
        if self.on_done is not None:
            self.on_done(self)


class Repeating:
    """A LoopingCall on the wheel.

    It calls `f()` every `interval` seconds. If `f` returns a Deferred or a coroutine, the next call waits for it; calls
    that were missed meanwhile are skipped, and the rhythm is kept. When `f` raises, it stops and tells `failed`.

    Args:
        wheel: Where it turns.
        interval: Seconds between two calls; more than 0. A shorter one than GRANULARITY counts as GRANULARITY.
        f: What to call.
        failed: Gets the exception that ended the repetition.
    """

    __slots__ = ("_due", "_f", "_failed", "_waiting", "_wheel", "interval", "on_done", "running", "slot")

    def __init__(
        self, wheel: TimingWheel, interval: float, f: Callable[[], object], failed: Callable[[BaseException], object]
    ) -> None:
        if not interval > 0 or math.isinf(interval):
            raise ValueError(f"an interval is more than 0 seconds and finite, not {interval!r}")
        self._wheel = wheel
        self._f = f
        self._failed = failed
        self._due = 0.0
        self._waiting: Deferred[object] | None = None
        self.interval = max(interval, GRANULARITY)
        self.running = False
        self.slot: Slot | None = None
        self.on_done: Callable[[Repeating], object] | None = None

    def start(self, now: bool = False) -> Repeating:
        """Begin: at once when `now`, else one interval from now."""
        self.running = True
        self._due = self._wheel.clock.seconds()
        if now:
            self.fire()
        else:
            self._due += self.interval
            self._wheel.add(self, self._due)
        return self

    def stop(self) -> None:
        """Call `f` no more, and cancel the Deferred of a call that has not ended. May be called at any time."""
        self._done()
        self._wheel.remove(self)
        waiting, self._waiting = self._waiting, None
        if waiting is not None:
            cancel(waiting)

    def fire(self) -> None:
        """Called by the wheel."""
        try:
            result = self._f()
        except BaseException as error:
            self._fail(error)
            return
        if result is None or result is READY or not is_awaitable(result):
            self._again()
        else:
            self._wait(deferred(result))

    def _wait(self, result: Deferred[Any]) -> None:
        self._waiting = result
        result.addCallbacks(self._ended, self._broke)
        if not self.running:  # stopped by the very call that it would wait for
            self.stop()

    def _ended(self, _: object) -> None:
        self._waiting = None
        self._again()

    def _broke(self, failure: Failure) -> Failure | None:
        if not self.running:
            return failure
        assert failure.value is not None
        self._fail(failure.value)
        return None

    def _again(self) -> None:
        if not self.running:
            return
        self._due += self.interval
        now = self._wheel.clock.seconds()
        if self._due <= now:
            self._due += self.interval * math.ceil((now - self._due) / self.interval + 1e-9)
        self._wheel.add(self, self._due)

    def _fail(self, error: BaseException) -> None:
        self._waiting = None
        if self.running:
            self._done()
            self._failed(error)

    def _done(self) -> None:
        self.running = False
        if self.on_done is not None:
            self.on_done(self)
