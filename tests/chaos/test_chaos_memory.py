"""Whatever happens to any byte between a client and a server of any era: in memory, on a clock of the test's own.

The loopback form, with real sockets and the real server, is `pytest -m chaos`; all positions of all forms together are
`python -m tests.chaos`.
"""

from __future__ import annotations

import gc
import itertools
from collections.abc import Iterable, Iterator

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.chaos.exercise import EXERCISES
from tests.chaos.faults import KINDS, MORE, WAYS, Fault, Kind, Way
from tests.chaos.lean import ERAS, Era
from tests.chaos.scene import Scene, clean, judged, wrong

STRIDE = 211
"""Of exercises and faults beside the usual ones each such position is taken here; a prime, so that no two of one
exercise strike the same places."""


@pytest.fixture(autouse=True)
def rarer_collections() -> Iterator[None]:
    """Thousands of clients that are dropped one after the other need not be looked for a thousand times each."""
    before = gc.get_threshold()
    gc.set_threshold(20_000, 20, 20)
    yield
    gc.set_threshold(*before)


def found(exercise: str, era: Era, faults: Iterable[Fault]) -> list[str]:
    """What does not hold."""
    return [f"{fault}: {what}" for fault in faults for what in wrong(exercise, era, fault)]


@pytest.mark.parametrize("exercise", EXERCISES)
@pytest.mark.parametrize("era", ERAS)
def test_nothing_happens(exercise: str, era: Era) -> None:
    """Then everything is right, and many bytes pass in both directions."""
    assert list(wrong(exercise, era, None)) == []
    assert min(clean(exercise, era)[1].values()) > 300


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("era", ERAS)
def test_every_byte_of_the_answer(era: Era, kind: Kind) -> None:
    """A call ends right or with a typed error, in time, and is executed once; so does the farewell after it."""
    opened, whole = clean("count", era)
    assert found("count", era, (Fault(kind, "down", at) for at in range(opened["down"], whole["down"] + 1))) == []


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("era", ERAS)
def test_every_byte_of_the_rest(era: Era, way: Way) -> None:
    """The same for the answers to the handshake, and for all requests; each byte with one fault, each in its turn."""
    opened, whole = clean("count", era)
    kinds = itertools.cycle(KINDS)
    end = opened["down"] if way == "down" else whole["up"] + 1
    assert found("count", era, (Fault(next(kinds), way, at) for at in range(end))) == []


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("exercise", EXERCISES)
@pytest.mark.parametrize("era", ERAS)
def test_whatever_one_does(era: Era, exercise: str, way: Way) -> None:
    """What may be asked again is; what is left or late is cancelled on the server, in time; and the rest as above."""
    count = clean(exercise, era)[1][way]
    kinds = [*KINDS, *MORE] if exercise == "count" else KINDS
    faults = (Fault(kind, way, at) for n, kind in enumerate(kinds) for at in range(n * 7, count + 1, STRIDE))
    assert found(exercise, era, faults) == []


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("era", ERAS)
def test_the_user_may_do_so_at_any_byte(era: Era, way: Way) -> None:
    """Closing, and cancelling what one waits for, while a call runs: it ends, and is cancelled on the server."""
    count = clean("late", era)[1][way]
    kinds: tuple[Kind, ...] = ("close", "cancel")
    assert found("late", era, (Fault(kind, way, at) for kind in kinds for at in range(3, count + 1, 83))) == []


@pytest.mark.parametrize("kind", ["close", "cancel"])
@pytest.mark.parametrize("era", ERAS)
def test_the_user_may_do_so_at_any_time(era: Era, kind: Kind) -> None:
    """Also while a connection is made in the place of one that broke off, which takes long here."""
    opened, whole = clean("late", era)
    for at in range(opened["up"], whole["up"], 97):
        for milliseconds in range(0, 400, 13):
            scene = Scene(era, Fault("reset", "up", at))
            scene.network.connecting = 0.05
            scene.clock.callLater(milliseconds / 1000, scene.act, kind)
            assert [f"{at} bytes, {milliseconds} ms: {what}" for what in judged(scene, "late")] == []


@pytest.mark.parametrize("kind", ["reset", "cut", "blackhole"])
@pytest.mark.parametrize("era", ERAS)
def test_every_connection(era: Era, kind: Kind) -> None:
    """When each connection breaks off at the same byte, nobody tries for ever."""
    faults = [Fault(kind, way, at, again=True) for way in WAYS for at in range(0, 450, 71)]
    problems = [what for what in found("count", era, faults) if "nothing was struck" not in what]
    assert problems == []


@pytest.mark.parametrize("era", ERAS)
def test_byte_by_byte(era: Era) -> None:
    """Bytes that come one at a time are the same bytes."""
    for exercise in EXERCISES:
        assert list(wrong(exercise, era, None, lambda: 1)) == []


@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.sampled_from(ERAS),
    st.lists(st.integers(1, 60), min_size=1, max_size=12),
    st.sampled_from(KINDS),
    st.sampled_from(WAYS),
    st.floats(0, 1),
)
def test_in_any_pieces(era: Era, sizes: list[int], kind: Kind, way: Way, where: float) -> None:
    """Nor does it matter how the bytes are cut, with a fault or without."""
    assert list(wrong("count", era, None, itertools.cycle(sizes).__next__)) == []
    fault = Fault(kind, way, int(where * clean("count", era)[1][way]))
    assert list(wrong("count", era, fault, itertools.cycle(sizes).__next__)) == []


def test_that_something_would_be_found() -> None:
    """A server that answers a call twice over, or a client that hangs, would not go unnoticed."""
    scene = Scene("modern")
    story = scene.play("count")
    scene.server.record.executed.append("k")
    assert scene.executed("k") == 2
    assert story.results == ["counted k"]
    assert not scene.cancelled("k")
