"""How many connections at once: in total, and of one address.

    too many of one address     429 when it asks for something
    too many in total           the oldest that has not asked for anything yet makes room; else 503
    too many that are refused   dropped without a word

A proxy that is trusted brings the connections of many, and is not counted as an address.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import attrs

from mcpserve.errors import Busy
from mcpserve.policy.proxies import Proxies, group

PATIENCE = 0.25
"""Seconds that a new connection has for its first request before it may have to make room. Not more: a flood that fills
the house in less time keeps everybody out."""

REFUSED = 1000
"""Connections that are turned away with an answer at the same time."""


class Guest(Protocol):
    """A connection, as the crowd knows it."""

    def drop(self) -> None:
        """Make room for another: end at once."""


@attrs.frozen(kw_only=True)
class CrowdLimits:
    """How many connections there may be.

    Args:
        total: In total.
        of_address: Of one address (of one /64 in IPv6); None for as many as there may be in total.
    """

    total: int = 20_000
    of_address: int | None = None


class Crowd:
    """The connections that are there.

    Args:
        limits: How many there may be.
        proxies: The proxies that are trusted.
        clock: Gives the time.
    """

    def __init__(self, limits: CrowdLimits, proxies: Proxies, clock: Callable[[], float]) -> None:
        self.limits = limits
        self.proxies = proxies
        self._clock = clock
        self._counts: dict[str, int] = {}
        self._inside: dict[Guest, str | None] = {}
        self._waiting: dict[Guest, float] = {}
        self._refused: dict[Guest, Busy] = {}

    def __len__(self) -> int:
        return len(self._inside)

    @property
    def dense(self) -> bool:
        """True when there is little room left, and those who rest should go."""
        return len(self._inside) * 10 > self.limits.total * 9

    def enter(self, guest: Guest, address: str | None) -> Busy | None:
        """A connection has come, or it has turned out that it is of another address.

        Args:
            guest: The connection.
            address: Of its other end; None for a UNIX socket.

        Returns:
            How to refuse it; if nothing can be said to so many, it was dropped.
        """
        self.leave(guest)
        counted = None if address is None or self.proxies.trust(address) else group(address)
        refusal = self._problem(counted)
        if refusal is None:
            self._inside[guest] = counted
            self._waiting[guest] = self._clock()
            if counted is not None:
                self._counts[counted] = self._counts.get(counted, 0) + 1
        elif len(self._refused) < REFUSED:
            self._refused[guest] = refusal
        else:
            guest.drop()
        return refusal

    def asked(self, guest: Guest) -> None:
        """The first request of a connection has arrived; it need not make room any more."""
        self._waiting.pop(guest, None)

    def leave(self, guest: Guest) -> None:
        """A connection is gone."""
        self._refused.pop(guest, None)
        self._waiting.pop(guest, None)
        counted = self._inside.pop(guest, None)
        if counted is not None:
            left = self._counts[counted] - 1
            if left:
                self._counts[counted] = left
            else:
                del self._counts[counted]

    def _problem(self, counted: str | None) -> Busy | None:
        most = self.limits.of_address
        if counted is not None and most is not None and self._counts.get(counted, 0) >= most:
            text = (
                f"There are {most} connections from {counted} already (max_connections_of_address; a proxy that stands "
                "for many belongs in trusted_proxies)"
            )
            return Busy(429, text, 2)
        if len(self._inside) >= self.limits.total and not self._make_room():
            return Busy(503, f"There are {self.limits.total} connections already (max_connections)", 2)
        return None

    def _make_room(self) -> bool:
        guest = next(iter(self._waiting), None)
        if guest is None or self._clock() - self._waiting[guest] < PATIENCE:
            return False
        self.leave(guest)
        guest.drop()
        return True
