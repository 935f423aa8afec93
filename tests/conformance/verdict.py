"""What a run of the conformance suite means: its checks against the failures that we expect.

The list of expected failures can only shrink: a failure that is not on it fails the run, and so does an entry that no
longer fails. A scenario in which no check of its own succeeded counts as a failure too, since some of them only warn
when nothing was there to look at.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import attrs

HOLLOW = "nothing-passed"
"""Stands for the check that fails when a scenario has no success of its own."""

WIRE_SCHEMA = "wire-schema-valid"
"""The suite adds this check to most scenarios; well-formed messages do not show that anything was done."""

RESULT_DIRECTORY = re.compile(r"(server-)?(?P<scenario>.+)-\d{4}-\d\d-\d\dT[\d-]+Z")
"""Only the directories of the server's leg have the prefix; no scenario of the client's begins with it."""


@attrs.frozen(kw_only=True)
class Check:
    """One check of a scenario, as the suite reports it."""

    id: str
    status: str
    message: str = ""
    name: str = ""


@attrs.frozen
class Scenario:
    """A scenario with its checks, and what the client under test printed, if it was one."""

    name: str
    checks: Sequence[Check]
    printed: Sequence[str] = ()

    def count(self, status: str) -> int:
        """How many checks ended so: SUCCESS, FAILURE, WARNING, SKIPPED or INFO."""
        return sum(check.status == status for check in self.checks)

    @property
    def failed(self) -> Mapping[str, str]:
        """The failed checks' ids, with what was wrong."""
        failures = {check.id: check.message for check in self.checks if check.status == "FAILURE"}
        if not failures and not any(c.status == "SUCCESS" and c.id != WIRE_SCHEMA for c in self.checks):
            return {HOLLOW: "no check of the scenario itself succeeded"}
        return failures


@attrs.frozen(kw_only=True)
class Floor:
    """The least that a run must show, or the run was hollow."""

    scenarios: int
    successes: int


@attrs.frozen(kw_only=True)
class Verdict:
    """What a run of one requirement set means.

    Args:
        unexpected: Failures that are not on the list, as entry -> message.
        stale: Entries of the list that no longer fail.
        shortfall: What the run did less than its floor.
    """

    unexpected: Mapping[str, str]
    stale: Sequence[str]
    shortfall: Sequence[str]

    @property
    def good(self) -> bool:
        """Whether all is as expected."""
        return not (self.unexpected or self.stale or self.shortfall)

    def lines(self) -> list[str]:
        """What is wrong, one sentence a line."""
        return [
            *(f"unexpected failure: {entry}: {message}" for entry, message in self.unexpected.items()),
            *(f"passes now, so remove it from the list: {entry}" for entry in self.stale),
            *self.shortfall,
        ]


def read_scenarios(results: Path) -> list[Scenario]:
    """Read what the suite wrote into its output directory, in the order of the names."""
    scenarios = []
    for path in sorted(results.glob("**/checks.json")):
        directory = path.parent.relative_to(results).as_posix()
        match = RESULT_DIRECTORY.fullmatch(directory)
        if match is None:
            raise ValueError(f"{directory} is not a result directory as the suite names them")
        checks = [_check(one) for one in json.loads(path.read_text())]
        printed = path.with_name("stdout.txt")
        lines = printed.read_text().splitlines() if printed.exists() else ()
        scenarios.append(Scenario(match["scenario"], checks, lines))
    return scenarios


def _check(reported: Mapping[str, str]) -> Check:
    message = " ".join(reported.get("errorMessage", "").split())
    return Check(id=reported["id"], status=reported["status"], message=message, name=reported.get("name", ""))


def read_expected(text: str) -> set[str]:
    """Read the list of expected failures: `revision/scenario/check` a line, `#` begins a comment."""
    lines = (line.partition("#")[0].strip() for line in text.splitlines())
    return {line for line in lines if line}


def judge(revision: str, scenarios: Iterable[Scenario], expected: Iterable[str], floor: Floor) -> Verdict:
    """Compare a run with the expected failures of its revision."""
    scenarios = list(scenarios)
    failed = {f"{revision}/{one.name}/{check}": message for one in scenarios for check, message in one.failed.items()}
    wanted = {entry for entry in expected if entry.startswith(f"{revision}/")}
    seen = Floor(scenarios=len(scenarios), successes=sum(one.count("SUCCESS") for one in scenarios))
    shortfall = [
        f"{revision}: {getattr(seen, what)} {what}, but there must be at least {getattr(floor, what)}"
        for what in ("scenarios", "successes")
        if getattr(seen, what) < getattr(floor, what)
    ]
    return Verdict(
        unexpected={entry: message for entry, message in failed.items() if entry not in wanted},
        stale=sorted(wanted - failed.keys()),
        shortfall=shortfall,
    )
