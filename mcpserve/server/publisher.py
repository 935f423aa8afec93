"""From one who has something to tell to all who want to hear it.

    publish      in any thread: the notice waits for the reactor; one with the same topic takes its place
    spread       in the reactor's next turn: each listener of the topic hears it; many of them take several turns, so
                 that nothing else is held up

A publisher is never held up by a listener: what a listener can't take at once it keeps to itself, see
`subscriptions.Subscription`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from threading import Lock
from typing import Protocol

from twisted.logger import Logger

from mcpserve.protocol.notices import Notice, Topic

_log = Logger()

A_TURN = 250
"""Listeners that hear in one turn of the reactor: some milliseconds."""


class Listener(Protocol):
    """Who hears of some topics."""

    def hear(self, notice: Notice) -> None:
        """Take a notice, in the reactor's thread. Returns at once, however slow the way to the client is."""


class Publisher:
    """Who listens to what, and what is to be told them.

    Args:
        soon: Calls a function in the reactor's thread, in a turn to come; may be called in any thread. It is
            `reactor.callFromThread`.

    Attributes:
        told: How often a listener has heard a notice.
        coalesced: How many notices were not told on their own, as a newer one of the same topic took their place.
    """

    def __init__(self, soon: Callable[[Callable[[], None]], object]) -> None:
        self._soon = soon
        self._lock = Lock()
        self._waiting: dict[Topic, Notice] = {}
        self._asked = False
        self._telling: Iterator[tuple[Listener, Notice]] | None = None
        self._listeners: dict[Topic, dict[Listener, None]] = {}
        self.told = 0
        self.coalesced = 0

    def publish(self, notice: Notice) -> None:
        """Tell all who listen to the notice's topic, soon. May be called in any thread; never waits, never raises.

        Of notices with the same topic within a turn of the reactor, the last one is told.
        """
        if notice.topic not in self._listeners:
            return
        with self._lock:
            before = self._waiting.get(notice.topic)
            self.coalesced += before is not None
            self._waiting[notice.topic] = notice.after(before)
            asked, self._asked = self._asked, True
        if not asked:
            self._soon(self._spread)

    def listen(self, listener: Listener, topics: Iterable[Topic]) -> None:
        """Let a listener hear of these topics."""
        for topic in topics:
            self._listeners.setdefault(topic, {})[listener] = None

    def leave(self, listener: Listener, topics: Iterable[Topic]) -> None:
        """Let it hear of them no more."""
        for topic in topics:
            listeners = self._listeners.get(topic)
            if listeners is not None:
                listeners.pop(listener, None)
                if not listeners:
                    del self._listeners[topic]

    def heard(self, topic: Topic) -> bool:
        """Tell whether anybody listens to a topic, so that a notice of it is worth making."""
        return topic in self._listeners

    def listened_to(self) -> int:
        """How many topics have a listener."""
        return len(self._listeners)

    def _spread(self) -> None:
        if self._telling is None:
            with self._lock:
                waiting, self._waiting = self._waiting, {}
            self._telling = self._pairs(waiting.values())
        now = list(islice(self._telling, A_TURN))
        for listener, notice in now:
            self._tell(listener, notice)
        if len(now) < A_TURN:
            self._telling = None
        with self._lock:
            self._asked = self._telling is not None or bool(self._waiting)
        if self._asked:
            self._soon(self._spread)

    def _pairs(self, notices: Iterable[Notice]) -> Iterator[tuple[Listener, Notice]]:
        for notice in notices:
            for listener in list(self._listeners.get(notice.topic, ())):
                yield listener, notice

    def _tell(self, listener: Listener, notice: Notice) -> None:
        if listener not in self._listeners.get(notice.topic, ()):
            return  # it has left since
        self.told += 1
        try:
            listener.hear(notice)
        except Exception:
            _log.failure("A listener failed at {method}", method=notice.method)
