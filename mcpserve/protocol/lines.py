"""Messages as lines, on paper: from the bytes of a stream to the lines in it.

Spec: stdio: "Messages are delimited by newlines, and MUST NOT contain embedded newlines."
"""

from __future__ import annotations

from collections.abc import Sequence


class LineReader:
    """Cuts a stream of bytes into lines. Blank lines are left out.

    Args:
        limit: Bytes of the longest line. Nothing is kept of a longer one; it is told of once, at its first byte too
            many.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._held = bytearray()
        self._skips = False

    def feed(self, data: bytes) -> Sequence[bytes | None]:
        """Take some bytes.

        Returns:
            The lines that they complete, in order; None in place of one that is too long.
        """
        found: list[bytes | None] = []
        *ended, rest = data.split(b"\n")
        for piece in ended:
            self._add(piece, found)
            self._close(found)
        self._add(rest, found)
        return found

    def end(self) -> Sequence[bytes | None]:
        """The stream has ended: what is left counts as a line."""
        return self.feed(b"\n")

    def _add(self, piece: bytes, found: list[bytes | None]) -> None:
        if self._skips:
            return
        self._held += piece
        if len(self._held) > self._limit:
            self._skips = True
            self._held.clear()
            found.append(None)

    def _close(self, found: list[bytes | None]) -> None:
        if self._held.strip():
            found.append(bytes(self._held))
        self._skips = False
        self._held.clear()
