"""Whatever happens to any byte between a client and the real server: real sockets, a proxy for each client.

Here with some of the positions; with all of them it is `python -m tests.chaos --form loopback`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import pytest_twisted

from tests.chaos.exercise import EXERCISES
from tests.chaos.faults import KINDS, WAYS, Fault, Kind
from tests.chaos.lean import ERAS, Era
from tests.chaos.loopback import Case, Ground, attempts, ground, lengths

pytestmark = [pytest.mark.chaos, pytest.mark.deadline(120)]

MORE: tuple[Kind, ...] = ("dead", "garble")
STRIDES = {"count": 29, "names": 131, "leave": 89, "late": 89}
"""How many bytes lie between two positions; primes."""


@pytest.fixture(scope="module")
def served(running_reactor: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ground]:
    """The server, in a process of its own."""
    with ground(running_reactor, tmp_path_factory.mktemp("chaos")) as found:
        yield found


@pytest.mark.parametrize("exercise", EXERCISES)
@pytest.mark.parametrize("era", ERAS)
@pytest_twisted.ensureDeferred
async def test_at_many_bytes(served: Ground, era: Era, exercise: str) -> None:
    """It ends right or with a typed error, in time, once, and leaves nothing; what is given up is cancelled."""
    whole, stride = await lengths(served, exercise, era), STRIDES[exercise]
    cases = [
        Case(exercise=exercise, era=era, fault=Fault(kind, way, at))
        for number, kind in enumerate((*KINDS, *MORE))
        for way in WAYS
        for at in range(number * 3, whole[way] + 1, stride)
    ]
    assert len(cases) > 100
    assert await attempts(served, cases) == []


@pytest.mark.parametrize("era", ERAS)
@pytest_twisted.ensureDeferred
async def test_byte_by_byte_over_sockets(served: Ground, era: Era) -> None:
    """Bytes that come one at a time are the same bytes."""
    cases = [Case(exercise=exercise, era=era, bytewise=True) for exercise in EXERCISES]
    assert await attempts(served, cases) == []


@pytest.mark.parametrize("kind", ["reset", "cut"])
@pytest.mark.parametrize("era", ERAS)
@pytest_twisted.ensureDeferred
async def test_every_connection_breaks(served: Ground, era: Era, kind: Kind) -> None:
    """When each connection breaks off at the same byte, nobody tries for ever."""
    cases = [
        Case(exercise=exercise, era=era, fault=Fault(kind, way, at, again=True))
        for exercise in ("count", "names")
        for way in WAYS
        for at in range(0, 900, 113)
    ]
    assert await attempts(served, cases) == []
