"""What a server has written down, read by those who have something to ask; and how many of them ask at once."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Coroutine, Iterable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import attrs
from twisted.internet.defer import Deferred
from twisted.internet.task import Cooperator, LoopingCall

C = TypeVar("C")

LOOK = 0.05
STALL = 0.3
"""Seconds: how often it is looked for stalls, and how long they are."""
TIMES = 4
"""How often a case is tried that stalls have spoiled."""


@attrs.define
class Ledger:
    """What the server has written down.

    Args:
        path: Where.
        keys: How many keys were given out.
    """

    path: Path
    keys: int = 0
    _seen: int = 0
    _times: dict[str, list[float]] = attrs.Factory(lambda: defaultdict(list))

    def times(self, what: str, key: str) -> Sequence[float]:
        """When this has happened to the call of this key."""
        with self.path.open("rb") as file:
            file.seek(self._seen)
            more = file.read()
        whole = more[: more.rfind(b"\n") + 1]
        self._seen += len(whole)
        for line in whole.decode().splitlines():
            event, _, when = line.rpartition(" ")
            self._times[event].append(float(when))
        return self._times.get(f"{what} {key}", ())

    def key(self) -> str:
        """One that is not used yet."""
        self.keys += 1
        return f"key-{self.keys}"


class Stalls:
    """Notices when this process does not get to run: then nothing that took too long is anybody's fault.

    Args:
        reactor: The real one.
    """

    def __init__(self, reactor: Any) -> None:
        self._reactor = reactor
        self._last = self._looked = 0.0
        self._looking = LoopingCall(self._look)
        self._looking.clock = reactor

    def start(self) -> None:
        """Begin to look."""
        self._looked = self._reactor.seconds()
        self._looking.start(LOOK)

    def stop(self) -> None:
        """Look no more."""
        self._looking.stop()

    def since(self, when: float) -> bool:
        """Whether there was one."""
        return self._last > when

    def _look(self) -> None:
        now = self._reactor.seconds()
        if now - self._looked > STALL:
            self._last = now
        self._looked = now


async def crowd(
    reactor: Any, at_once: int, cases: Iterable[C], attempt: Callable[[C], Coroutine[Any, Any, list[str]]]
) -> list[str]:
    """Try all of these, so many at a time; what did not hold, in words. What a stall has spoiled is tried again."""
    problems: list[str] = []
    stalls = Stalls(reactor)

    async def once(case: C) -> list[str]:
        try:
            return await attempt(case)
        except Exception as error:
            return [repr(error)]

    async def run(case: C) -> None:
        for _ in range(TIMES):
            began = reactor.seconds()
            found = await once(case)
            if not found or not stalls.since(began):
                break
        problems.extend(f"{case}: {what}" for what in found)

    work = (Deferred.fromCoroutine(run(case)) for case in cases)
    crew = Cooperator(scheduler=lambda f: reactor.callLater(0.0, f))
    stalls.start()
    try:
        for one in [crew.coiterate(work) for _ in range(at_once)]:
            await one
    finally:
        stalls.stop()
    return problems
