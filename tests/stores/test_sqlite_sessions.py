"""Sessions and streams in a real file, without sessions and streams: what is written is what is read."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.task import Clock

from mcpserve.errors import StoreError
from mcpserve.stores.sessions import StoredSession, StoredStream
from mcpserve.stores.sqlite import SqliteFile, Statement
from mcpserve.stores.sqlite_sessions import SCHEMA, SqliteSessions
from mcpserve.stores.writing import Writer


class Shelf:
    """A store in a file."""

    def __init__(self, path: Path) -> None:
        self.clock = Clock()
        self.file = SqliteFile(path, [SCHEMA], patience=0.0)
        self.file.open()
        self.writer = Writer(self.clock, self._run, self.file)
        self.journal = SqliteSessions(self.file, self.writer)
        self.found = list(self.journal.load())

    def _run(self, f: Callable[[], None]) -> Deferred[None]:
        return maybeDeferred(f)

    def again(self) -> Shelf:
        """What the next process finds."""
        self.clock.advance(0)
        self.file.close()
        return Shelf(self.file.path)


@pytest.fixture
def shelves(tmp_path: Path) -> Iterator[list[Shelf]]:
    """The shelf, and those that follow it."""
    shelves = [Shelf(tmp_path / "store.db")]
    yield shelves
    shelves[-1].file.close()


@pytest.fixture
def shelf(shelves: list[Shelf]) -> Shelf:
    """An empty one."""
    return shelves[0]


def session(id: str, **changes: Any) -> StoredSession:
    """A session."""
    usual: dict[str, Any] = {
        "key": 0,
        "id": id,
        "owner": "ann",
        "revision": "2025-11-25",
        "client_info": {"name": "Ü", "version": "1"},
        "capabilities": {"roots": {"listChanged": True}},
        "state": {"log_level": "debug", "uris": ["a://b"]},
        "created": 1.5,
        "last_used": 2.5,
        "streams": [],
    }
    return StoredSession(**usual | changes)


def test_an_empty_file(shelf: Shelf) -> None:
    """There is nothing in it, and no number was given."""
    assert (shelf.found, shelf.journal.numbers) == ([], 0)


def test_a_session(shelf: Shelf, shelves: list[Shelf]) -> None:
    """All that is known of it."""
    for one in (session("a"), session("b", owner=None, client_info={}, capabilities={}, state={})):
        shelf.journal.open_session(one)
    shelves.append(shelf.again())
    assert shelves[-1].found == [
        session("a", key=1),
        session("b", key=2, owner=None, client_info={}, capabilities={}, state={}),
    ]


@pytest.mark.parametrize("request_id", [1, "1", 0, "", -5, 2**60, "Ü", None])
def test_a_stream(shelf: Shelf, shelves: list[Shelf], request_id: int | str | None) -> None:
    """The id of its request is what it was: 1 is not "1"."""
    key = shelf.journal.open_session(session("a"))
    stream = shelf.journal.open_stream(key, 7, request_id)
    shelf.journal.append(stream, 1, b"one", lambda: None)
    shelf.journal.append(stream, 2, b"\xfftwo\0", lambda: None)
    shelves.append(shelf.again())
    found = shelves[-1].found[0].streams
    assert found == [StoredStream(key=1, number=7, request_id=request_id, first=1, events=[b"one", b"\xfftwo\0"])]
    assert type(found[0].request_id) is type(request_id)


def test_what_changes(shelf: Shelf, shelves: list[Shelf]) -> None:
    """Each change, whether or not what is changed was written before."""
    journal = shelf.journal
    a, b = (journal.open_session(session(id)) for id in "ab")
    one, two, three = (journal.open_stream(a, number, number) for number in (1, 2, 3))
    for stream in (one, two, three):
        for number in (1, 2, 3):
            journal.append(stream, number, b"%d" % number, lambda: None)
    shelf.clock.advance(0)
    journal.change_session(a, {"log_level": "error"}, 9.5)
    journal.close_session(b)
    journal.finish_stream(one)
    journal.send_away(two, 77.5)
    journal.trim(two, 3)
    journal.drop_stream(three)
    shelves.append(shelf.again())
    assert shelves[-1].found == [
        session(
            "a",
            key=a,
            state={"log_level": "error"},
            last_used=9.5,
            streams=[
                StoredStream(key=one, number=1, request_id=1, finished=True, events=[b"1", b"2", b"3"]),
                StoredStream(key=two, number=2, request_id=2, away=77.5, first=3, events=[b"3"]),
            ],
        )
    ]


def test_nothing_is_left_of_a_session(shelf: Shelf) -> None:
    """Its streams and their events go with it; those of others stay."""
    journal = shelf.journal
    for id in "ab":
        key = journal.open_session(session(id))
        for number in range(3):
            stream = journal.open_stream(key, number, number)
            journal.append(stream, 1, b"x", lambda: None)
    journal.close_session(1)
    shelf.clock.advance(0)
    assert [next(shelf.file.read(f"SELECT count(*) FROM {table}"))[0] for table in ("streams", "events")] == [3, 3]


def test_keys_are_not_given_twice(shelf: Shelf, shelves: list[Shelf]) -> None:
    """Nor are the numbers of streams of sessions that go on."""
    keys = [shelf.journal.open_session(session(id)) for id in "ab"]
    streams = [shelf.journal.open_stream(keys[0], 1, 1)]
    for start in (1, 2):
        shelves.append(shelves[-1].again())
        journal = shelves[-1].journal
        keys.append(journal.open_session(session("c")))
        streams.append(journal.open_stream(keys[-1], 1, 1))
        assert journal.numbers == start * 1_000_000_000
    assert len(set(keys)) == 4
    assert len(set(streams)) == 3


def test_orphans(shelf: Shelf, shelves: list[Shelf]) -> None:
    """An event that came after its stream was dropped does no harm, and is cleared away."""
    key = shelf.journal.open_session(session("a"))
    stream = shelf.journal.open_stream(key, 1, 1)
    shelf.journal.drop_stream(stream)
    shelf.clock.advance(0)
    shelf.journal.append(stream, 1, b"late", lambda: None)
    shelves.append(shelf.again())
    assert shelves[-1].found == [session("a", key=key)]
    assert list(shelves[-1].file.read("SELECT * FROM events")) == []


def test_all_anew(shelf: Shelf, shelves: list[Shelf]) -> None:
    """What is said to be there takes the place of what is."""
    shelf.journal.open_session(session("old"))
    shelf.journal.open_stream(1, 1, 1)
    streams = [StoredStream(key=9, number=4, request_id="r", finished=True, away=3.5, first=5, events=[b"5", b"6"])]
    truth = [session("new", key=5, streams=streams), session("other", key=6)]
    shelf.journal.on_rewrite(lambda: iter(truth))
    shelf.clock.advance(0)
    shelf.writer._rewrite()
    shelves.append(shelf.again())
    assert shelves[-1].found == truth


def test_when_written(shelf: Shelf) -> None:
    """Whoever waits is told when it is in the file."""
    told: list[int] = []
    key = shelf.journal.open_session(session("a"))
    stream = shelf.journal.open_stream(key, 1, 1)
    shelf.journal.append(stream, 1, b"x", lambda: told.append(1))
    shelf.journal.when_written(lambda: told.append(2))
    assert told == []
    shelf.clock.advance(0)
    assert told == [1, 2]


@pytest.mark.parametrize("column", ["client", "capabilities", "state"])
def test_what_makes_no_sense(shelf: Shelf, column: str) -> None:
    """A file that somebody has changed is refused with a sentence."""
    shelf.journal.open_session(session("a"))
    shelf.clock.advance(0)
    shelf.file.write({Statement(0, f"UPDATE sessions SET {column} = '{{'"): [()]})
    with pytest.raises(StoreError, match=r"store\.db is damaged"):
        list(shelf.journal.load())
    shelf.file.close()


@settings(max_examples=40, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(["open", "stream", "append", "trim", "drop", "close", "turn", "kill"]), st.integers(0, 9)
        )
    )
)
def test_a_model(tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[str, int]]) -> None:
    """Whatever is done in whatever batches: another process finds what was done until the last batch."""
    shelf = Shelf(tmp_path_factory.mktemp("model") / "store.db")
    streams: dict[int, tuple[int, int, list[bytes]]] = {}
    sessions: list[int] = []
    count = 0
    for what, which in [*steps, ("turn", 0), ("kill", 0)]:
        journal = shelf.journal
        key = sorted(streams)[which % len(streams)] if streams else None
        if what == "open":
            sessions.append(journal.open_session(session(f"s{len(sessions)}")))
        elif what == "stream" and sessions:
            owner = sessions[which % len(sessions)]
            streams[journal.open_stream(owner, which, which)] = (owner, 1, [])
        elif what == "append" and key is not None:
            owner, first, events = streams[key]
            count += 1
            events.append(b"%d" % count)
            journal.append(key, first + len(events) - 1, events[-1], lambda: None)
        elif what == "trim" and key is not None and len(streams[key][2]) > 1:
            owner, first, events = streams[key]
            streams[key] = (owner, first + len(events) - 1, events[-1:])
            journal.trim(key, first + len(events) - 1)
        elif what == "drop" and key is not None:
            del streams[key]
            journal.drop_stream(key)
        elif what == "close" and sessions:
            owner = sessions.pop(which % len(sessions))
            streams = {key: stream for key, stream in streams.items() if stream[0] != owner}
            journal.close_session(owner)
        elif what == "turn":
            shelf.clock.advance(0)
        elif what == "kill":
            shelf = shelf.again()
            assert [one.key for one in shelf.found] == sorted(sessions)
            found = {s.key: (one.key, s.first, list(s.events)) for one in shelf.found for s in one.streams}
            assert found == {
                key: (owner, first if events else 1, events) for key, (owner, first, events) in streams.items()
            }
    shelf.file.close()
