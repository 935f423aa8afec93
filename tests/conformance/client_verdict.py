"""What a run of the client's leg means: each check by its name, and whether the client came to the end.

The suite itself tells neither with what status a client exited nor which revision it chose to speak, and a scenario of
it passes if all of its checks are skipped. So each check that must succeed is expected by name, and the client under
test prints the revision that it speaks, and a last line when all was done.
"""

from __future__ import annotations

import tomllib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import attrs

from tests.conformance.client import CARRIED_OUT
from tests.conformance.verdict import Scenario

UNTOLD = "INFO"
"""The status of what a scenario only notes down."""


@attrs.frozen
class Expected:
    """What is expected of one scenario.

    Args:
        success: The names of the checks that succeed.
        otherwise: Those that end otherwise, each with its status, a colon, and the reason.
    """

    success: Sequence[str]
    otherwise: Mapping[str, str] = attrs.field(factory=dict)

    def statuses(self) -> Counter[tuple[str, str]]:
        """The names of the checks, each with its status."""
        others = {name: reason.partition(":")[0] for name, reason in self.otherwise.items()}
        return Counter([(name, "SUCCESS") for name in self.success] + list(others.items()))


@attrs.frozen(kw_only=True)
class Expectations:
    """What is expected of a run of one requirement set.

    Args:
        scenarios: The scenarios that are carried out.
        later: Those for which nothing is done yet.
    """

    scenarios: Mapping[str, Expected]
    later: Sequence[str]


def read_expectations(text: str) -> dict[str, Expectations]:
    """Read `client_expected.toml`: the expectations of each requirement set."""
    read: dict[str, Any] = tomllib.loads(text)
    later = read.pop("later")
    return {
        revision: Expectations(
            scenarios={name: Expected(**one) for name, one in scenarios.items()}, later=later[revision]["scenarios"]
        )
        for revision, scenarios in read.items()
    }


def judge_client(revision: str, scenarios: Iterable[Scenario], expectations: Expectations) -> list[str]:
    """What is wrong with a run, one sentence a line; nothing if all is as expected."""
    found = {one.name: one for one in scenarios}
    known = {*expectations.scenarios, *expectations.later}
    wrong = [f"{name}: did not run" for name in sorted(known - found.keys())]
    wrong += [f"{name}: nobody said what is expected of it" for name in sorted(found.keys() - known)]
    for name, expected in expectations.scenarios.items():
        if name in found:
            wrong += (f"{name}: {what}" for what in _wrong(revision, found[name], expected))
    passing = [name for name in expectations.later if name in found and not found[name].failed]
    return wrong + [f"{name}: passes now, so remove it from those for later" for name in passing]


def _wrong(revision: str, scenario: Scenario, expected: Expected) -> Iterator[str]:
    ended = Counter((check.name, check.status) for check in scenario.checks if check.status != UNTOLD)
    wanted = expected.statuses()
    messages = {check.name: check.message for check in scenario.checks}
    for name, status in wanted - ended:
        yield f"{name} did not end with {status}"
    for name, status in ended - wanted:
        yield f"{name} ended with {status}, which nobody expected: {messages[name] or 'without a word'}"
    first, last = (scenario.printed[0], scenario.printed[-1]) if scenario.printed else ("", "")
    if last != CARRIED_OUT:
        yield "the client did not come to the end"
    if first != f"{revision} over streamable-http":
        yield f"the client did not speak {revision}, but {first!r}"
