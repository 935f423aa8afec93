"""How long the client waits, how much it takes, and how often it tries: values with defaults that never hang."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import attrs
from twisted.internet.interfaces import IReactorTime


@attrs.frozen(kw_only=True)
class Timeouts:
    """Deadlines, in seconds; None for none.

    Args:
        connect: From the wish for a connection until it stands, TLS included; or until a child process was started.
        head: From the request until the head of its answer; where one connection carries all, until the first message.
        idle: Between two signs of life within an answer; comments of an event stream count.
        total: From the call until its result, over all rounds, repetitions and resumptions.
        close: For the last words to a server when the client is closed.
    """

    connect: float | None = 10.0
    head: float | None = 300.0
    idle: float | None = 300.0
    total: float | None = None
    close: float = 2.0


@attrs.frozen(kw_only=True)
class Limits:
    """How much the client takes, in bytes, unless it says otherwise.

    Args:
        body: The largest JSON body, the largest line of stdio, and all pages of a list but the last together.
        event: The largest event of a stream.
        buffer: What may wait for a consumer that is slow; past it no more is read, or the call fails.
        rounds: How often a server may ask for input in one call (a number).
        pages: How many pages one list may have (a number).
        connections: How many connections may be idle for reuse (a number).
    """

    body: int = 64 * 1024 * 1024
    event: int = 16 * 1024 * 1024
    buffer: int = 1024 * 1024
    rounds: int = 10
    pages: int = 1000
    connections: int = 8


@attrs.frozen(kw_only=True)
class Retries:
    """How a lost stream is resumed and a dead child is started again.

    Args:
        attempts: How many in a row may fail.
        first: Seconds before the first one, where the server did not say how long.
        factor: By how much that grows with each failure.
        longest: Seconds that are waited at the most.
        jitter: The share of the waiting time that is left to chance, 0 to 1.
    """

    attempts: int = 5
    first: float = 0.5
    factor: float = 2.0
    longest: float = 30.0
    jitter: float = 0.2

    def delay(self, failures: int, chance: float) -> float:
        """Seconds to wait after so many failures in a row (0 for none yet); `chance` is random, 0 to 1."""
        whole = min(self.first * self.factor**failures, self.longest)
        return whole * (1 - self.jitter * chance)


@attrs.frozen(kw_only=True)
class Terms:
    """The terms on which the client talks to a server, whatever the way there.

    Args:
        reactor: Time, connections, child processes.
        timeouts: How long to wait.
        limits: How much to take.
        retries: How often to try.
        revision: The one revision to speak; None to find out.
        random: Gives a number from 0 to 1, for the jitter of waiting times.
    """

    reactor: Any
    timeouts: Timeouts
    limits: Limits
    retries: Retries
    revision: str | None
    random: Callable[[], float]

    @property
    def clock(self) -> IReactorTime:
        """The reactor, as far as it tells the time."""
        clock: IReactorTime = self.reactor
        return clock
