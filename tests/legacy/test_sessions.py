"""Sessions without HTTP: their ids, their ages, their number."""

from __future__ import annotations

import tracemalloc
from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import Any

import pytest
from twisted.internet.task import Clock

from mcpserve.errors import Refusal
from mcpserve.legacy.session import Session, SessionLimits
from mcpserve.legacy.sessions import Sessions
from mcpserve.protocol.exchange import NO_HEADERS, Exchange
from mcpserve.protocol.jsonrpc import Request
from mcpserve.protocol.revisions import LATEST_LEGACY
from tests.legacy.reader import Reader


class Silence:
    """A carrier that notes when it ends."""

    ended = False

    def notify(self, message: bytes, replaceable: bool) -> None:
        """Carry nothing."""

    def reply(self, message: bytes, status: int, headers: Mapping[str, str] = NO_HEADERS) -> None:
        """Carry nothing."""

    def end(self) -> None:
        """Note it."""
        self.ended = True


@pytest.fixture
def clock() -> Clock:
    """The time."""
    return Clock()


@pytest.fixture
def sessions(clock: Clock) -> Iterator[Sessions]:
    """Ten minutes idle, an hour at the most, three sessions."""
    kept = Sessions(clock, SessionLimits(count=3, idle=600.0, lifetime=3600.0))
    yield kept
    kept.close_all()
    assert clock.getDelayedCalls() == []


def begin(sessions: Sessions) -> Session:
    """A session."""
    return sessions.open(LATEST_LEGACY, {"name": "n", "version": "1"}, {})


def running(session: Session, request_id: int = 1) -> Silence:
    """Let a call run in a session."""
    carrier = Silence()
    session.calls[request_id] = Exchange(Request(request_id, "tools/call", {}), session.revision, carrier)
    return carrier


def refused(sessions: Sessions, session_id: str) -> int | None:
    """The status with which a session is refused."""
    try:
        sessions.get(session_id)
    except Refusal as refusal:
        return refusal.status
    return None


def test_ids(sessions: Sessions) -> None:
    """128 bits and more, in visible ASCII, and never the same."""
    ids = {begin(sessions).id for _ in range(3)}
    assert len(ids) == 3
    assert all(len(id) == 32 and id.isascii() and id.isprintable() and " " not in id for id in ids)


def test_get(sessions: Sessions) -> None:
    """A session is found by its whole id."""
    session = begin(sessions)
    assert sessions.get(session.id) is session
    assert refused(sessions, session.id[:-1]) == 404
    assert refused(sessions, session.id.swapcase()) == 404


@pytest.mark.parametrize(("seconds", "status"), [(599.0, None), (600.0, 404), (601.0, 404)])
def test_idle(clock: Clock, sessions: Sessions, seconds: float, status: int | None) -> None:
    """It ends when the idle time has passed, not only when a sweep finds it."""
    session = begin(sessions)
    clock.advance(seconds)
    assert refused(sessions, session.id) == status


def test_use_keeps_it_alive(clock: Clock, sessions: Sessions) -> None:
    """Each use counts anew, until its life is over."""
    session = begin(sessions)
    for _ in range(6):
        clock.advance(590)
        assert refused(sessions, session.id) is None
    clock.advance(59)
    assert refused(sessions, session.id) is None
    clock.advance(1)
    assert refused(sessions, session.id) == 404


def test_a_running_call_is_use(clock: Clock, sessions: Sessions) -> None:
    """A session does not end under a call, however long it takes."""
    session = begin(sessions)
    running(session)
    clock.pump([60.0] * 30)
    assert refused(sessions, session.id) is None


def test_default_limits() -> None:
    """Half an hour idle, a day at the most, and a cap."""
    limits = SessionLimits()
    assert (limits.idle, limits.lifetime, limits.count) == (1800.0, 86_400.0, 10_000)


def test_the_sweep(clock: Clock, sessions: Sessions) -> None:
    """What has expired goes by itself, within a minute, and the sweep with the last."""
    begin(sessions)
    clock.advance(300)
    begin(sessions)
    clock.pump([60.0] * 6)
    assert len(sessions) == 1
    clock.pump([60.0] * 6)
    assert len(sessions) == 0
    assert clock.getDelayedCalls() == []


def test_a_short_idle_time(clock: Clock) -> None:
    """The sweep is as fast as it needs to be."""
    sessions = Sessions(clock, SessionLimits(idle=2.0))
    begin(sessions)
    clock.pump([1.0] * 4)
    assert len(sessions) == 0


def test_the_cap(clock: Clock, sessions: Sessions) -> None:
    """No more than there may be; what has expired is not counted."""
    for _ in range(3):
        begin(sessions)
    with pytest.raises(Refusal) as refusal:
        begin(sessions)
    assert (refusal.value.status, set(refusal.value.headers)) == (503, {"Retry-After"})
    clock.advance(600)
    begin(sessions)
    assert len(sessions) == 1


def test_room_is_made_between_two_sweeps(clock: Clock, sessions: Sessions) -> None:
    """What has expired is not counted, though no sweep has found it yet."""
    kept = [begin(sessions) for _ in range(3)]
    clock.pump([10.0] * 3)
    for session in kept:
        sessions.get(session.id)
    clock.pump([10.0] * 60)
    assert len(sessions) == 3
    begin(sessions)
    assert len(sessions) == 1


def test_close(sessions: Sessions) -> None:
    """Its calls are withdrawn, and it is unknown; the others stay."""
    session, other = begin(sessions), begin(sessions)
    carriers = [running(session, 1), running(session, 2)]
    kept = running(other)
    sessions.close(session)
    assert [carrier.ended for carrier in carriers] == [True, True]
    assert refused(sessions, session.id) == 404
    assert not kept.ended
    assert list(sessions) == [other]


def test_close_twice(sessions: Sessions) -> None:
    """Closing what is closed changes nothing."""
    session = begin(sessions)
    sessions.close(session)
    sessions.close(session)
    assert len(sessions) == 0


@pytest.mark.parametrize("held", ["lists", "texts"])
def test_clients_that_say_much_about_themselves(held: str) -> None:
    """That is bounded, too; and when one has ended there is room for another."""
    limit = 16 * 1024 * 1024
    sessions = Sessions(Clock(), SessionLimits(details=limit))
    tracemalloc.start()
    try:
        for _ in range(1_000):
            with suppress(Refusal):
                last = talkative(sessions, held)
        taken, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert 50 < len(sessions) < 1000
    assert taken < limit
    sessions.close(last)
    talkative(sessions, held)
    with pytest.raises(Refusal) as refusal:
        talkative(sessions, held)
    assert refusal.value.status == 503
    sessions.close_all()


def talkative(sessions: Sessions, held: str) -> Session:
    """A session of a client that says much about itself."""
    much: Any = [[] for _ in range(2000)] if held == "lists" else "." * 6000
    return sessions.open(LATEST_LEGACY, {"name": "n", "version": "1"}, {"experimental": {"x": much}})


# --- what they keep


def answered(session: Session, reader: Any, size: int, *, lost: bool) -> None:
    """A call that has said something of this size, and was answered; perhaps when its client had gone."""
    stream = session.stream(reader)
    stream.exchange = Exchange(Request(1, "tools/call", {}), session.revision, stream)
    stream.exchange.notify(b"." * size)
    if lost:
        stream.lost()
    stream.exchange.succeed({})


@pytest.mark.parametrize("lost", [False, True])
def test_ten_thousand_sessions_that_say_much(lost: bool) -> None:
    """What is kept for all of them together is bounded, whether or not their clients read it."""
    limit = 16 * 1024 * 1024
    sessions = Sessions(Clock(), SessionLimits(memory=limit))
    clients = [begin(sessions) for _ in range(10_000)]
    tracemalloc.start()
    try:
        for session in clients:
            for _ in range(2):
                answered(session, Reader(), 10_000, lost=lost)
        taken, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert limit * 0.8 < sessions.room.used <= limit
    assert taken < 1.5 * limit
    assert most < 1.6 * limit
    sessions.close_all()
    assert sessions.room.used == 0
