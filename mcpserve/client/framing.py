"""Lines of a child, on paper: messages, and what it complains of."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import attrs
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

EXCERPT = 512
"""Bytes that are kept of a line which is too long, at each end."""

COMPLAINT = 4096
"""Bytes that are kept of a line on standard error."""

SHOWN = 200
"""Characters of the last complaint that stand in an error."""

PER_SECOND = 100
"""Complaints that are logged in a second; what is beyond is counted."""

_log = Logger()


@attrs.frozen
class Overlong:
    """A line that is too long, and not kept: its beginning as soon as that is known, its end when it has come."""

    excerpt: bytes
    ended: bool


class Lines:
    """Cuts bytes into messages. Blank lines are left out.

    Args:
        limit: Bytes of the longest line.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._held = bytearray()
        self._tail: bytes | None = None

    def feed(self, data: bytes) -> Sequence[bytes | Overlong]:
        """Take some bytes, and give the lines that they complete."""
        found: list[bytes | Overlong] = []
        *ended, rest = data.split(b"\n")
        for piece in ended:
            if self._held or self._tail is not None or len(piece) > self._limit:
                self._add(piece, found)
                self._close(found)
            elif piece and not piece.isspace():
                found.append(piece)
        if rest:
            self._add(rest, found)
        return found

    def _add(self, piece: bytes, found: list[bytes | Overlong]) -> None:
        if self._tail is not None:
            self._tail = (self._tail + piece)[-EXCERPT:]
            return
        self._held += piece
        if len(self._held) > self._limit:
            found.append(Overlong(bytes(self._held[:EXCERPT]), ended=False))
            self._tail = bytes(self._held[-EXCERPT:])
            self._held.clear()

    def _close(self, found: list[bytes | Overlong]) -> None:
        if self._tail is not None:
            found.append(Overlong(self._tail, ended=True))
            self._tail = None
        elif not self._held.isspace():
            found.append(bytes(self._held))
        self._held.clear()


class Complaints:
    """Cuts what a child writes to standard error into lines; what is too long of a line is left out.

    Args:
        on_line: Takes each line. What it raises is logged.
    """

    def __init__(self, on_line: Callable[[str], object]) -> None:
        self._on_line = on_line
        self._held = b""
        self.last = ""
        """The last line that is not blank, shortened, and without control characters."""

    def feed(self, data: bytes) -> None:
        """Take some bytes."""
        *ended, rest = data.split(b"\n")
        for piece in ended:
            self._line((self._held + piece)[:COMPLAINT])
            self._held = b""
        self._held = (self._held + rest)[:COMPLAINT]

    def end(self) -> None:
        """Nothing more comes: what is left counts as a line."""
        self._line(self._held)
        self._held = b""

    def _line(self, line: bytes) -> None:
        text = line.decode("utf-8", "replace").rstrip()
        if not text:
            return
        self.last = printable(text)[:SHOWN]
        try:
            self._on_line(text)
        except Exception:
            _log.failure("A line of standard error could not be told")


class Logged:
    """Writes complaints to the log, as many as anybody would read.

    Args:
        name: Whose they are.
        clock: Tells the time.
    """

    def __init__(self, name: str, clock: IReactorTime) -> None:
        self._name = name
        self._clock = clock
        self._since = float("-inf")
        self._count = 0

    def __call__(self, line: str) -> None:
        """Take a line."""
        now = self._clock.seconds()
        if now - self._since >= 1.0:
            left_out = self._count - PER_SECOND
            self._since, self._count = now, 0
            if left_out > 0:
                _log.info("{name}: {left_out} more lines are left out", name=self._name, left_out=left_out)
        self._count += 1
        if self._count <= PER_SECOND:
            _log.info("{name}: {line}", name=self._name, line=printable(line))


def printable(text: str) -> str:
    """The text without what could steer a terminal."""
    return "".join(letter if letter.isprintable() else "\ufffd" for letter in text)
