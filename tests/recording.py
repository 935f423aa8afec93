"""Fakes that write down what they are told."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson

from mcpserve.protocol.exchange import NO_HEADERS, Exchange
from mcpserve.protocol.jsonrpc import Request
from mcpserve.protocol.revisions import V2026_07_28, Revision


class RecordingCarrier:
    """Carries nothing; remembers each message as decoded JSON."""

    def __init__(self) -> None:
        self.notices: list[dict[str, Any]] = []
        self.replaceable: list[bool] = []
        self.replies: list[dict[str, Any]] = []
        self.statuses: list[int] = []
        self.ended = 0

    def notify(self, message: bytes, replaceable: bool) -> None:
        """See `Carrier`."""
        self.notices.append(orjson.loads(message))
        self.replaceable.append(replaceable)

    def reply(self, message: bytes, status: int, headers: Mapping[str, str] = NO_HEADERS) -> None:
        """See `Carrier`."""
        self.replies.append(orjson.loads(message))
        self.statuses.append(status)

    def end(self) -> None:
        """See `Carrier`."""
        self.ended += 1


class RecordingOwner:
    """Remembers what an exchange tells its owner."""

    def __init__(self) -> None:
        self.told: list[str] = []

    def lost(self) -> None:
        """See `Owner`."""
        self.told.append("lost")

    def withdrawn(self) -> None:
        """See `Owner`."""
        self.told.append("withdrawn")

    def overrun(self) -> None:
        """See `Owner`."""
        self.told.append("overrun")

    def paused(self) -> None:
        """See `Owner`."""
        self.told.append("paused")

    def resumed(self) -> None:
        """See `Owner`."""
        self.told.append("resumed")


def exchange_of(
    method: str, params: dict[str, Any] | None = None, revision: Revision = V2026_07_28
) -> tuple[Exchange, RecordingCarrier]:
    """An exchange for a request with id 1, and its carrier."""
    carrier = RecordingCarrier()
    return Exchange(Request(1, method, params or {}), revision, carrier), carrier
