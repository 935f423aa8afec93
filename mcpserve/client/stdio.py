"""A server as a child of ours: one message a line, on its standard input and output.

    it ends, or closes its output         the channel is lost; its whole group is ended
    what it writes to standard error      goes to the log, line by line, as much as anybody would read
    what is no message on its output      is ignored, with a word in the log
    it does not read                      what waits for it is bounded; beyond that requests fail at once

Spec: 2026-07-28, stdio; 2025-11-25, Transports, stdio; Lifecycle, Shutdown.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Coroutine, Mapping, Sequence
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred, fail
from twisted.internet.interfaces import IDelayedCall

from mcpserve.client.channel import MessageChannel, Receiver
from mcpserve.client.child import Child, spawn
from mcpserve.client.conversation import Conversation, Host
from mcpserve.client.duplex import Duplex
from mcpserve.client.flight import Bounds
from mcpserve.client.framing import Complaints, Lines, Logged
from mcpserve.client.handshake import Handshake
from mcpserve.client.limits import Limits, Terms
from mcpserve.errors import AnswerLost, ConfigurationError, Unreachable
from mcpserve.protocol.revisions import LEGACY, MODERN, Revision

INHERITED = ("HOME", "LOGNAME", "PATH", "SHELL", "TERM", "USER")
"""What of our environment a child gets: the variables that the official SDKs think safe. Ours may hold secrets."""

LINGER = 0.25
"""Seconds that a child which has closed its output may take to end, so that we can tell how."""


class StdioChannel:
    """The channel to a child. Implements `MessageChannel` and `child.Parent`.

    Args:
        reactor: Watches it.
        receiver: Takes its messages.
        command: The program and its arguments.
        env: Its whole environment.
        cwd: Its working directory.
        limits: How long a line may be, and how much may wait until it reads.
        grace: Seconds that it may take to end when its input has ended, and again after SIGTERM.
        on_stderr: Takes each line of its standard error.

    Raises:
        Unreachable: It can't be started.
    """

    def __init__(
        self,
        reactor: Any,
        receiver: Receiver,
        *,
        command: Sequence[str],
        env: Mapping[str, str],
        cwd: str | Path | None,
        limits: Limits,
        grace: float,
        on_stderr: Callable[[str], object],
    ) -> None:
        self._reactor = reactor
        self._receiver: Receiver | None = receiver
        self._name = command[0]
        self._limit = limits.body
        self._grace = grace
        self._lines = Lines(limits.body)
        self._words = Complaints(on_stderr)
        self._lingering: IDelayedCall | None = None
        self._child: Child = spawn(reactor, command, env, cwd, self)

    @property
    def pid(self) -> int:
        """The process id of the child."""
        return self._child.pid

    def send(self, message: bytes) -> Deferred[None] | None:
        """See `MessageChannel`."""
        if self._child.unsent > self._limit:
            return fail(Unreachable(f"{self._name} does not read: {self._child.unsent} bytes wait for it"))
        self._child.write(message + b"\n")
        return None

    def agreed(self, revision: Revision) -> None:
        """See `MessageChannel`. Nothing changes on this transport."""

    async def close(self) -> None:
        """See `MessageChannel`."""
        self._receiver = None
        self._stop_lingering()
        await self._child.close(self._grace)

    def said(self, data: bytes) -> None:
        """See `Parent`."""
        for line in self._lines.feed(data):
            if self._receiver is None:
                return
            if isinstance(line, bytes):
                self._receiver.received(line)
            else:
                self._receiver.overlong(line.excerpt, ended=line.ended)

    def complained(self, data: bytes) -> None:
        """See `Parent`."""
        self._words.feed(data)

    def fell_silent(self) -> None:
        """See `Parent`."""
        if self._receiver is not None:
            self._lingering = self._reactor.callLater(LINGER, self._lose, "has closed its output")

    def died(self, status: int) -> None:
        """See `Parent`."""
        self._words.end()
        how = f"was ended by signal {-status}" if status < 0 else f"has ended with status {status}"
        self._lose(how)

    def _lose(self, how: str) -> None:
        self._stop_lingering()
        receiver, self._receiver = self._receiver, None
        if receiver is not None:
            last = self._words.last
            receiver.lost(AnswerLost(f"{self._name} {how}" + (f"; the last that it said was: {last}" if last else "")))

    def _stop_lingering(self) -> None:
        lingering, self._lingering = self._lingering, None
        if lingering is not None and lingering.active():
            lingering.cancel()


async def open_stdio(
    host: Host,
    terms: Terms,
    command: Sequence[str],
    *,
    env: Mapping[str, str] | None = None,
    cwd: str | Path | None = None,
    on_stderr: Callable[[str], object] | None = None,
) -> Conversation:
    """Start a server as a child, and begin to talk to it.

    Args:
        host: The client.
        terms: How long to wait, how much to take, how often to start it again when it ends by itself; the one revision
            to speak, or None to find out. When the reactor stops, the child is ended first.
        command: The program and its arguments.
        env: More environment variables; of ours the child gets only those of `INHERITED`.
        cwd: Its working directory; None for ours.
        on_stderr: Takes each line of its standard error; by default they are logged.

    Cancel: The child is ended.

    Raises:
        ConfigurationError: There is no such revision, or no command.
        ClientError: It can't be started, or the handshake failed. No process is left.
    """
    if not command:
        raise ConfigurationError("A server that is to be started needs a command")
    spoken = named_revision(terms.revision)
    environment = inherited() | dict(env or {})
    heard = Logged(command[0], terms.reactor) if on_stderr is None else on_stderr

    async def opener(receiver: Receiver) -> MessageChannel:
        return StdioChannel(
            terms.reactor,
            receiver,
            command=command,
            env=environment,
            cwd=cwd,
            limits=terms.limits,
            grace=terms.timeouts.close,
            on_stderr=heard,
        )

    bounds = Bounds(terms=terms, peer=command[0])
    handshake = Handshake(host=host, bounds=bounds, transport="stdio", revision=spoken)
    stop = _Stop(terms.reactor)
    duplex = Duplex(host, opener, handshake=handshake, bounds=bounds, on_close=stop.off)
    stop.on(duplex.close)
    await duplex.open()
    return duplex


class _Stop:
    """Sees to it that no child outlives the reactor."""

    def __init__(self, reactor: Any) -> None:
        self._reactor = reactor
        self._trigger: Any = None

    def on(self, close: Callable[[], Coroutine[Deferred[Any], Any, None]]) -> None:
        """Before the reactor stops, it will wait for this."""

        def stopping() -> Deferred[None]:
            self._trigger = None
            return Deferred.fromCoroutine(close())

        self._trigger = self._reactor.addSystemEventTrigger("before", "shutdown", stopping)

    def off(self) -> None:
        """It is closed already."""
        trigger, self._trigger = self._trigger, None
        if trigger is not None:
            self._reactor.removeSystemEventTrigger(trigger)


def inherited() -> dict[str, str]:
    """What a child gets of our environment."""
    found = {name: os.environ[name] for name in INHERITED if name in os.environ}
    # Functions that a shell has exported: "()" begins what some shells run when they read it.
    return {name: value for name, value in found.items() if not value.startswith("()")}


def named_revision(name: str | None) -> Revision | None:
    """The revision of this name.

    Raises:
        ConfigurationError: There is none.
    """
    known = LEGACY | MODERN
    if name is None:
        return None
    if name not in known:
        raise ConfigurationError(f"There is no revision {name}; there are {', '.join(sorted(known))}")
    return known[name]
