"""Lines that a person types, read by the reactor: nothing waits for them but who asked, and Ctrl-C works meanwhile."""

from __future__ import annotations

import os
from typing import Any, Protocol, TextIO

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReadDescriptor
from twisted.python.failure import Failure
from zope.interface import implementer

_CHUNK = 65536


class Typing(Protocol):
    """Somebody who types."""

    async def line(self, prompt: str) -> str | None:
        """Ask for a line: without its end; None when there is no more, as after Ctrl-D."""


@implementer(IReadDescriptor)
class TerminalLines:
    """Reads a terminal in its usual mode, in which the system gives whole lines.

    Args:
        reactor: What watches it.
        terminal: What is read.
        err: Where the prompt is written.
    """

    def __init__(self, reactor: Any, terminal: TextIO, err: TextIO) -> None:
        self._reactor, self._terminal, self._err = reactor, terminal, err
        self._waiting: Deferred[str | None] | None = None
        self._read = b""

    async def line(self, prompt: str) -> str | None:
        """Ask for a line.

        Cancel: It is not waited for any more; what was typed is for the next one.
        """
        self._err.write(prompt)
        self._err.flush()
        waiting = self._waiting = Deferred(lambda _: self._stop())
        self._reactor.addReader(self)
        self._hand_out()
        return await waiting

    def fileno(self) -> int:
        """The descriptor that is watched."""
        return self._terminal.fileno()

    def logPrefix(self) -> str:
        """How the reactor calls it in its log."""
        return "terminal"

    def doRead(self) -> None:
        """There is something to read, or the end."""
        data = os.read(self.fileno(), _CHUNK)
        self._read += data
        if data:
            self._hand_out()
        else:
            self._give(None)

    def connectionLost(self, reason: Failure) -> None:
        """The terminal is gone."""
        self._give(None)

    def _hand_out(self) -> None:
        line, end, rest = self._read.partition(b"\n")
        if end:
            self._read = rest
            self._give(line.decode("utf-8", "replace").rstrip("\r"))

    def _give(self, line: str | None) -> None:
        waiting = self._waiting
        self._stop()
        if waiting is not None:
            waiting.callback(line)

    def _stop(self) -> None:
        self._waiting = None
        self._reactor.removeReader(self)
