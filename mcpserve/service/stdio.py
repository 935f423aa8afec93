"""The process behind stdio: whose the descriptors are, what stops it, and in which order it ends.

    the client closes our input    no more is taken; what runs may go on for `drain` seconds, and is answered
    SIGTERM, Ctrl-C                the same
    either, once more              what runs is cancelled
    the client reads no more       what runs is cancelled
Then what is said is written, listen streams and calls that were cancelled have their last word, and the process ends
with 0. Standard output carries messages and nothing else: from the start, descriptor 1 is standard error for everybody
but us, for `print`, for code in C, and for child processes.

Spec: 2026-07-28, stdio, Shutdown: "Servers SHOULD exit promptly when their standard input is closed or reads return
end-of-file."
"""

from __future__ import annotations

import fcntl
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import attrs
from twisted.internet.defer import Deferred
from twisted.internet.stdio import StandardIO
from twisted.logger import (
    FilteringLogObserver,
    LogLevel,
    LogLevelFilterPredicate,
    globalLogBeginner,
)

from mcpserve.errors import StartError
from mcpserve.features.catalog import Catalogs
from mcpserve.legacy.handshake import Handshake
from mcpserve.legacy.talk import Talk
from mcpserve.server.conversation import Conversation
from mcpserve.service.logs import Logs
from mcpserve.service.observers import Observers
from mcpserve.service.offer import Offer, pause
from mcpserve.service.settings import Settings
from mcpserve.service.signals import on_stop
from mcpserve.stdio import LegacyFace, LineLimits, LineProtocol

_StandardIO: Any = StandardIO  # mypy takes it for the one of Windows, which has fewer arguments

_LOOK = 0.02
"""Seconds between two looks at whether all is written."""

_HURRY = 0.1
"""Seconds for the last words when somebody is in a hurry."""


class LineServer:
    """Serves one connection to its end.

    Args:
        reactor: What it runs on.
        settings: What the operator set.
        catalogs: What plugins bring.
        logs: How it writes about requests.

    Attributes:
        protocol: To be connected to a transport.
        over: Fires with None when all is over.
    """

    def __init__(self, reactor: Any, settings: Settings, catalogs: Catalogs, logs: Logs | None = None) -> None:
        self._reactor = reactor
        self._settings = settings
        self._observers = Observers(reactor, attrs.evolve(settings, ops_listen=()), logs or Logs())
        self.offer = Offer(reactor, settings, catalogs, observer=self._observers.observer)
        limits = LineLimits(line=settings.body_limit, buffer=settings.stream_buffer)
        self._handshake = Handshake(self.offer.dispatcher, self.offer.subscriptions)
        self.protocol = LineProtocol(self.offer.dispatcher, limits, self._legacy, self.stop, settings.access.local)
        self.over: Deferred[None] = Deferred()
        self._stopping = False
        self._hurried = False

    def start(self) -> None:
        """Begin to serve."""
        self.offer.start()
        self._observers.start(self.offer)

    def stop(self) -> None:
        """Begin to end, if that has not begun."""
        if not self._stopping:
            self._stopping = True
            self.protocol.deafen()
            Deferred.fromCoroutine(self._end()).chainDeferred(self.over)

    def stop_or_hurry(self) -> None:
        """End; when asked again, end faster."""
        if self._stopping:
            self._hurried = True
            self.offer.hurry()
        else:
            self.stop()

    async def _end(self) -> None:
        await self.offer.wind_up(self._settings.drain)
        self.protocol.finish()
        limit = self._reactor.seconds() + self._settings.write_stall
        while self.protocol.connection is not None and self._reactor.seconds() < limit:
            if self._hurried:
                limit = min(limit, self._reactor.seconds() + _HURRY)
                self._hurried = False
            await pause(self._reactor, _LOOK)
        self.offer.stop()
        await self._observers.stop()

    def _legacy(self, conversation: Conversation) -> LegacyFace:
        return Talk(self._handshake, conversation, self._settings.access.local)


@attrs.frozen
class Descriptors:
    """What the messages come from and go to; nobody else has these."""

    reading: int
    writing: int


def claim_descriptors() -> Descriptors:
    """Take standard input and output for the messages, and leave an empty input and standard error in their places.

    Raises:
        StartError: One of them is closed.
    """
    # Where one was closed from the start, its number may be that of something else by now; Python has seen it closed.
    for stream, name in ((sys.__stdin__, "input"), (sys.__stdout__, "output")):
        if stream is None:
            raise StartError(f"standard {name} is closed")
    claimed = Descriptors(os.dup(0), os.dup(1))
    null = os.open(os.devnull, os.O_RDWR)
    os.dup2(null, 0)
    os.dup2(null if sys.__stderr__ is None else 2, 1)
    os.close(null)
    if sys.stderr is not None:
        sys.stdout = sys.stderr  # which does not wait for a full buffer
    return claimed


@contextmanager
def as_they_were(descriptors: Descriptors) -> Iterator[None]:
    """Leave the modes of the descriptors as they were: a terminal is that of the shell, too."""
    modes = {number: fcntl.fcntl(number, fcntl.F_GETFL) for number in (descriptors.reading, descriptors.writing)}
    try:
        yield
    finally:
        for number, mode in modes.items():
            try:
                fcntl.fcntl(number, fcntl.F_SETFL, mode)
            except OSError:
                continue  # closed by now; the writing one has been set back already


def log_to_stderr(logs: Logs) -> None:
    """Write warnings and errors where a host shows them or keeps them; and lines about requests, where they are wanted.

    Args:
        logs: How.
    """
    severe = LogLevelFilterPredicate(defaultLogLevel=LogLevel.warn)
    # where there is no standard error, this is the place of standard output, and leads nowhere
    observer = FilteringLogObserver(logs.observer(sys.stderr or sys.stdout), [severe])
    globalLogBeginner.beginLoggingTo([observer], redirectStandardIO=False)


def run(reactor: Any, settings: Settings, catalogs: Catalogs, descriptors: Descriptors, logs: Logs) -> None:
    """Serve on these descriptors until all is over."""
    server = LineServer(reactor, settings, catalogs, logs)

    def started() -> None:
        on_stop(reactor, server.stop_or_hurry)
        server.start()
        _StandardIO(server.protocol, descriptors.reading, descriptors.writing, reactor)

    server.over.addBoth(lambda _: reactor.stop())
    reactor.callWhenRunning(started)
    with as_they_were(descriptors):
        reactor.run()
