"""One client, one server of an era, all in memory, and one fault."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.python.failure import Failure

from mcpserve.client import Client, HttpServer, Retries, Timeouts
from tests.chaos.exercise import Pace, Story, Trial, broken
from tests.chaos.faults import Fault, Kind, Tap, Way
from tests.chaos.lean import Era, LeanServer
from tests.chaos.memory import DELAY, Network

URL = "http://lean.example/mcp"
PATIENCE = 60.0
"""Seconds after which what has not ended is taken to hang: more than all bounds together."""
PACE = Pace(
    timeouts=Timeouts(connect=1.0, head=2.0, idle=2.0, total=12.0, close=1.0),
    retries=Retries(attempts=3, first=0.1, longest=1.0, jitter=0.0),
    linger=3.0,
    late=0.4,
    closing=1.0,
    slack=1e-6,
)
TOLD = 1.0 + DELAY + 0.1
"""Seconds within which a server that can be told knows that nobody waits: `link.HASTE`, and a delay."""
_PRIMED = re.compile(rb"id: \d+-0\nretry: 20\ndata:\n\n")


class Scene:
    """A client before a server. Implements `exercise.Witness`.

    Args:
        era: The server's.
        fault: What happens.
        size: How large each piece of the bytes is at the most.
    """

    def __init__(self, era: Era, fault: Fault | None = None, size: Callable[[], int] | None = None) -> None:
        self.era = era
        self.clock = Clock()
        self.server = LeanServer(self.clock, era)
        self.tap = Tap(fault, size)
        self.network = Network(self.clock, self.server, self.tap, self.act)
        self.client = Client.to(
            HttpServer(name="lean", url=URL, transport="sse" if era == "sse" else "http"),
            agent=self.network.agent(),
            reactor=self.clock,
            timeouts=PACE.timeouts,
            retries=PACE.retries,
            random=lambda: 0.0,
        )
        self.opened_after: Mapping[Way, int] = {}
        """How many bytes had passed when the client was open."""
        self._trial = Trial(self.client, "k", self.clock, PACE, self._opened)
        self._running: Deferred[Any] | None = None

    def play(self, exercise: str) -> Story:
        """The client does it.

        Raises:
            TimeoutError: It hangs.
        """
        ended: list[Any] = []
        self._running = Deferred.fromCoroutine(self._trial.run(exercise)).addBoth(ended.append)
        if not self.network.run(lambda: bool(ended), PATIENCE):
            raise TimeoutError("it hangs")
        if isinstance(ended[0], Failure):
            ended[0].raiseException()
        return self._trial.story

    def _opened(self) -> None:
        self.opened_after = dict(self.tap.whole.passed)

    def act(self, kind: Kind) -> None:
        """The user does something."""
        if kind == "close":
            Deferred.fromCoroutine(self.client.close())
        elif self._running is not None:
            self._running.cancel()

    # --- what is known afterwards

    def executed(self, key: str) -> int:
        """See `Witness`."""
        return self.server.record.executed.count(key)

    def cancelled(self, key: str) -> bool:
        """See `Witness`."""
        when = self.server.record.cancelled.get(key)
        return when is not None and when <= self._trial.story.left + TOLD

    def leftovers(self) -> Iterator[str]:
        """What the client, closed, has left: connections, delayed calls."""
        self.network.run(lambda: False, 0.0)
        yield from (f"left behind: {one.func}" for one in self.clock.getDelayedCalls() if not _is_ours(one))
        yield from (f"left behind: a connection that was told {one.told[:20]!r}" for one in self.network.open_cables)

    @property
    def resumable(self) -> bool:
        """Whether the fault struck a stream that the client knew how to take up again."""
        victim, fault = self.network.victim, self.tap.fault
        if self.era != "legacy" or victim is None or fault is None or fault.way != "down" or fault.again:
            return False
        return fault.kind in ("reset", "cut") and _PRIMED.search(victim.told) is not None


def _is_ours(call: Any) -> bool:
    return getattr(call.func, "__module__", "") in ("tests.chaos.lean", "tests.chaos.memory", __name__)


@cache
def clean(exercise: str, era: Era) -> tuple[Mapping[Way, int], Mapping[Way, int]]:
    """How many bytes pass in each direction when nothing happens: until the client is open, and in all."""
    scene = Scene(era)
    scene.play(exercise)
    return scene.opened_after, scene.tap.whole.passed


def wrong(exercise: str, era: Era, fault: Fault | None, size: Callable[[], int] | None = None) -> Iterator[str]:
    """What does not hold when a client does this while that happens, in words."""
    scene = Scene(era, fault, size)
    yield from judged(scene, exercise)
    if fault is not None and not scene.tap.struck:
        yield "nothing was struck"


def judged(scene: Scene, exercise: str) -> Iterator[str]:
    """What does not hold when a client does this in a scene, in words."""
    fault = scene.tap.fault
    try:
        story = scene.play(exercise)
    except TimeoutError:
        yield "it hangs"
        return
    yield from broken(story, exercise, "k", fault, scene, PACE)
    yield from scene.leftovers()
    if exercise == "count" and story.error is not None and scene.resumable:
        yield f"it could have been resumed: {story.error!r}"
