"""Events kept for replay: the memory of each resumable stream, and the room that all of them share.

What is kept is bounded four times: events, bytes and age of one stream, and bytes of all streams together. Nothing is
skipped in silence: a log that has let go of an event says so to whoever asks for what came after an earlier one.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

import attrs

EVENT_COST = 100
"""Bytes of memory that an event costs beside its own, about."""

LOG_COST = 2500
"""Bytes of memory that a stream costs beside its events, about."""


@attrs.frozen(kw_only=True)
class EventLimits:
    """How much of one stream is kept.

    Args:
        count: Events.
        size: Bytes.
        age: Seconds; what is older goes at the next sweep.
    """

    count: int = 1000
    size: int = 1024 * 1024
    age: float = 600.0


class EventRoom:
    """The memory for replay that all streams of a server share.

    When it is full, room is made: first by letting go of streams that were delivered to their end, the oldest first;
    then by shortening the logs of the others, the largest first, so that nobody loses what is his because somebody else
    says much.

    Args:
        size: Bytes at the most.

    Attributes:
        used: Bytes that are taken, costs included.
    """

    __slots__ = ("_delivered", "_logs", "size", "used")

    def __init__(self, size: int = 256 * 1024 * 1024) -> None:
        self.size = size
        self.used = 0
        self._logs: dict[EventLog, None] = {}
        self._delivered: dict[EventLog, None] = {}

    def __len__(self) -> int:
        """How many logs hold something."""
        return len(self._logs)

    def enter(self, log: EventLog) -> None:
        """This log holds something from now on."""
        self._logs[log] = None
        self.used += LOG_COST

    def leave(self, log: EventLog) -> None:
        """It holds nothing any more."""
        del self._logs[log]
        self._delivered.pop(log, None)
        self.used -= LOG_COST

    def delivered(self, log: EventLog) -> None:
        """The stream of this log was delivered to its end."""
        self._delivered.setdefault(log)

    def make(self) -> None:
        """Make room, if more is taken than there is."""
        while self.used > self.size and self._delivered:
            next(iter(self._delivered)).let_go()
        if self.used > self.size:
            self._shorten()

    def sweep(self, now: float) -> None:
        """Let go of what is too old. To be called now and then."""
        for log in list(self._logs):
            log.sweep(now)

    def _shorten(self) -> None:
        """Shorten logs until a tenth of the room is free, so that it need not be done for each event."""
        enough = self.size * 9 // 10
        by_size = sorted(self._logs, key=lambda log: log.size, reverse=True)
        for shorten in (EventLog.shorten, EventLog.let_go):
            for log in by_size:
                if self.used <= enough:
                    return
                shorten(log)


class EventLog:
    """The last events of one stream, numbered from 1.

    Number 0 stands for the start of the stream, before its first event.

    Args:
        limits: How much is kept; the oldest events go first.
        room: What it shares with others.

    Attributes:
        last: The number of the newest event; 0 if there was none.
        size: Bytes of the events that are kept.
        on_trim: Called when events were let go of.
    """

    __slots__ = ("_events", "_limits", "_marks", "_on_let_go", "_room", "last", "on_trim", "size")

    def __init__(self, limits: EventLimits, room: EventRoom | None = None, last: int = 0) -> None:
        self._limits = limits
        self._room = EventRoom() if room is None else room
        self._events: deque[bytes] = deque()
        self._marks: deque[tuple[float, int]] | None = None
        self.size = 0
        self.last = last
        self.on_trim: Callable[[], object] | None = None
        self._on_let_go: Callable[[], object] | None = None

    def append(self, event: bytes) -> None:
        """Keep an event as number `last + 1`."""
        events, room, limits = self._events, self._room, self._limits
        size = len(event)
        if not events:
            room.enter(self)
        self.last += 1
        events.append(event)
        self.size += size
        room.used += size + EVENT_COST
        if len(events) > limits.count or self.size > limits.size:
            self._trim()
        if room.used > room.size:
            room.make()

    def after(self, number: int) -> list[bytes] | None:
        """The events that follow this number, in order; None if the number is unknown or some of them are gone."""
        missing = self.last - number
        if number < 0 or missing < 0 or missing > len(self._events):
            return None
        return list(self._events)[len(self._events) - missing :]

    @property
    def first(self) -> int:
        """The number of the oldest event that is kept; `last + 1` if none is."""
        return self.last - len(self._events) + 1

    def sweep(self, now: float) -> None:
        """Let go of what is too old: what was there at a sweep as long ago as the age that is allowed."""
        marks = self._marks = deque() if self._marks is None else self._marks
        marks.append((now, self.last))
        gone = -1
        while marks and marks[0][0] <= now - self._limits.age:
            gone = marks.popleft()[1]
        if gone >= self.first:
            self._drop(gone - self.first + 1)

    def shorten(self) -> None:
        """Let go of all but the newest event."""
        if len(self._events) > 1:
            self._drop(len(self._events) - 1)

    def clear(self) -> None:
        """Let go of everything."""
        if self._events:
            self._drop(len(self._events))

    def end(self, on_let_go: Callable[[], object], delivered: bool) -> None:
        """There will be no more.

        Args:
            on_let_go: Called if nothing of it is kept any more, as the room is needed; at once if there is nothing.
            delivered: True if all was delivered: then it goes before others.
        """
        self._on_let_go = on_let_go
        if not self._events:
            self.let_go()
        elif delivered:
            self._room.delivered(self)

    def let_go(self) -> None:
        """Let go of everything, as the room is needed."""
        self.clear()
        if self._on_let_go is not None:
            self._on_let_go()

    def close(self) -> None:
        """Nobody will ask for anything any more, or wants to be told."""
        self.on_trim = self._on_let_go = None
        self.clear()

    def _trim(self) -> None:
        """Keep within the limits of one stream. The newest event is kept in any case."""
        events, limits = self._events, self._limits
        while len(events) > limits.count or (self.size > limits.size and len(events) > 1):
            size = len(events.popleft())
            self.size -= size
            self._room.used -= size + EVENT_COST
        if self.on_trim is not None:
            self.on_trim()

    def _drop(self, number: int) -> None:
        size = sum([len(self._events.popleft()) for _ in range(number)])
        self.size -= size
        self._room.used -= size + number * EVENT_COST
        if not self._events:
            self._room.leave(self)
        if self.on_trim is not None:
            self.on_trim()
