"""What a client remembers of servers: which era each one speaks. In memory; hand one to several clients to share it.

Spec: 2026-07-28, Versioning: "The era determination is a property of the server, not of an individual request. Clients
SHOULD cache the result for the lifetime of the ... origin (HTTP) ... re-probing if the cached assumption later fails."
"""

from __future__ import annotations

import enum
from urllib.parse import urlsplit


class Era(enum.Enum):
    """How a server is talked to over HTTP."""

    MODERN = "modern"
    LEGACY = "legacy"
    HTTP_SSE = "http+sse"


_PORTS = {"http": 80, "https": 443}
_Place = tuple[str, str | None, int | None, str]


class Eras:
    """The eras of servers, by their scheme, host, port and path."""

    def __init__(self) -> None:
        self._known: dict[_Place, Era] = {}

    def recall(self, url: str) -> Era | None:
        """What is known of a server."""
        return self._known.get(_place(url))

    def remember(self, url: str, era: Era) -> None:
        """It was talked to in this way, and answered."""
        self._known[_place(url)] = era

    def forget(self, url: str) -> None:
        """It does not answer any more as it did."""
        self._known.pop(_place(url), None)


def _place(url: str) -> _Place:
    parts = urlsplit(url)
    return parts.scheme, parts.hostname, parts.port or _PORTS.get(parts.scheme), parts.path or "/"
