"""The log of one stream's events: what it keeps, and what it admits to have lost."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from mcpserve.stores.events import EventLimits, EventLog


def log(*events: bytes, count: int = 1000, size: int = 1000) -> EventLog:
    """A log that has seen these events."""
    kept = EventLog(EventLimits(count=count, size=size))
    for event in events:
        kept.append(event)
    return kept


def test_after_the_start() -> None:
    """Number 0 is the start."""
    assert log().after(0) == []
    assert log(b"a", b"b").after(0) == [b"a", b"b"]


def test_after_an_event() -> None:
    """What follows it, in order; nothing after the last."""
    assert log(b"a", b"b", b"c").after(1) == [b"b", b"c"]
    assert log(b"a", b"b", b"c").after(3) == []


def test_numbers_that_never_were() -> None:
    """Numbers of the future and of before the start are unknown."""
    assert log(b"a").after(2) is None
    assert log(b"a").after(-1) is None


def test_too_many() -> None:
    """The oldest go; whoever needs them is told so."""
    kept = log(b"a", b"b", b"c", count=2)
    assert kept.after(0) is None
    assert kept.after(1) == [b"b", b"c"]


def test_too_large() -> None:
    """Bytes count too, but the newest event is always kept."""
    assert log(b"a" * 600, b"b" * 600).after(0) is None
    assert log(b"a" * 600, b"b" * 600).after(1) == [b"b" * 600]
    assert log(b"a" * 5000).after(0) == [b"a" * 5000]


@given(st.lists(st.binary(max_size=30)), st.integers(1, 6), st.integers(1, 90), st.integers(-2, 60))
def test_all_or_nothing(events: list[bytes], count: int, size: int, number: int) -> None:
    """It gives exactly the events after a number, or says that it can't; and its memory is bounded."""
    kept = log(*events, count=count, size=size)
    answer = kept.after(number)
    assert answer is None or (number >= 0 and answer == events[number:])
    assert kept.after(len(events)) == []
    fitting = 0
    while fitting < min(count, len(events)) and sum(map(len, events[len(events) - fitting - 1 :])) <= size:
        fitting += 1
    fitting = max(fitting, min(1, len(events)))
    assert kept.after(len(events) - fitting) == events[len(events) - fitting :]
    assert fitting == len(events) or kept.after(len(events) - fitting - 1) is None
