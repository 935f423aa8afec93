"""The log of one stream's events: what it keeps, and what it admits to have lost; and the room that logs share."""

from __future__ import annotations

import attrs
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from mcpserve.stores.events import EVENT_COST, LOG_COST, EventLimits, EventLog, EventRoom


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


# --- age


def test_too_old() -> None:
    """What was there at a sweep goes when that is as long ago as the age that is allowed."""
    kept = EventLog(EventLimits(age=10.0))
    kept.append(b"a")
    kept.sweep(100.0)
    kept.append(b"b")
    kept.sweep(105.0)
    assert kept.after(0) == [b"a", b"b"]
    kept.sweep(110.0)
    assert kept.after(0) is None
    assert kept.after(1) == [b"b"]
    kept.sweep(115.0)
    assert kept.after(1) is None
    assert (kept.after(2), kept.first, kept.size) == ([], 3, 0)


def test_age_of_nothing() -> None:
    """A log that is silent stays as it is, and can go on."""
    kept = EventLog(EventLimits(age=10.0))
    for now in range(0, 100, 5):
        kept.sweep(float(now))
    kept.append(b"a")
    assert kept.after(0) == [b"a"]


# --- the room that logs share


def sharing(room: EventRoom, *sizes: int) -> list[EventLog]:
    """Logs in a room, each with an event of so many bytes."""
    logs = [EventLog(EventLimits(), room) for _ in sizes]
    for log, size in zip(logs, sizes, strict=True):
        log.append(b"." * size)
    return logs


def test_what_is_taken() -> None:
    """Each log and each event costs something beside its bytes; an empty log costs nothing."""
    room = EventRoom()
    one, _ = sharing(room, 10, 20)
    EventLog(EventLimits(), room)
    assert (room.used, len(room)) == (30 + 2 * (EVENT_COST + LOG_COST), 2)
    one.clear()
    assert (room.used, len(room)) == (20 + EVENT_COST + LOG_COST, 1)
    one.clear()
    assert len(room) == 1


def test_the_delivered_go_first() -> None:
    """The oldest of them first, and no more than need be; those that are not delivered stay whole."""
    room = EventRoom(size=4 * (1000 + EVENT_COST + LOG_COST))
    logs = sharing(room, 1000, 1000, 1000, 1000)
    went: list[int] = []
    for number in (2, 1, 3):
        logs[number].end(lambda number=number: went.append(number), delivered=True)
    logs[2].end(lambda: went.append(2), delivered=True)
    sharing(room, 500)
    assert went == [2]
    sharing(room, 500)
    assert went == [2, 1]
    assert logs[0].after(0) == [b"." * 1000]


def test_a_log_that_was_cleared_is_not_let_go_of_again() -> None:
    """Whoever has left the room is not asked to."""
    room = EventRoom(size=2 * LOG_COST)
    log = sharing(room, 10)[0]
    went: list[bool] = []
    log.end(lambda: went.append(True), delivered=True)
    log.clear()
    sharing(room, 3 * LOG_COST)
    assert went == []


def test_an_end_of_which_nothing_is_kept() -> None:
    """There is no use in waiting for somebody to ask for it."""
    log = EventLog(EventLimits())
    went: list[bool] = []
    log.end(lambda: went.append(True), delivered=False)
    assert went == [True]


def test_those_that_are_not_delivered_go_last() -> None:
    """But they go when there is no other way; who has not come to an end only loses events."""
    room = EventRoom(size=4 * (1000 + EVENT_COST + LOG_COST))
    log = sharing(room, 6000)[0]
    log.append(b"last")
    went: list[bool] = []
    log.end(lambda: went.append(True), delivered=False)
    sharing(room, 4000)
    assert (log.after(0), log.after(1), went) == (None, [b"last"], [])
    sharing(room, *[1] * 3)
    assert len(went) == 0
    sharing(room, *[1] * 3)
    assert went == [True]


def test_the_largest_is_shortened() -> None:
    """If none is delivered, whoever says most loses first, and keeps the newest event."""
    room = EventRoom(size=60_000)
    small, large = sharing(room, 1000, 1000)
    for _ in range(60):
        large.append(b"." * 1000)
    assert room.used <= room.size
    assert small.after(0) == [b"." * 1000]
    assert large.after(0) is None
    assert large.after(large.last - 1) == [b"." * 1000]


def test_an_event_that_is_larger_than_the_room() -> None:
    """It is not kept at all, and the log says so."""
    log = sharing(EventRoom(size=5000), 6000)[0]
    assert (log.after(0), log.after(1)) == (None, [])


def test_sweep() -> None:
    """All logs of the room are swept."""
    room = EventRoom()
    logs = [EventLog(EventLimits(age=1.0), room) for _ in range(3)]
    for log in logs:
        log.append(b"a")
    room.sweep(0.0)
    room.sweep(1.0)
    assert (len(room), room.used) == (0, 0)


def test_who_is_told() -> None:
    """Whoever wants to know what was let go of is told, whatever the reason."""
    log = EventLog(EventLimits(count=2, age=1.0))
    firsts: list[int] = []
    log.on_trim = lambda: firsts.append(log.first)
    for _ in range(3):
        log.append(b"a")
    log.sweep(0.0)
    log.sweep(1.0)
    log.append(b"b")
    log.append(b"c")
    log.shorten()
    log.clear()
    assert firsts == [2, 4, 5, 6]


@attrs.define
class Twin:
    """A log, and all that it was ever given."""

    log: EventLog
    events: list[bytes] = attrs.Factory(list)


class Rooms(RuleBasedStateMachine):
    """Logs that share a small room: what they give is right or nothing, and what they take is counted and bounded."""

    def __init__(self) -> None:
        super().__init__()
        self.room = EventRoom(size=3 * LOG_COST)
        self.twins: list[Twin] = []
        self.now = 0.0

    @rule()
    def begin(self) -> None:
        """A stream begins."""
        self.twins.append(Twin(EventLog(EventLimits(count=4, size=3000, age=5.0), self.room)))

    @rule(index=st.integers(0, 9), size=st.integers(0, 4000))
    def append(self, index: int, size: int) -> None:
        """It says something."""
        if self.twins:
            twin = self.twins[index % len(self.twins)]
            event = b"%d" % len(twin.events) + b"." * size
            twin.events.append(event)
            twin.log.append(event)

    @rule(index=st.integers(0, 9))
    def deliver(self, index: int) -> None:
        """It is delivered."""
        if self.twins:
            log = self.twins[index % len(self.twins)].log
            log.end(lambda: None, delivered=True)

    @rule(seconds=st.sampled_from([0.0, 1.0, 5.0]))
    def sweep(self, seconds: float) -> None:
        """Time passes."""
        self.now += seconds
        self.room.sweep(self.now)

    @invariant()
    def right_or_nothing(self) -> None:
        """Exactly the events after a number, or None; what is kept is the newest, without a hole."""
        for twin in self.twins:
            log, events = twin.log, twin.events
            assert log.last == len(events)
            for number in range(-1, len(events) + 2):
                kept = log.first - 1 <= number <= log.last
                assert log.after(number) == (events[number:] if kept else None)

    @invariant()
    def counted_and_bounded(self) -> None:
        """The room knows what is taken, and there is no more than there may be."""
        kept = [twin.log.after(twin.log.first - 1) or [] for twin in self.twins]
        taken = sum(LOG_COST + sum(len(event) + EVENT_COST for event in events) for events in kept if events)
        assert self.room.used == taken <= self.room.size
        assert len(self.room) == sum(bool(events) for events in kept)
        assert all(twin.log.size == sum(map(len, events)) for twin, events in zip(self.twins, kept, strict=True))


TestRooms = Rooms.TestCase
TestRooms.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
