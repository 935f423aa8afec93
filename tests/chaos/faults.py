"""What befalls the bytes between a client and a server: where, in which direction, and what. No input, no output.

    split       the bytes arrive in two pieces
    delay       the rest waits for a while
    reset       the connection breaks off: RST to both sides
    cut         the connection ends in good order: FIN to both sides
    blackhole   the connection stays, and nothing passes any more
    gone        as reset, and no connection can be made any more
    dead        as blackhole, on all connections that there are and will be
    restart     the server is gone with all that it knew, its connections with it; and is back at once
    garble      one byte arrives as another one
    close       nothing happens to the bytes, but the user closes the client
    cancel      the same, but the user cancels what he waits for

A position counts the bytes that have passed in one direction, over all connections: so the handshake, the call and the
farewell are one stream, and each of its bytes is a place where something can happen.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import attrs

Way = Literal["up", "down"]
Kind = Literal["split", "delay", "reset", "cut", "blackhole", "gone", "dead", "restart", "garble", "close", "cancel"]
WAYS: tuple[Way, ...] = ("up", "down")
KINDS: tuple[Kind, ...] = ("split", "delay", "reset", "cut", "blackhole")
MORE: tuple[Kind, ...] = ("gone", "dead", "restart", "garble", "close", "cancel")
HARMLESS = ("split", "delay")
"""After these, everything must come to its right end."""
SILENT = ("blackhole", "gone", "dead", "garble")
"""After these, nobody can be told of anything, or it is not understood."""


@attrs.frozen
class Fault:
    """One thing that happens.

    Args:
        kind: What.
        way: To the bytes of requests ("up"), or to those of answers ("down").
        at: After how many of them.
        again: On each connection, after so many bytes of that one; otherwise once.
    """

    kind: Kind
    way: Way
    at: int
    again: bool = False

    def __str__(self) -> str:
        return f"{self.kind} after {self.at} bytes {self.way}{' of each connection' if self.again else ''}"


@attrs.define(eq=False)
class Meter:
    """How many bytes have passed in each direction, and whether something has happened there."""

    passed: dict[Way, int] = attrs.Factory(lambda: {"up": 0, "down": 0})
    struck: bool = False


class Tap:
    """Looks at all bytes that pass, and says where they end.

    Args:
        fault: What happens; None for nothing.
        size: How large the next piece may be at the most, for each piece.
    """

    def __init__(self, fault: Fault | None = None, size: Callable[[], int] | None = None) -> None:
        self.fault = fault
        self.whole = Meter()
        """Of all connections together."""
        self._size = size

    @property
    def struck(self) -> bool:
        """Whether it has happened."""
        return self.whole.struck

    def take(self, way: Way, data: bytes, line: Meter) -> tuple[bytes, bytes, Kind | None]:
        """What of these bytes passes, what comes after it, and what happens between the two.

        Args:
            way: Their direction.
            data: The bytes; not empty.
            line: The meter of their connection.
        """
        end = len(data) if self._size is None else min(len(data), self._size())
        fault, kind = self.fault, None
        if fault is not None and fault.way == way:
            meter = line if fault.again else self.whole
            if not meter.struck and meter.passed[way] + end >= fault.at:
                self.whole.struck = meter.struck = True
                end, kind = fault.at - meter.passed[way], fault.kind
        self.whole.passed[way] += end
        line.passed[way] += end
        return data[:end], data[end:], kind


def garbled(data: bytes) -> bytes:
    """The same, but for the first byte."""
    return b"\0" + data[1:]
