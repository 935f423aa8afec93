"""Clients of the real server, each through a proxy of its own on loopback, and one fault each."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import attrs
from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater

from mcpserve.client import Client, HttpServer, Retries, Timeouts
from tests.chaos.exercise import Pace, Story, Trial, broken
from tests.chaos.faults import Fault, Tap, Way
from tests.chaos.lean import Era
from tests.chaos.ledger import Ledger, crowd
from tests.chaos.proxy import Proxy
from tests.chaos.watched import Watched
from tests.interop.served import serving

PLUGINS = Path(__file__).with_name("plugins")
PACE = Pace(
    timeouts=Timeouts(connect=1.5, head=1.5, idle=1.5, total=6.0, close=0.5),
    retries=Retries(attempts=3, first=0.05, longest=0.2, jitter=0.0),
    linger=1.8,
    late=0.3,
    closing=0.5,
    slack=1.0,
)
AT_ONCE = 64
"""How many clients there are at the same time."""
_PRIMED = re.compile(rb"\nid: [^\n]+\n[^\0]*?\n\n")


@attrs.frozen
class Ground:
    """A server that runs, and what it writes down.

    Args:
        reactor: The real one.
        port: The server's.
        ledger: What it writes down.
    """

    reactor: Any
    port: int
    ledger: Ledger


@contextmanager
def ground(reactor: Any, folder: Path) -> Iterator[Ground]:
    """A server in a process of its own."""
    record = folder / "record"
    record.touch()
    os.environ["CHAOS_RECORD"] = str(record)
    options = (
        "--plugins",
        str(PLUGINS),
        "--http-sse",
        "--only=count",
        "--only=linger",
        "--max-sessions=100000",
        "--max-sessions-of-caller=100000",
    )
    try:
        with serving(folder / "server.log", *options) as server:
            port = urlsplit(server.url).port
            assert port is not None
            yield Ground(reactor, port, Ledger(record))
    finally:
        del os.environ["CHAOS_RECORD"]


@attrs.frozen(kw_only=True)
class Case:
    """What one client does, in which era, and what happens.

    Args:
        exercise: See `exercise`.
        era: The revision that is spoken: the newest, 2025-11-25, or HTTP+SSE.
        fault: What happens.
        bytewise: All bytes come one at a time.
    """

    exercise: str
    era: Era
    fault: Fault | None = None
    bytewise: bool = False

    def __str__(self) -> str:
        return f"{self.exercise} {self.era} {self.fault or ('byte by byte' if self.bytewise else 'undisturbed')}"


class Attempt:
    """One client, and its proxy. Implements `exercise.Witness`.

    Args:
        ground: The server.
        case: What to do.
    """

    def __init__(self, ground: Ground, case: Case) -> None:
        self.tap = Tap(case.fault, (lambda: 1) if case.bytewise else None)
        self._ground = ground
        self._case = case
        self._key = ground.ledger.key()
        self._reactor = Watched(ground.reactor)
        self._proxy = Proxy(ground.reactor, ground.port, self.tap)
        self._story = Story()

    async def run(self) -> list[str]:
        """Do it; what did not hold, in words."""
        reactor, case, key = self._ground.reactor, self._case, self._key
        client = self._client(await self._proxy.listen())
        running = Deferred.fromCoroutine(Trial(client, key, reactor, PACE).run(case.exercise))
        running.addTimeout(sum(PACE.bounds.values()) + PACE.linger + 10, reactor)
        self._story = story = await running
        # A socket that is closed needs a turn or two to go.
        await deferLater(reactor, 0.01)
        found = [*self._reactor.leftovers()]
        found += broken(story, case.exercise, key, case.fault, self, PACE)
        if case.exercise == "count" and story.error is not None and self._resumable:
            found.append(f"it could have been resumed: {story.error!r}")
        await self._proxy.close()
        return found

    def executed(self, key: str) -> int:
        """See `Witness`."""
        return len(self._ground.ledger.times("executed", key))

    def cancelled(self, key: str) -> bool:
        """See `Witness`."""
        before = self._story.left + PACE.linger
        return any(when < before for when in self._ground.ledger.times("cancelled", key))

    def _client(self, port: int) -> Client:
        sse = self._case.era == "sse"
        return Client.to(
            HttpServer(
                name="chaos",
                url=f"http://127.0.0.1:{port}/{'sse' if sse else 'mcp'}",
                transport="sse" if sse else "http",
            ),
            reactor=self._reactor,
            timeouts=PACE.timeouts,
            retries=PACE.retries,
            revision="2025-11-25" if self._case.era == "legacy" else None,
        )

    @property
    def _resumable(self) -> bool:
        victim, fault = self._proxy.victim, self._case.fault
        if self._case.era != "legacy" or victim is None or fault is None or fault.again:
            return False
        return fault.kind in ("reset", "cut") and fault.way == "down" and _PRIMED.search(victim.told) is not None


async def lengths(ground: Ground, exercise: str, era: Era) -> dict[Way, int]:
    """How many bytes pass in each direction when nothing happens."""
    attempt = Attempt(ground, Case(exercise=exercise, era=era))
    problems = await attempt.run()
    assert problems == [], problems
    return dict(attempt.tap.whole.passed)


async def attempts(ground: Ground, cases: Iterable[Case]) -> list[str]:
    """Run all of these, some at a time; what did not hold, in words."""
    return await crowd(ground.reactor, AT_ONCE, cases, lambda case: Attempt(ground, case).run())
