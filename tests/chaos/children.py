"""Clients of children of their own, to which something happens at one byte of what they say or hear."""

from __future__ import annotations

import json
import os
import sys
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater

from mcpserve.client import Client, Retries, Timeouts
from tests.chaos.exercise import Pace, Story, Trial, broken
from tests.chaos.faults import Fault, Way
from tests.chaos.ledger import Ledger, crowd
from tests.chaos.loopback import Case
from tests.chaos.watched import Watched

CHILD = Path(__file__).with_name("child.py")
ERAS = ("modern", "legacy")
PACE = Pace(
    timeouts=Timeouts(connect=2.0, head=1.2, idle=1.2, total=8.0, close=0.5),
    retries=Retries(attempts=3, first=0.05, longest=0.2, jitter=0.0),
    linger=0.5,
    late=0.5,
    closing=2 * 0.5 + 1.0,
    slack=1.0,
)
AT_ONCE = 8
"""How many clients there are at the same time."""
_NEVER = Fault("split", "down", -1)


class Attempt:
    """One client, and its children. Implements `exercise.Witness`.

    Args:
        reactor: The real one.
        case: What to do.
        folder: Where the children write.
    """

    def __init__(self, reactor: Any, case: Case, folder: Path) -> None:
        self._reactor = reactor
        self._case = case
        self._folder = folder
        self._ledger = Ledger(folder / "record")
        self._ledger.path.touch()
        self._story = Story()

    async def run(self) -> list[str]:
        """Do it; what did not hold, in words."""
        case, watched = self._case, Watched(self._reactor)
        fault = case.fault or _NEVER
        command = [sys.executable, "-I", "-S", str(CHILD), case.era, fault.kind, fault.way, str(fault.at)]
        client = Client.stdio(
            [*command, str(self._folder)], reactor=watched, timeouts=PACE.timeouts, retries=PACE.retries
        )
        running = Deferred.fromCoroutine(Trial(client, "k", self._reactor, PACE).run(case.exercise))
        running.addTimeout(sum(PACE.bounds.values()) + PACE.linger + 10, self._reactor)
        self._story = story = await running
        await deferLater(self._reactor, 0.0)
        found = [*watched.leftovers(), *self._alive()]
        found += broken(story, case.exercise, "k", case.fault, self, PACE)
        if case.fault is not None and not (self._folder / "struck").exists():
            found.append("nothing was struck")
        return found

    def executed(self, key: str) -> int:
        """See `Witness`."""
        return len(self._ledger.times("executed", key))

    def cancelled(self, key: str) -> bool:
        """See `Witness`. A child that has died works for nobody."""
        before = self._story.left + PACE.linger
        died = self._case.fault is not None and self._case.fault.kind in ("reset", "cut")
        return died or any(when < before for when in self._ledger.times("cancelled", key))

    def _alive(self) -> Iterator[str]:
        for line in self._ledger.path.read_text().splitlines():
            what, pid, _ = line.split(" ")
            if what == "started" and _exists(int(pid)):
                yield f"the child {pid} is still there"


def _exists(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


async def attempt(reactor: Any, case: Case) -> list[str]:
    """Try it; what did not hold, in words."""
    with tempfile.TemporaryDirectory(prefix="mcpserve-chaos-") as folder:
        return await Attempt(reactor, case, Path(folder)).run()


async def lengths(reactor: Any, exercise: str, era: Any) -> dict[Way, int]:
    """How many bytes pass in each direction when nothing happens."""
    with tempfile.TemporaryDirectory(prefix="mcpserve-chaos-") as folder:
        problems = await Attempt(reactor, Case(exercise=exercise, era=era), Path(folder)).run()
        assert problems == [], problems
        passed: dict[Way, int] = json.loads(Path(folder, "passed").read_text())
        return passed


async def attempts(reactor: Any, cases: Iterable[Case]) -> list[str]:
    """Run all of these, some at a time; what did not hold, in words."""
    return await crowd(reactor, AT_ONCE, cases, lambda case: attempt(reactor, case))
