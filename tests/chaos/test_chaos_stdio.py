"""Whatever happens at any byte that a child says or hears: it is killed, falls silent, closes its output, is slow.

Here at every byte of what it says, for a child that is killed, and at some for the rest; at all of them it is
`python -m tests.chaos --form stdio`.
"""

from __future__ import annotations

from typing import Any

import pytest
import pytest_twisted

from tests.chaos.children import ERAS, attempts, lengths
from tests.chaos.exercise import EXERCISES
from tests.chaos.faults import KINDS, WAYS, Fault
from tests.chaos.lean import Era
from tests.chaos.loopback import Case

STRIDES = {"split": 61, "delay": 61, "reset": 37, "cut": 61, "blackhole": 149}
"""How many bytes lie between two positions; primes. Silence takes long to be noticed."""


@pytest.mark.parametrize("exercise", EXERCISES)
@pytest.mark.parametrize("era", ERAS)
@pytest_twisted.ensureDeferred
async def test_a_child_that_is_well(running_reactor: Any, era: Era, exercise: str) -> None:
    """Then everything is right, and nothing is left of it."""
    assert min((await lengths(running_reactor, exercise, era)).values()) > 200


@pytest.mark.parametrize("era", ERAS)
@pytest_twisted.ensureDeferred
async def test_a_child_that_is_killed(running_reactor: Any, era: Era) -> None:
    """In the middle of a message, between two, before its answer and after it."""
    whole = await lengths(running_reactor, "count", era)
    cases = [
        Case(exercise="count", era=era, fault=Fault("reset", "down", at)) for at in range(0, whole["down"] + 1, 83)
    ]
    assert await attempts(running_reactor, cases) == []


@pytest.mark.chaos
@pytest.mark.deadline(120)
@pytest.mark.parametrize("era", ERAS)
@pytest_twisted.ensureDeferred
async def test_a_child_that_is_killed_at_every_byte(running_reactor: Any, era: Era) -> None:
    """The call ends right or with a typed error, in time, is executed once, and no process is left."""
    whole = await lengths(running_reactor, "count", era)
    cases = [Case(exercise="count", era=era, fault=Fault("reset", "down", at)) for at in range(whole["down"] + 1)]
    assert await attempts(running_reactor, cases) == []


@pytest.mark.chaos
@pytest.mark.deadline(120)
@pytest.mark.parametrize("exercise", EXERCISES)
@pytest.mark.parametrize("era", ERAS)
@pytest_twisted.ensureDeferred
async def test_a_child_that_is_struck(running_reactor: Any, era: Era, exercise: str) -> None:
    """The same for whatever else may happen, to what it says and to what it hears."""
    whole = await lengths(running_reactor, exercise, era)
    cases = [
        Case(exercise=exercise, era=era, fault=Fault(kind, way, at))
        for kind in KINDS
        for way in WAYS
        for at in range(0, whole[way] + 1, STRIDES[kind])
    ]
    assert await attempts(running_reactor, cases) == []
