"""A child process in a process group of its own, and its three pipes, watched by the reactor.

    close      its input ends                          "Closing the input stream to the child process"
    + grace    SIGTERM to the group                    if it, or a child of its own, is still there
    + grace    SIGKILL to the group
    + 1 s      it is left alone, with a word in the log: the kernel does not let go of it

The reactor's own processes are not used: they need its signal handlers, which it does not have in a thread of a
synchronous program; they have no process groups; and a command that does not exist is not always told of.
"""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater
from twisted.logger import Logger

from mcpserve.client.pipes import LOOK, Input, Output, watch
from mcpserve.errors import Unreachable

_KILLED = 1.0
"""Seconds that the system may take to end what was killed."""

_log = Logger()


class Parent(Protocol):
    """Hears of a child."""

    def said(self, data: bytes) -> None:
        """It wrote to its standard output."""

    def complained(self, data: bytes) -> None:
        """It wrote to its standard error."""

    def fell_silent(self) -> None:
        """Its standard output has ended, or its input is broken; it may live on. Called once at the most."""

    def died(self, status: int) -> None:
        """It has ended, and all that it wrote was told.

        Args:
            status: Its exit status; negative for a signal.
        """


class Child:
    """A running child.

    Args:
        reactor: Watches its pipes.
        process: The process, in a group and a session of its own, with pipes for all three streams.
        parent: Hears of it.
    """

    def __init__(self, reactor: Any, process: subprocess.Popen[bytes], parent: Parent) -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stderr is not None
        self.status: int | None = None
        self._clock: IReactorTime = reactor
        self._process = process
        self._parent = parent
        self._exits: list[Deferred[None]] = []
        self._silent = False
        self._input = Input(reactor, process.stdin, self._fell_silent)
        self._output = Output(reactor, process.stdout, parent.said, self._fell_silent)
        self._errors = Output(reactor, process.stderr, parent.complained, lambda: None)
        self._watch = watch(reactor, process.pid, self._look)

    @property
    def pid(self) -> int:
        """Its process id, and that of its group."""
        return self._process.pid

    @property
    def unsent(self) -> int:
        """How many bytes wait for it to read."""
        return self._input.unsent

    def write(self, data: bytes) -> None:
        """Write to its standard input. Does nothing when that is closed."""
        self._input.write(data)

    async def close(self, grace: float) -> None:
        """End it, and what it has started, by the steps above; then nothing of it is left in the reactor.

        Args:
            grace: Seconds between two steps.

        Cancel: Not to be cancelled.
        """
        self._input.finish()
        await self._gone(grace)
        for number, bound in ((signal.SIGTERM, grace), (signal.SIGKILL, _KILLED)):
            if self._signal(number):
                await self._gone(bound)
                await self._group_gone(bound)
        if self.status is None:
            _log.error("The child {pid} can't be killed", pid=self.pid)
        self._watch.stop()
        for pipe in (self._input, self._output, self._errors):
            pipe.shut()

    def _look(self) -> None:
        """See whether it has ended; what it wrote before is read first."""
        if self.status is not None or self._process.poll() is None:
            return
        self._watch.stop()
        self.status = self._process.returncode
        self._output.drain()
        self._errors.drain()
        self._parent.died(self.status)
        exits, self._exits = self._exits, []
        for waiter in exits:
            waiter.callback(None)

    async def _gone(self, seconds: float) -> None:
        """Wait until it has ended, or this time is over."""
        self._look()
        if self.status is None:
            waiter: Deferred[None] = Deferred()
            self._exits.append(waiter)
            timer = self._clock.callLater(seconds, self._impatient, waiter)
            await waiter
            if timer.active():
                timer.cancel()

    def _impatient(self, waiter: Deferred[None]) -> None:
        self._exits.remove(waiter)
        waiter.callback(None)

    def _signal(self, number: signal.Signals) -> bool:
        """Signal its group, if anybody in it still lives. The group's id is not used again while anybody does."""
        if not group_lives(self.pid):
            return False
        try:
            os.killpg(self.pid, number)
        except (ProcessLookupError, PermissionError):
            return False
        return True

    async def _group_gone(self, seconds: float) -> None:
        end = self._clock.seconds() + seconds
        while self.status is not None and group_lives(self.pid) and self._clock.seconds() < end:
            await deferLater(self._clock, LOOK)

    def _fell_silent(self) -> None:
        if not self._silent and self.status is None:
            self._silent = True
            self._parent.fell_silent()


def spawn(
    reactor: Any, command: Sequence[str], env: Mapping[str, str], cwd: str | Path | None, parent: Parent
) -> Child:
    """Start a child.

    Args:
        reactor: Watches it.
        command: The program and its arguments.
        env: Its whole environment.
        cwd: Its working directory; None for ours.
        parent: Hears of it.

    Raises:
        Unreachable: It can't be started: no such program, no such directory, no right to it.
    """
    pipe = subprocess.PIPE
    try:
        # In a session of its own it gets no Ctrl-C of our terminal: calls are cancelled, and it is closed in order.
        process = subprocess.Popen(
            list(command), bufsize=0, stdin=pipe, stdout=pipe, stderr=pipe, env=env, cwd=cwd, start_new_session=True
        )
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        where = f" in {cwd}" if cwd is not None else ""
        raise Unreachable(f"{command[0]} can't be started{where}: {reason}") from None
    return Child(reactor, process, parent)


def group_lives(group: int) -> bool:
    """Tell whether anybody in a process group is alive; where that can't be told, whether the group is there."""
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    try:
        return any(_lives_in(group, entry) for entry in os.listdir("/proc") if entry.isdigit())
    except FileNotFoundError:
        return True


def _lives_in(group: int, pid: str) -> bool:
    """Tell whether this process is of the group, and more than a zombie that its new parent has not seen yet."""
    try:
        stat = Path("/proc", pid, "stat").read_bytes()
    except OSError:
        return False
    state, _, its_group = stat.rpartition(b")")[2].split()[:3]
    return int(its_group) == group and state not in (b"Z", b"X")
