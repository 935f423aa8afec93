"""The long form of the chaos test: `python -m tests.chaos`; every byte, every fault, every era, in all three forms.

It takes about half an hour on two cores. `--stride 7` takes every seventh byte; `--form`, `--exercise` and `--kind`
choose. Prints a line for each of their combinations, and what did not hold. All traffic stays on loopback addresses of
this machine. Ends with status 1 when something does not hold.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import cooperate, react

from tests.chaos import children, lean, loopback, scene
from tests.chaos.exercise import EXERCISES
from tests.chaos.faults import KINDS, MORE, WAYS, Fault, Kind, Way
from tests.chaos.loopback import Case

EVERYWHERE: tuple[Kind, ...] = (*KINDS, *MORE)
SHOWN = 5
"""How many of the things that do not hold are printed for each combination."""

Try = Callable[[Sequence[Case]], Awaitable[list[str]]]
Count = Callable[[str, Any], Awaitable[Mapping[Way, int]]]


class Run:
    """All that was asked for, and what came of it.

    Args:
        given: The arguments of the command.
    """

    def __init__(self, given: argparse.Namespace) -> None:
        self.cases = self.wrong = 0
        self._given = given

    async def all(self, reactor: Any) -> None:
        """Run it."""
        given = self._given
        if "memory" in given.form:
            await self._form("memory", lean.ERAS, EVERYWHERE, _memory_count, _memory)
        if "stdio" in given.form:
            await self._form(
                "stdio",
                children.ERAS,
                KINDS,
                lambda exercise, era: children.lengths(reactor, exercise, era),
                lambda cases: children.attempts(reactor, cases),
            )
        if "loopback" in given.form:
            with (
                tempfile.TemporaryDirectory(prefix="mcpserve-chaos-") as folder,
                loopback.ground(reactor, Path(folder)) as ground,
            ):
                await self._form(
                    "loopback",
                    lean.ERAS,
                    (*KINDS, "dead", "garble"),
                    lambda exercise, era: loopback.lengths(ground, exercise, era),
                    lambda cases: loopback.attempts(ground, cases),
                )

    async def _form(self, form: str, eras: Sequence[str], kinds: Sequence[Kind], count: Count, tries: Try) -> None:
        given = self._given
        for exercise in given.exercise:
            for era in eras:
                lengths = await count(exercise, era)
                for kind in kinds:
                    if kind in given.kind:
                        cases = list(_cases(exercise, era, kind, lengths, given.stride))
                        began = time.monotonic()
                        problems = await tries(cases)
                        self._tell(f"{form} {exercise} {era} {kind}", len(cases), time.monotonic() - began, problems)

    def _tell(self, name: str, cases: int, seconds: float, problems: Sequence[str]) -> None:
        self.cases += cases
        self.wrong += len(problems)
        print(f"{name:40} {cases:6} cases {seconds:7.1f} s {len(problems):6} wrong", flush=True)
        for problem in problems[:SHOWN]:
            print(f"    {problem}", flush=True)


def _cases(exercise: str, era: Any, kind: Kind, lengths: Mapping[Way, int], stride: int) -> Iterator[Case]:
    for way in WAYS:
        for at in range(0, lengths[way] + 1, stride):
            yield Case(exercise=exercise, era=era, fault=Fault(kind, way, at))


async def _memory_count(exercise: str, era: Any) -> Mapping[Way, int]:
    return scene.clean(exercise, era)[1]


def _memory(cases: Sequence[Case]) -> Deferred[list[str]]:
    problems: list[str] = []

    def each() -> Iterator[None]:
        for case in cases:
            problems.extend(f"{case}: {what}" for what in scene.wrong(case.exercise, case.era, case.fault))
            yield

    return cooperate(each()).whenDone().addCallback(lambda _: problems)


def main() -> int:
    """Run what is asked for, and print what came of it."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    for name, choices in (
        ("form", ["memory", "stdio", "loopback"]),
        ("exercise", list(EXERCISES)),
        ("kind", list(EVERYWHERE)),
    ):
        parser.add_argument(f"--{name}", action="append", choices=choices, help="only this one; repeatable")
    parser.add_argument("--stride", type=int, default=1, help="take every so many-th byte [default: 1]")
    given = parser.parse_args()
    given.form = given.form or ["memory", "stdio", "loopback"]
    given.exercise = given.exercise or list(EXERCISES)
    given.kind = given.kind or list(EVERYWHERE)
    run = Run(given)
    try:
        react(lambda reactor: Deferred.fromCoroutine(run.all(reactor)))
    except SystemExit as end:
        if end.code:
            raise
    print(f"{run.cases} cases, {run.wrong} things that do not hold")
    return 1 if run.wrong else 0


if __name__ == "__main__":
    sys.exit(main())
