"""From one who has something to tell to all who want to hear it.

    publish      in any thread: the notice waits for the reactor; one with the same topic takes its place
    spread       in the reactor's next turn: each listener of the topic hears it

A publisher is never held up by a listener: what a listener can't take at once it keeps to itself, see
`subscriptions.Subscription`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from threading import Lock
from typing import Protocol

from twisted.logger import Logger

from mcpserve.protocol.notices import Notice, Topic

_log = Logger()


class Listener(Protocol):
    """Who hears of some topics."""

    def hear(self, notice: Notice) -> None:
        """Take a notice, in the reactor's thread. Returns at once, however slow the way to the client is."""


class Publisher:
    """Who listens to what, and what is to be told them.

    Args:
        soon: Calls a function in the reactor's thread, in a turn to come; may be called in any thread. It is
            `reactor.callFromThread`.
    """

    def __init__(self, soon: Callable[[Callable[[], None]], object]) -> None:
        self._soon = soon
        self._lock = Lock()
        self._waiting: dict[Topic, Notice] = {}
        self._listeners: dict[Topic, dict[Listener, None]] = {}

    def publish(self, notice: Notice) -> None:
        """Tell all who listen to the notice's topic, soon. May be called in any thread; never waits, never raises.

        Of notices with the same topic within a turn of the reactor, the last one is told.
        """
        if notice.topic not in self._listeners:
            return
        with self._lock:
            first = not self._waiting
            self._waiting[notice.topic] = notice
        if first:
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
        with self._lock:
            waiting, self._waiting = self._waiting, {}
        for notice in waiting.values():
            for listener in list(self._listeners.get(notice.topic, ())):
                try:
                    listener.hear(notice)
                except Exception:
                    _log.failure("A listener failed at {method}", method=notice.method)
