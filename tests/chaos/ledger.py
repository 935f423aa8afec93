"""What a server has written down, read by those who have something to ask; and how many of them ask at once."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Coroutine, Iterable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import attrs
from twisted.internet.defer import Deferred
from twisted.internet.task import Cooperator

C = TypeVar("C")


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
        self._seen += len(more)
        for line in more.decode().splitlines():
            event, _, when = line.rpartition(" ")
            self._times[event].append(float(when))
        return self._times.get(f"{what} {key}", ())

    def key(self) -> str:
        """One that is not used yet."""
        self.keys += 1
        return f"key-{self.keys}"


async def crowd(
    reactor: Any, at_once: int, cases: Iterable[C], attempt: Callable[[C], Coroutine[Any, Any, list[str]]]
) -> list[str]:
    """Try all of these, so many at a time; what did not hold, in words."""
    problems: list[str] = []

    async def run(case: C) -> None:
        try:
            problems.extend(f"{case}: {what}" for what in await attempt(case))
        except Exception as error:
            problems.append(f"{case}: {error!r}")

    work = (Deferred.fromCoroutine(run(case)) for case in cases)
    crew = Cooperator(scheduler=lambda f: reactor.callLater(0.0, f))
    for one in [crew.coiterate(work) for _ in range(at_once)]:
        await one
    return problems
