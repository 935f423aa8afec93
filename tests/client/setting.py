"""A client with small limits, and the network that it is in."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from twisted.internet.defer import Deferred

from mcpserve.client.credentials import Challenge, RequestFacts
from mcpserve.client.limits import Limits, Retries, Terms, Timeouts
from mcpserve.client.web import Answer, Web
from tests.client.network import Link, Network, Task, chunk

URL = "http://server.example:8000/mcp"
TIMEOUTS = Timeouts(connect=10, head=30, idle=60)
LIMITS = Limits(body=1000, event=500, buffer=200)


def terms(reactor: Any, **options: Any) -> Terms:
    """The usual terms, except for these."""
    usual: dict[str, Any] = {"timeouts": Timeouts(), "limits": Limits(), "retries": Retries(), "revision": None}
    return Terms(reactor=reactor, **{"random": lambda: 0.5, **usual, **options})


class Setting:
    """A client and the network that it is in."""

    def __init__(self, *, limits: Limits = LIMITS, timeouts: Timeouts = TIMEOUTS, idle: int = 8, **more: Any) -> None:
        network = {name: more.pop(name) for name in ("refuse", "hold") if name in more}
        self.network = Network(**network)
        agent = self.network.agent(idle)
        self.web = Web(self.network.clock, timeouts=timeouts, limits=limits, agent=agent, **more)

    def send(self, url: str = URL, body: bytes | None = b"{}", method: str = "POST", **more: Any) -> Task:
        """Begin a request."""
        return Task(self.web.send(method, url, {"Accept": "application/json, text/event-stream"}, body, **more))

    def answered(self, *pieces: bytes) -> Answer:
        """The answer to a request, of which so much has come."""
        sending = self.send()
        self.link.say(*pieces)
        found: Answer = sending.result
        return found

    @property
    def link(self) -> Link:
        """The newest connection."""
        return self.network.link

    def wait(self, seconds: float) -> None:
        """Let time pass."""
        self.network.clock.advance(seconds)

    def close(self) -> None:
        """Close, and look whether anything is left."""
        closing = Task(self.web.close())
        self.network.turn()
        assert closing.result is None
        assert self.network.leftovers == []


class Slow:
    """Credentials that take their time."""

    def __init__(self) -> None:
        self.ready: Deferred[Mapping[str, str]] = Deferred()

    async def headers(self, request: RequestFacts) -> Mapping[str, str]:
        """When they are ready."""
        return await self.ready

    async def challenged(self, challenge: Challenge) -> bool:
        """There are no others."""
        return False


def events(*texts: str) -> bytes:
    """Events with these data, in one chunk."""
    return chunk("".join(f"data: {text}\n\n" for text in texts).encode())
