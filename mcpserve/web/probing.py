"""Is the client of a half-closed connection still there?

A client that shuts down only its sending half is not gone: its response goes on (Twisted takes EOF for a disconnect).
A client that is really gone answers the next bytes that it gets with a reset. The kernel knows of that at once, and
Twisted when it writes again; so the kernel is asked, a few times soon after the EOF and then at each sweep of the site.
"""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import Any

from twisted.internet.interfaces import IDelayedCall, IReactorTime

# When to ask, in seconds after the EOF; afterwards the site's sweep asks.
PROBES = (0.005, 0.02, 0.1, 0.5)
TCP_INFO: int | None = getattr(socket, "TCP_INFO", None)
TCP_CLOSE = 7


class Probe:
    """Asks a few times soon after an EOF.

    Args:
        clock: The clock of the site.
        ask: Called each time.
    """

    __slots__ = ("_ask", "_call", "_clock")

    def __init__(self, clock: IReactorTime, ask: Callable[[], object]) -> None:
        self._clock = clock
        self._ask = ask
        self._call: IDelayedCall | None = None
        self._schedule(0)

    def stop(self) -> None:
        """Ask no more."""
        call, self._call = self._call, None
        if call is not None:
            call.cancel()

    def _schedule(self, number: int) -> None:
        self._call = None
        if number < len(PROBES):
            delay = PROBES[number] - (PROBES[number - 1] if number else 0.0)
            self._call = self._clock.callLater(delay, self._fire, number)

    def _fire(self, number: int) -> None:
        self._schedule(number + 1)
        self._ask()


def has_reset(transport: Any) -> bool:
    """Tell whether the kernel knows that the other end of a TCP connection has gone."""
    if TCP_INFO is None:
        return False
    try:
        state: int = transport.getHandle().getsockopt(socket.IPPROTO_TCP, TCP_INFO, 1)[0]
    except (OSError, AttributeError):
        return False
    return state == TCP_CLOSE
