"""Events kept for replay: the memory of one resumable stream."""

from __future__ import annotations

from collections import deque

import attrs


@attrs.frozen(kw_only=True)
class EventLimits:
    """How much of one stream is kept.

    Args:
        count: Events.
        size: Bytes.
    """

    count: int = 1000
    size: int = 1024 * 1024


class EventLog:
    """The last events of one stream, numbered from 1.

    Number 0 stands for the start of the stream, before its first event.

    Args:
        limits: How much is kept; the oldest events go first.
    """

    __slots__ = ("_events", "_limits", "_size", "last")

    def __init__(self, limits: EventLimits) -> None:
        self._limits = limits
        self._events: deque[bytes] = deque()
        self._size = 0
        self.last = 0

    def append(self, event: bytes) -> None:
        """Keep an event as number `last + 1`."""
        self.last += 1
        self._events.append(event)
        self._size += len(event)
        while len(self._events) > self._limits.count or (self._size > self._limits.size and len(self._events) > 1):
            self._size -= len(self._events.popleft())

    def after(self, number: int) -> list[bytes] | None:
        """The events that follow this number, in order; None if the number is unknown or some of them are gone."""
        missing = self.last - number
        if number < 0 or missing < 0 or missing > len(self._events):
            return None
        return list(self._events)[len(self._events) - missing :]
