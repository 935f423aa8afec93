"""A reactor that remembers what one client has asked of it, among others that ask, too."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from zope.interface import directlyProvides, providedBy


class Watched:
    """Stands before a reactor.

    Args:
        reactor: The reactor.
    """

    def __init__(self, reactor: Any) -> None:
        self._reactor = reactor
        self._calls: list[Any] = []
        self._connectors: list[Any] = []
        self._selectables: set[Any] = set()
        directlyProvides(self, providedBy(reactor))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._reactor, name)

    def callLater(self, *args: Any, **named: Any) -> Any:
        """Remember it."""
        self._calls = [call for call in self._calls if call.active()]
        self._calls.append(self._reactor.callLater(*args, **named))
        return self._calls[-1]

    def connectTCP(self, *args: Any, **named: Any) -> Any:
        """Remember it."""
        self._connectors.append(self._reactor.connectTCP(*args, **named))
        return self._connectors[-1]

    def addReader(self, reader: Any) -> None:
        """Remember it."""
        self._selectables.add(reader)
        self._reactor.addReader(reader)

    def addWriter(self, writer: Any) -> None:
        """Remember it."""
        self._selectables.add(writer)
        self._reactor.addWriter(writer)

    def leftovers(self) -> Iterator[str]:
        """What is still there."""
        yield from (f"left behind: {call.func}" for call in self._calls if call.active())
        yield from (f"left behind: {one} {one.state}" for one in self._connectors if one.state != "disconnected")
        alive = {*self._reactor.getReaders(), *self._reactor.getWriters()}
        yield from (f"left behind: {one}" for one in self._selectables & alive)
