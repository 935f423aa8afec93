"""What waits for a client that is behind with reading, where all requests share one way to it.

While the client keeps up nothing waits here. What notifications may wait is bounded in bytes; beyond the bound the
call that says most is ended, and what of it waits goes unsaid. Replies are never dropped: a client that asks for more
of them than it reads has to be kept from asking (`full`).
"""

from __future__ import annotations

from collections.abc import Callable

import attrs

from mcpserve.server.conversation import Voice


@attrs.define(eq=False)
class _Backlog:
    """What of one call waits: the numbers of its lines, and which of them is a bare progress number."""

    lines: dict[int, None] = attrs.field(factory=dict)
    size: int = 0
    bare: int | None = None


class Outbox:
    """The way out: what the transport does not take yet waits here. Implements `server.conversation.Way`.

    Args:
        write: Writes to the transport.
        limit: Bytes of notifications that may wait.
    """

    def __init__(self, write: Callable[[bytes], object], limit: int) -> None:
        self._write = write
        self._limit = limit
        self._behind = False
        self._number = 0
        self._waiting: dict[int, bytes] = {}
        self._backlogs: dict[Voice, _Backlog] = {}
        self._notices = 0
        self.size = 0

    @property
    def behind(self) -> bool:
        """True while the client is behind with reading."""
        return self._behind

    @property
    def full(self) -> bool:
        """True while so much waits that no more should be asked for."""
        return self.size > self._limit

    def say(self, message: bytes) -> None:
        """See `Way.say`."""
        line = message + b"\n"
        if self._behind:
            self._wait(line)
        else:
            self._write(line)

    def notify(self, voice: Voice, message: bytes, replaceable: bool) -> None:
        """See `Way.notify`."""
        line = message + b"\n"
        if not self._behind:
            self._write(line)
            return
        backlog = self._backlogs.setdefault(voice, _Backlog())
        if replaceable and backlog.bare is not None:
            self._take_back(backlog, backlog.bare)
        self._wait(line)
        backlog.lines[self._number] = None
        backlog.size += len(line)
        self._notices += len(line)
        backlog.bare = self._number if replaceable else backlog.bare
        self._keep_bound()

    def drop(self, voice: Voice) -> None:
        """See `Way.drop`."""
        backlog = self._backlogs.pop(voice, None)
        if backlog is not None:
            for number in list(backlog.lines):
                self._take_back(backlog, number)

    def pause(self) -> None:
        """The transport takes no more."""
        self._behind = True

    def flush(self) -> None:
        """The transport takes what waits; it may say `pause` again at once."""
        self._behind = False
        waiting, self._waiting = self._waiting, {}
        self._backlogs.clear()
        self._notices = self.size = 0
        if waiting:
            self._write(b"".join(waiting.values()))

    def _wait(self, line: bytes) -> None:
        self._number += 1
        self._waiting[self._number] = line
        self.size += len(line)

    def _take_back(self, backlog: _Backlog, number: int) -> None:
        del backlog.lines[number]
        size = len(self._waiting.pop(number))
        backlog.size -= size
        self._notices -= size
        self.size -= size

    def _keep_bound(self) -> None:
        while self._notices > self._limit and (live := list(filter(_live, self._backlogs))):
            max(live, key=lambda voice: self._backlogs[voice].size).overrun()


def _live(voice: Voice) -> bool:
    """One that has ended has said all it will say, and its reply comes after it."""
    return voice.live
