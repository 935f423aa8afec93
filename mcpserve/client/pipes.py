"""The ends of a child's pipes, and its end, as things that a reactor watches."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import IO, Any, Protocol

from twisted.internet.abstract import FileDescriptor
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.internet.main import CONNECTION_DONE, CONNECTION_LOST
from twisted.python.failure import Failure

PIECE = 64 * 1024
"""Bytes that are read at once: what a pipe usually holds."""

DRAINED = 1024 * 1024
"""Bytes that a pipe can hold at the most: what may be left of one who has died."""

LOOK = 0.05
"""Seconds between two looks at something that does not tell of itself."""


class Pipe(FileDescriptor):
    """An end of a pipe that is ours.

    Args:
        reactor: Watches it.
        file: The end; it belongs to this from now on.
        on_end: Called once when the other end is closed; not after `shut`.
    """

    connected = 1

    def __init__(self, reactor: Any, file: IO[bytes], on_end: Callable[[], object]) -> None:
        super().__init__(reactor)
        os.set_blocking(file.fileno(), False)
        self._file = file
        self._number = file.fileno()
        self._on_end = on_end

    def fileno(self) -> int:
        """See `IFileDescriptor`; -1 when it is closed."""
        return self._number

    def shut(self) -> None:
        """Close it now. May be called again."""
        if self._number >= 0:
            self._close()

    def connectionLost(self, reason: Failure) -> None:
        """The reactor is done with it."""
        if self._number >= 0:
            self._close()
            self._on_end()

    def _close(self) -> None:
        self.reactor.removeReader(self)
        self.reactor.removeWriter(self)
        self.connected = 0
        self.disconnected = True
        self._number = -1
        self._file.close()


class Output(Pipe):
    """What a child writes.

    Args:
        reactor: Watches it.
        file: The end that is read.
        on_data: Takes what comes.
        on_end: See `Pipe`.
    """

    def __init__(
        self, reactor: Any, file: IO[bytes], on_data: Callable[[bytes], object], on_end: Callable[[], object]
    ) -> None:
        super().__init__(reactor, file, on_end)
        self._on_data = on_data
        reactor.addReader(self)

    def doRead(self) -> Exception | None:
        """Read once; see `IReadDescriptor`."""
        try:
            data = os.read(self._number, PIECE)
        except (BlockingIOError, InterruptedError):
            return None
        except OSError:
            return CONNECTION_LOST
        if not data:
            return CONNECTION_DONE
        self._on_data(data)
        return None

    def drain(self) -> None:
        """Read what is there, and close it. Someone else may hold the other end for ever, and write on."""
        room = DRAINED
        while self._number >= 0 and room > 0:
            try:
                data = os.read(self._number, PIECE)
            except OSError:
                break
            if not data:
                break
            room -= len(data)
            self._on_data(data)
        self.shut()


class Input(Pipe):
    """What a child reads.

    Args:
        reactor: Watches it.
        file: The end that is written.
        on_end: See `Pipe`.
    """

    unsent = 0
    """How many bytes wait until the child reads."""

    def write(self, data: bytes) -> None:
        """Write as soon as may be. Does nothing when it is closed."""
        if self.connected and not self.disconnecting:
            self.unsent += len(data)
            super().write(data)

    def finish(self) -> None:
        """Close it when all is written."""
        if self.unsent:
            FileDescriptor.loseConnection(self)
        else:
            self.shut()

    def writeSomeData(self, data: bytes) -> int | Exception:
        """Write what the pipe takes; see `FileDescriptor`."""
        try:
            written = os.write(self._number, data[:PIECE])
        except (BlockingIOError, InterruptedError):
            return 0
        except OSError:
            return CONNECTION_LOST
        self.unsent -= written
        return written

    def connectionLost(self, reason: Failure) -> None:
        """See `Pipe`. That we closed it ourselves is nothing to tell."""
        if self.disconnecting:
            self.shut()
        else:
            super().connectionLost(reason)


class Watch(Protocol):
    """Watches a process."""

    def stop(self) -> None:
        """Watch no more. May be called again."""


class ExitWatch(FileDescriptor):
    """Told by the system when a process ends.

    Args:
        reactor: Waits for it.
        number: A file descriptor of the process, which belongs to this from now on.
        on_exit: Called when the process has ended.
    """

    connected = 1

    def __init__(self, reactor: Any, number: int, on_exit: Callable[[], object]) -> None:
        super().__init__(reactor)
        self._number = number
        self._on_exit = on_exit
        reactor.addReader(self)

    def fileno(self) -> int:
        """See `IFileDescriptor`; -1 when it is closed."""
        return self._number

    def doRead(self) -> None:
        """It can be read: the process has ended."""
        self.stop()
        self._on_exit()

    def connectionLost(self, reason: Failure) -> None:
        """The reactor is done with it."""
        self.stop()

    def stop(self) -> None:
        """See `Watch`."""
        if self._number >= 0:
            self.reactor.removeReader(self)
            os.close(self._number)
            self._number = -1


class Lookout:
    """Looks again and again whether a process has ended, where the system does not tell.

    Args:
        clock: Says when.
        look: Called each time, until `stop`.
    """

    def __init__(self, clock: IReactorTime, look: Callable[[], object]) -> None:
        self._clock = clock
        self._look = look
        self._next: IDelayedCall | None = clock.callLater(LOOK, self._again)

    def stop(self) -> None:
        """See `Watch`."""
        following, self._next = self._next, None
        if following is not None and following.active():
            following.cancel()

    def _again(self) -> None:
        self._next = self._clock.callLater(LOOK, self._again)
        self._look()


def watch(reactor: Any, pid: int, on_exit: Callable[[], object]) -> Watch:
    """Watch a child of ours. What is called may be called before its end, too."""
    try:
        number = os.pidfd_open(pid)
    except (AttributeError, OSError):
        return Lookout(reactor, on_exit)
    return ExitWatch(reactor, number, on_exit)
