"""The process of a command: it runs a job on the reactor, and ends as it is asked to.

Ctrl-C, SIGTERM      the job is cancelled, and with it what runs on the server; once more: the process ends at once
a closed pipe        the same, without a word
"""

from __future__ import annotations

import os
import signal
import stat
import sys
from collections.abc import Callable
from types import FrameType
from typing import Any, TextIO

from twisted.internet import reactor
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IReadDescriptor
from twisted.logger import globalLogBeginner
from twisted.python.failure import Failure
from zope.interface import implementer

from mcpserve.cli.connecting import connect
from mcpserve.cli.screens import Unwritable
from mcpserve.cli.surroundings import Job, Surroundings
from mcpserve.cli.verdicts import CLOSED_PIPE, INTERRUPTED, TERMINATED, WRONG_USAGE

_SHOW_CURSOR = "\x1b[?25h"
_BOUNCE = 0.2
"""Seconds within which two signals are one: who signals a process and then its group, as `timeout` does, means one."""


class Running:
    """A job that runs.

    Args:
        reactor: What it runs on.
        err: Where is said that it is being cancelled.
        end: Ends the process at once.

    Attributes:
        status: The exit status, when it is over or has to end.
        tell: Tells the person of it.
    """

    def __init__(self, reactor: Any, err: TextIO, end: Callable[[int], object] = os._exit) -> None:
        self.status: int | None = None
        self.tell: Callable[[str], object] = self._say
        self._reactor, self._err, self._end = reactor, err, end
        self._work: Deferred[int] | None = None
        self._failure: Failure | None = None
        self._signalled: float | None = None

    def begin(self, job: Job, around: Surroundings) -> None:
        """Begin; stops the reactor at the end."""
        self._work = Deferred.fromCoroutine(_awaited(job, around))
        self._work.addCallbacks(self._done, self._failed).addBoth(lambda _: self._reactor.stop())

    def outcome(self) -> int:
        """The exit status of what is over.

        Raises:
            Exception: What nobody expected.
        """
        if self._failure is not None:
            self._failure.raiseException()
        return INTERRUPTED if self.status is None else self.status

    def cancel(self, status: int) -> None:
        """Cancel it from outside, soon; it ends with this status."""
        if self.status is None:
            self.status = status
            self._reactor.callLater(0, self._cancel)

    def on_signal(self, number: int, frame: FrameType | None) -> None:
        """Ctrl-C or SIGTERM: cancel it; the second time, end without waiting for anybody."""
        status = TERMINATED if number == signal.SIGTERM else INTERRUPTED
        if self._signalled is not None and self._reactor.seconds() - self._signalled < _BOUNCE:
            return
        if self.status is not None:
            if self._err.isatty():
                self._err.write(_SHOW_CURSOR)
                self._err.flush()
            self._end(status)
            return
        self.status, self._signalled = status, self._reactor.seconds()
        self._reactor.callFromThread(self._interrupt)

    def _interrupt(self) -> None:
        self.tell("cancelling on the server; once more ends at once")
        self._cancel()

    def _say(self, sentence: str) -> None:
        self._err.write(f"mcpserve: {sentence}\n")
        self._err.flush()

    def _cancel(self) -> None:
        if self._work is not None:
            self._work.cancel()

    def _done(self, status: int) -> None:
        self.status = status if self.status is None else self.status

    def _failed(self, failure: Failure) -> None:
        if failure.check(BrokenPipeError):
            self.status = CLOSED_PIPE
        elif failure.check(Unwritable):
            self.status = WRONG_USAGE
            self._say(str(failure.value))
        elif not failure.check(CancelledError):
            self._failure = failure


@implementer(IReadDescriptor)
class PipeWatch:
    """Notices that nobody reads a pipe any more, before something is written to it.

    Args:
        stream: What is watched, if it is a pipe.
        running: What is cancelled.
    """

    def __init__(self, stream: TextIO, running: Running) -> None:
        self._stream, self._running = stream, running

    def watch(self, reactor: Any) -> None:
        """Begin."""
        if stat.S_ISFIFO(os.fstat(self.fileno()).st_mode):
            reactor.addReader(self)

    def fileno(self) -> int:
        """The descriptor that is watched."""
        return self._stream.fileno()

    def logPrefix(self) -> str:
        """How the reactor calls it in its log."""
        return "pipe"

    def doRead(self) -> Failure | None:
        """The end that we write to can't be read: that it seems so means that it is broken."""
        return Failure(BrokenPipeError())

    def connectionLost(self, reason: Failure) -> None:
        """Nobody reads."""
        self._running.cancel(CLOSED_PIPE)


def run(job: Job) -> int:
    """Run a job in this process, with its streams, its environment and its signals; gives the exit status."""
    process: Any = reactor
    globalLogBeginner.beginLoggingTo([], redirectStandardIO=False)
    out, err = _writable(sys.stdout), _writable(sys.stderr)
    running = Running(process, err)
    around = Surroundings(
        reactor=process,
        input=sys.stdin or open(os.devnull),  # noqa: SIM115  it lives as long as the process
        out=out,
        err=err,
        environment=os.environ,
        connect=connect,
        ending=running,
    )

    def started() -> None:
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, running.on_signal)
        PipeWatch(out, running).watch(process)
        running.begin(job, around)

    process.callWhenRunning(started)
    process.run()
    if running.status in (CLOSED_PIPE, WRONG_USAGE):
        _silence(out)
    return running.outcome()


async def _awaited(job: Job, around: Surroundings) -> int:
    return await job(around)


def _writable(stream: TextIO | None) -> TextIO:
    """A stream that takes also what its encoding does not know; in the place of one that is closed, one to nowhere."""
    made: Any = stream or open(os.devnull, "w")  # noqa: SIM115
    made.reconfigure(errors="backslashreplace")
    return made  # type: ignore[no-any-return]


def _silence(stream: TextIO) -> None:
    """What is still in its buffer goes nowhere: Python writes it when it ends, and would complain."""
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, stream.fileno())
    os.close(null)
