"""What systemd wants to hear of a service of `Type=notify`: that it is ready, reloads, stops, and is alive.

One datagram each to the socket that it names in the environment. Where it names none, nothing is said.

Spec: sd_notify(3), sd_watchdog_enabled(3).
"""

from __future__ import annotations

import socket
from collections.abc import MutableMapping
from typing import Any

from twisted.internet.task import LoopingCall
from twisted.logger import Logger

_log = Logger()


class Supervisor:
    """Speaks to systemd.

    Args:
        clock: For the signs of life.
        environ: The environment; what is for us alone is taken out of it, so that no child speaks for us.
        process: The number of this process.
    """

    def __init__(self, clock: Any, environ: MutableMapping[str, str], process: int) -> None:
        self._address = _address(environ.pop("NOTIFY_SOCKET", ""))
        self._beat = LoopingCall(self.say, "WATCHDOG=1")
        self._beat.clock = clock
        self._interval = _interval(environ, process)

    @property
    def watched(self) -> bool:
        """Whether systemd restarts a service that gives no sign of life."""
        return self._interval > 0

    def ready(self, status: str) -> None:
        """Requests are answered from now on; after a reload: again."""
        self.say("READY=1", f"STATUS={status}")
        if self.watched and self._address is not None and not self._beat.running:
            # in the reactor, so that a reactor that is blocked is not taken for alive
            self._beat.start(self._interval, now=True)

    def reloading(self, monotonic: float) -> None:
        """A reload begins; `monotonic` is the time of the monotonic clock in seconds."""
        self.say("RELOADING=1", f"MONOTONIC_USEC={round(monotonic * 1_000_000)}")

    def stopping(self) -> None:
        """The service begins to stop."""
        self.say("STOPPING=1", "STATUS=Finishing what runs")

    def stop(self) -> None:
        """No more signs of life."""
        if self._beat.running:
            self._beat.stop()

    def say(self, *lines: str) -> None:
        """Say something, if there is somebody to hear it."""
        if self._address is None:
            return
        text = "\n".join(line.replace("\n", " ") for line in lines)
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as speaker:
                speaker.setblocking(False)
                speaker.sendto(text.encode("utf-8"), self._address)
        except OSError as error:
            _log.warn("systemd does not hear {what}: {problem}", what=lines[0], problem=str(error))


def _address(named: str) -> str | None:
    """A path, or a name that begins with @ and lives in no file system."""
    if named[:1] == "@":
        return "\0" + named[1:]
    return named if named[:1] == "/" else None


def _interval(environ: MutableMapping[str, str], process: int) -> float:
    """Seconds between two signs of life: half of what systemd waits for one."""
    wanted, whose = environ.pop("WATCHDOG_USEC", ""), environ.pop("WATCHDOG_PID", "")
    if not wanted.isdecimal() or (whose and whose != str(process)):
        return 0.0
    return int(wanted) / 2_000_000
