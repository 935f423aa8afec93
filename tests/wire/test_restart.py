"""Sessions and streams that outlive the process, in a store that is a real file."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from twisted.internet.defer import Deferred
from twisted.logger import LogEvent, globalLogPublisher

from mcpserve import publish, resource
from mcpserve.legacy.session import SessionLimits
from mcpserve.legacy.streams import ResumeLimits
from mcpserve.policy.callers import Caller
from mcpserve.stores.events import EventLimits
from mcpserve.stores.writing import State, WriteLimits
from tests.wire.http import Peer
from tests.wire.server import LEGACY, Limits, Server, Session, request
from tests.wire.stored import Disk
from tests.wire.tools import Witness, burst, chatty, polled, silent, steps

NOTHING = {"sessions": 0, "streams": 0, "events": 0}


class Lives:
    """One server after the other on the same disk, for the same clients.

    Attributes:
        server: The one that lives now.
    """

    def __init__(self, path: Path, *tools: Any, sessions: SessionLimits | None = None, **writing: Any) -> None:
        self.disk = Disk(path / "store.db", WriteLimits(**writing))
        self._tools = tools
        self._limits = Limits(sessions=sessions or SessionLimits())
        self._begin(0.0)

    def _begin(self, now: float) -> None:
        self.server = Server(*self._tools, limits=self._limits, journal=self.disk.journal, now=now)

    def session(self, version: str = "2025-11-25") -> Session:
        """A client."""
        return self.server.session(version)

    def killed(self, *sessions: Session, down: float = 0.0) -> Any:
        """The server is killed, and another begins; its clients know it by the same name."""
        self.disk.kill()
        self._begin(self.server.clock.seconds() + down)
        found = [Session(self.server, session.id, session.version) for session in sessions]
        return found[0] if len(found) == 1 else found

    def stopped(self, *sessions: Session) -> Any:
        """The server ends in an orderly way, and another begins."""
        over: list[object] = []
        self.server.sessions.suspend()
        Deferred.fromCoroutine(self.disk.writer.close()).addCallback(over.append)
        self.server.turn()
        assert len(over) == 1
        return self.killed(*sessions)


@resource("test://thing")
def thing() -> str:
    """A thing that changes."""
    return "thing"


@pytest.fixture
def lives(tmp_path: Path) -> Lives:
    """Servers with the usual limits."""
    return Lives(tmp_path, steps, burst, silent, polled, chatty, thing)


@pytest.fixture
def lines() -> Iterator[list[LogEvent]]:
    """What is logged about the store."""
    seen: list[LogEvent] = []

    def observe(event: LogEvent) -> None:
        if event.get("log_namespace") == "mcpserve.stores.writing":
            seen.append(event)

    globalLogPublisher.addObserver(observe)
    yield seen
    globalLogPublisher.removeObserver(observe)


def values(peer: Peer) -> list[float]:
    """The progress that has arrived."""
    return [message["params"]["progress"] for message in peer.messages if "progress" in message.get("params", {})]


def cursor(peer: Peer) -> str:
    """The last event id."""
    return [event.id for event in peer.events if event.id][-1]


def reply(peer: Peer) -> Any:
    """The one reply; the stream has ended with it."""
    assert peer.complete
    assert ["id" in message for message in peer.messages].count(True) == 1
    return peer.messages[-1]


# --- what another process finds


@pytest.mark.parametrize("ended", [Lives.killed, Lives.stopped])
def test_a_session(lives: Lives, ended: Callable[..., Session]) -> None:
    """It goes on as it was, at the revision that it has."""
    session = lives.session("2025-06-18")
    lives.server.turn()
    session = ended(lives, session)
    assert session.ask("ping").result == {}
    assert session.ask("tools/list").json["result"]["tools"]
    assert Session(lives.server, session.id[:-1], session.version).ask("ping").status == 404


def test_a_deleted_session(lives: Lives) -> None:
    """It stays deleted, and nothing of it is left in the file."""
    session = lives.session()
    lives.server.turn()
    session.call("steps", token=1)
    lives.server.seconds(1)
    session.delete()
    lives.server.turn()
    session = lives.killed(session)
    assert session.ask("ping").status == 404
    assert lives.disk.content() == NOTHING


@pytest.mark.parametrize(("down", "status"), [(1500, 200), (2000, 404)])
def test_a_session_that_nobody_used(lives: Lives, down: float, status: int) -> None:
    """The time while there was no server counts as well."""
    session = lives.session()
    lives.server.turn()
    session = lives.killed(session, down=down)
    assert session.ask("ping").status == status
    lives.server.turn()
    assert lives.disk.rows("sessions") == (status == 200)


def test_what_counts_is_when_it_was_used(lives: Lives) -> None:
    """That is known within a minute, and to the second after an orderly end."""
    one, two = lives.session(), lives.session()
    lives.server.seconds(1000)
    one.ask("ping")
    lives.server.seconds(65)
    two.ask("ping")
    one, two = lives.killed(one, two, down=800)
    assert (one.ask("ping").status, two.ask("ping").status) == (200, 404)
    lives.server.seconds(1750)
    one.ask("ping")
    one = lives.stopped(one)
    lives.server.seconds(1750)
    assert one.ask("ping").status == 200


def test_lifetime(tmp_path: Path) -> None:
    """It counts from the beginning of the session, not from the start of the server."""
    lives = Lives(tmp_path, sessions=SessionLimits(lifetime=100.0))
    session = lives.session()
    lives.server.seconds(60)
    session = lives.killed(session)
    lives.server.seconds(39)
    assert session.ask("ping").status == 200
    lives.server.seconds(2)
    assert session.ask("ping").status == 404


def test_as_many_sessions_as_there_may_be(tmp_path: Path) -> None:
    """Also when there were more before; the others are forgotten."""
    disk = Disk(tmp_path / "store.db")
    first = Server(journal=disk.journal)
    sessions = [first.session() for _ in range(5)]
    first.turn()
    disk.kill()
    server = Server(journal=disk.journal, limits=Limits(sessions=SessionLimits(count=3)))
    server.turn()
    assert len(server.sessions) == disk.rows("sessions") == 3
    assert server.initialize().status == 503
    assert [Session(server, s.id, s.version).ask("ping").status for s in sessions].count(200) == 3


@pytest.mark.parametrize("batch", [False, True])
def test_the_log_level(lives: Lives, batch: bool) -> None:
    """What the client has set counts on."""
    session = lives.session("2025-03-26" if batch else "2025-11-25")
    message = request("logging/setLevel", {"level": "error"})
    assert session.post([message] if batch else message).status == 200
    lives.server.turn()
    session = lives.killed(session)
    peer = session.call("chatty")
    lives.server.turn()
    assert [message["params"]["level"] for message in peer.messages if "method" in message] == ["error"]


def test_a_finished_stream(lives: Lives) -> None:
    """Its result was stored and not read: the next process delivers it, once."""
    session = lives.session()
    peer = session.call("steps", token=1, id="mine")
    lives.server.seconds(1)
    peer.drop()
    lives.server.seconds(5)
    session = lives.killed(session)
    again = session.get(cursor(peer))
    assert values(again) == [2, 3]
    assert (reply(again)["id"], reply(again)["result"]["content"][0]["text"]) == ("mine", "done")
    assert session.get(cursor(again)).events == []


@pytest.mark.parametrize("version", LEGACY)
def test_a_call_that_died(lives: Lives, version: str) -> None:
    """What was said before is there, and then a clear error for the id of the request; the client does not hang."""
    session = lives.session(version)
    peer = session.call("steps", {"number": 10}, token=1, id=7)
    lives.server.seconds(3)
    assert values(peer) == [1, 2, 3]
    session = lives.killed(session)
    again = session.get(next(event.id for event in peer.events if event.data))
    lives.server.turn()
    assert values(again) == [2, 3]
    error = reply(again)["error"]
    assert (reply(again)["id"], error["code"]) == (7, -32603)
    assert "restarted before this call had ended" in error["message"]
    assert session.call("burst", id=7).status == 200, "its id is free"


def test_a_call_that_died_long_ago(lives: Lives) -> None:
    """The error is written down as well: each process says the same, under the same id."""
    session = lives.session()
    peer = session.call("steps", token=1)
    lives.server.seconds(1)
    session = lives.killed(session)
    first = session.get(cursor(peer))
    lives.server.turn()
    session = lives.killed(session)
    second = session.get(cursor(peer))
    assert reply(first) == reply(second)
    assert cursor(first) == cursor(second)


def test_a_client_that_is_there_at_once(lives: Lives) -> None:
    """It waits until the error is written, and no longer."""
    lives.disk.seconds = 1.0
    session = lives.session()
    peer = session.call("silent")
    lives.server.seconds(20)
    session = lives.killed(session)
    again = session.get(cursor(peer))
    lives.server.seconds(0.9, 0.1)
    assert (again.status, again.complete, again.messages) == (200, False, [])
    lives.server.seconds(0.2, 0.1)
    assert "error" in reply(again)


def test_an_id_that_nobody_gave(lives: Lives) -> None:
    """It is as unknown as before."""
    session = lives.session()
    peer = session.call("steps", token=1)
    lives.server.seconds(1)
    session = lives.killed(session)
    lives.server.turn()
    assert [session.get(id).status for id in ("1-x", "2-0", "1000000001-0")] == [400, 400, 400]
    assert session.get(cursor(peer)).status == 200


def test_no_id_is_given_twice(lives: Lives) -> None:
    """Spec: "the ID MUST be globally unique across all streams within that session", whatever process gave it."""
    session = lives.session()
    ids: list[str] = []
    for _ in range(3):
        peers = [session.call("burst", token=1, id=id) for id in range(3)]
        lives.server.seconds(31)
        ids += [event.id for peer in peers for event in peer.events if event.id]
        session = lives.killed(session)
    assert len(set(ids)) == len(ids) == 3 * 3 * 5


@pytest.mark.parametrize("version", LEGACY)
def test_the_standalone_stream(lives: Lives, version: str) -> None:
    """ts#943: what was said on it while its client was away is there, in order; it goes on, and ids stay unique."""
    session = lives.session(version)
    stream = session.get()
    lives.server.turn()
    say(lives, session, "a")
    say(lives, session, "b")
    stream.drop()
    say(lives, session, "c")
    session = lives.killed(session)
    say(lives, session, "d")
    first = next(event for event in stream.events if event.data)
    again = session.get(first.id)
    say(lives, session, "e")
    assert said(stream) == ["a", "b"]
    assert said(again) == ["b", "c", "d", "e"]
    assert not again.complete
    ids = [event.id for event in (first, *again.events) if event.data]
    assert len(set(ids)) == 5


def say(lives: Lives, session: Session, word: str) -> None:
    """The server says something on a session's standalone stream."""
    message = (
        b'{"jsonrpc":"2.0","method":"notifications/message","params":{"level":"info","data":"%s"}}' % word.encode()
    )
    assert lives.server.sessions.get(session.id).say(message)
    lives.server.turn()


def said(peer: Peer) -> list[str]:
    """What has arrived of that."""
    return [message["params"]["data"] for message in peer.messages]


@pytest.mark.parametrize("full", [False, True])
@pytest.mark.parametrize("ended", [Lives.killed, Lives.stopped])
def test_subscriptions(lives: Lives, ended: Callable[..., Session], full: bool) -> None:
    """What a session has subscribed to is told it by the next process as well; also if all was written anew."""
    uri = "test://thing"
    session = lives.session()
    lives.server.turn()
    lives.disk.problem = "disk full" if full else None
    assert session.ask("resources/subscribe", {"uri": uri}).result == {}
    lives.server.turn()
    lives.disk.problem = None
    if ended is Lives.killed:
        lives.server.seconds(31)
    session = ended(lives, session)
    publish.attach(lives.server.publisher)
    try:
        publish.resource_updated(uri)
    finally:
        publish.detach(lives.server.publisher)
    lives.server.turn()
    stream = session.get()
    lives.server.turn()
    assert [message["params"]["uri"] for message in stream.messages] == [uri]


def test_grace_begins_anew(tmp_path: Path) -> None:
    """Clients get time to find the new process; whoever does not come is forgotten, in the file too."""
    lives = Lives(tmp_path, steps, sessions=SessionLimits(resume=ResumeLimits(grace=10.0)))
    session = lives.session()
    peer = session.call("steps", {"number": 1}, token=1)
    lives.server.seconds(1)
    lives.server.seconds(9)
    session = lives.killed(session, down=100)
    lives.server.seconds(9)
    assert "result" in reply(session.get(cursor(peer).replace("-2", "-1")))
    lives.server.seconds(11)
    assert session.get(cursor(peer)).status == 400
    assert lives.disk.content() == {"sessions": 1, "streams": 0, "events": 0}


def test_a_client_that_was_sent_away(lives: Lives) -> None:
    """The time for which it was told to stay away counts beside the grace time in the next process as well."""
    session = lives.session()
    peer = session.call("polled", {"closes": [0], "retry_ms": 100_000}, token=1)
    lives.server.seconds(10)
    session = lives.killed(session, down=30)
    lives.server.seconds(85)
    assert "result" in reply(session.get(cursor(peer)))
    lives.server.seconds(31)
    assert session.get(cursor(peer)).status == 400


def test_an_owner(tmp_path: Path) -> None:
    """A session belongs to its owner in the next process as well."""
    lives = Lives(tmp_path)
    sessions = lives.server.sessions
    session = lives.session()
    owned = sessions.open(sessions.get(session.id).revision, {"name": "n", "version": "1"}, {}, Caller(name="ann"))
    lives.server.turn()
    lives.killed(session)
    assert lives.server.sessions.get(owned.id, "ann").owner == "ann"


# --- what is in the file, and when


def test_what_is_not_written(lives: Lives) -> None:
    """Replies that open no stream: a session costs a row, and a plain call none."""
    session = lives.session()
    session.ask("ping")
    session.call("silent", {"seconds": 1.0})
    lives.server.seconds(2)
    session.call("silent", id=2).drop()
    session.call("steps", token=1, headers={"Accept": "application/json"})
    lives.server.seconds(10)
    assert lives.disk.content() == {"sessions": 1, "streams": 0, "events": 0}


def test_nothing_is_sent_before_it_is_written(lives: Lives) -> None:
    """Whatever id a client has got is known after the restart."""
    lives.disk.seconds = 0.5
    session = lives.session()
    lives.server.seconds(1)
    peer = session.call("steps", {"number": 2}, token=1)
    lives.server.seconds(1.3, 0.1)
    assert not peer.answered
    lives.server.seconds(0.3, 0.1)
    assert values(peer) == [1]
    lives.server.seconds(0.6, 0.1)
    assert values(peer) == [1]
    session = lives.killed(session)
    again = session.get(cursor(peer))
    lives.server.seconds(1, 0.1)
    assert values(again) == [], "the second step was said, but neither written nor sent"
    assert "error" in reply(again)


def test_a_slow_disk_keeps_the_order(lives: Lives) -> None:
    """What comes while it is busy goes into the next batch, all together."""
    lives.disk.seconds = 0.7
    session = lives.session()
    peers = [session.call("steps", {"number": 20, "seconds": 0.1}, token=1, id=id) for id in range(3)]
    lives.server.seconds(10, 0.1)
    for peer in peers:
        assert values(peer) == list(range(1, 21))
        reply(peer)


def test_a_reply_that_is_not_written_yet_makes_no_room(tmp_path: Path) -> None:
    """Its client has nothing yet; a further call is told to wait instead."""
    lives = Lives(tmp_path, burst, sessions=SessionLimits(streams=2))
    session = lives.session()
    lives.server.turn()
    lives.disk.seconds = 0.5
    peers = [session.call("burst", token=1, id=id) for id in range(3)]
    assert not lives.server.calls.running
    assert peers[2].status == 429
    lives.server.seconds(1, 0.1)
    assert ["result" in reply(peer) for peer in peers[:2]] == [True, True]
    assert session.call("burst", token=1, id=3, peer=None).answered is False
    lives.server.seconds(1, 0.1)


def test_silence_opens_what_is_written(lives: Lives) -> None:
    """A comment opens the stream of a silent call, with an id that the next process knows."""
    lives.disk.seconds = 0.5
    session = lives.session()
    peer = session.call("silent", {"seconds": 40.0})
    lives.server.seconds(15.4, 0.1)
    assert not peer.answered
    lives.server.seconds(1.2, 0.1)
    assert (peer.events[0].data, peer.comments) == ("", 1)
    lives.server.seconds(17)
    assert peer.comments == 2
    session = lives.killed(session)
    assert session.get(cursor(peer)).status == 200


def test_lost_before_it_was_written(lives: Lives) -> None:
    """The client has no id to come back with: the call is cancelled, and nothing of it stays in the file."""
    lives.disk.seconds = 0.5
    session = lives.session()
    peer = session.call("steps", token=1)
    lives.server.seconds(1.2, 0.1)
    peer.drop()
    assert not lives.server.calls.running
    lives.server.seconds(5)
    assert lives.disk.content() == {"sessions": 1, "streams": 0, "events": 0}


def test_withdrawn_before_it_was_written(lives: Lives) -> None:
    """No response, and nothing stays."""
    lives.disk.seconds = 0.5
    session = lives.session()
    peer = session.call("burst", token=1)
    slow = session.call("steps", token=1, id=2)
    lives.server.seconds(1.2, 0.1)
    session.notify("notifications/cancelled", {"requestId": 2})
    assert slow.complete
    lives.server.seconds(5)
    reply(peer)
    assert slow.messages == []
    lives.server.seconds(40)
    assert lives.server.sessions.room.used == 0
    assert lives.disk.content() == {"sessions": 1, "streams": 0, "events": 0}


def test_lost_while_the_reply_is_written(lives: Lives) -> None:
    """The client has an id, and comes back for it."""
    lives.disk.seconds = 0.5
    session = lives.session()
    peer = session.call("steps", {"number": 2}, token=1)
    lives.server.seconds(2.2, 0.1)
    assert values(peer) == [1]
    assert not lives.server.calls.running
    peer.drop()
    again = session.get(cursor(peer))
    assert values(again) == []
    lives.server.seconds(0.5, 0.1)
    assert values(again) == [2]
    assert "result" in reply(again)
    again = session.get(cursor(peer))
    assert (values(again), "result" in reply(again)) == ([2], True)


@pytest.mark.parametrize("limits", [{"count": 5}, {"size": 3000}, {"age": 8.0}])
def test_the_file_is_as_bounded_as_the_memory(tmp_path: Path, limits: dict[str, Any]) -> None:
    """What memory lets go of is let go of in the file, but for the newest event."""
    resume = ResumeLimits(events=EventLimits(**limits))
    lives = Lives(tmp_path, steps, sessions=SessionLimits(resume=resume))
    session = lives.session()
    peer = session.call("steps", {"number": 100, "size": 500}, token=1)
    lives.server.seconds(50)
    assert 1 <= lives.disk.rows("events") <= 12
    session = lives.killed(session)
    assert session.get(peer.events[1].id).status == 400
    again = session.get(cursor(peer))
    lives.server.turn()
    assert "error" in reply(again)


def test_the_file_becomes_small_again(lives: Lives) -> None:
    """When what was in it is not needed any more, its space is given back."""
    session = lives.session()
    for id in range(20):
        session.call("burst", {"number": 10, "size": 20_000}, token=1, id=id)
        lives.server.turn()
    assert lives.disk.pages > 900
    lives.server.seconds(200)
    assert lives.disk.pages < 100


def test_what_has_become_too_old_is_not_forgotten_altogether(tmp_path: Path) -> None:
    """Which number was the last is known after the restart as well: a client that has read it goes on from there."""
    resume = ResumeLimits(events=EventLimits(age=8.0))
    lives = Lives(tmp_path, sessions=SessionLimits(resume=resume))
    session = lives.session()
    stream = session.get()
    lives.server.turn()
    say(lives, session, "a")
    say(lives, session, "b")
    lives.server.seconds(30)
    assert lives.server.sessions.room.used == 0
    session = lives.killed(session)
    again = session.get(cursor(stream))
    say(lives, session, "c")
    assert said(again) == ["c"]
    assert cursor(again) == "1-3"


def test_memory_of_all_together(tmp_path: Path) -> None:
    """The bound for all counts in the file, and for what is read from it."""
    lives = Lives(tmp_path, burst, sessions=SessionLimits(memory=200_000))
    for _ in range(40):
        session = lives.session()
        for id in range(4):
            session.call("burst", {"size": 2000}, token=1, id=id)
            lives.server.turn()
    assert lives.disk.rows("events") * 2000 < 200_000
    lives.killed(session)
    assert 0 < lives.server.sessions.room.used < 200_000


def test_a_hundred_streams_of_one_session(lives: Lives) -> None:
    """fm#4758: all at once, and each is there after the restart, with all that it has said."""
    session = lives.session()
    lives.disk.seconds = 0.05
    peers = [session.call("steps", {"number": 3, "seconds": 0.5}, token=id, id=id) for id in range(100)]
    lives.server.seconds(1.1, 0.05)
    assert all(values(peer) == [1, 2] for peer in peers)
    for peer in peers[:50]:
        peer.drop()
    lives.server.seconds(1, 0.05)
    session = lives.killed(session)
    for id, peer in enumerate(peers):
        again = session.get(peer.events[0].id)
        lives.server.seconds(0.1)
        assert values(again) == [1, 2, 3]
        assert reply(again)["id"] == id
        assert "result" in reply(again)


# --- an orderly end


def test_away_and_back(lives: Lives) -> None:
    """Clients are sent away with the time to come back; calls that end meanwhile are finished by the next process."""
    session = lives.session()
    peer, quiet = session.call("steps", token=1), session.call("silent", {"seconds": 2.0}, id=2)
    stream = session.get()
    lives.server.seconds(1)
    for one in lives.server.sessions:
        one.send_away(4000)
    lives.server.turn()
    for one in (peer, quiet, stream):
        assert one.complete
        assert one.events[0].data == ""
        assert one.events[-1].retry == 4000
        assert all("id" not in message for message in one.messages)
    lives.server.seconds(3)
    session = lives.stopped(session)
    again = session.get(cursor(peer))
    assert values(again) == [2, 3]
    assert "result" in reply(again)
    assert reply(session.get(cursor(quiet)))["result"]["content"][0]["text"] == "awake"
    assert not session.get(cursor(stream)).complete


@pytest.mark.parametrize("version", [version for version in LEGACY if version != "2025-11-25"])
def test_older_clients_are_not_sent_away(lives: Lives, version: str) -> None:
    """They don't know that a stream may be closed before its reply; of the standalone stream nothing is expected."""
    session = lives.session(version)
    stream, peer = session.get(), session.call("steps", token=1)
    lives.server.seconds(1)
    for one in lives.server.sessions:
        one.send_away(4000)
    lives.server.turn()
    assert (stream.complete, peer.complete) == (True, False)
    lives.server.seconds(2)
    assert "result" in reply(peer)


# --- a disk that fails


def test_a_disk_that_is_full(lives: Lives, lines: list[LogEvent]) -> None:
    """It is logged, once; streams go on in memory; when there is room again all of it is written."""
    session = lives.session()
    lives.server.turn()
    lives.disk.problem = "disk full"
    peer = session.call("steps", {"number": 60}, token=1)
    lives.server.seconds(50)
    assert values(peer) == list(range(1, 51))
    assert [line["log_level"].name for line in lines] == ["error"]
    assert lines[0]["problem"] == "disk full"
    lives.disk.problem = None
    lives.server.seconds(20)
    reply(peer)
    assert [line["log_level"].name for line in lines] == ["error", "info"]
    session = lives.killed(session)
    again = session.get(peer.events[0].id)
    assert values(again) == list(range(1, 61))
    assert "result" in reply(again)


def test_killed_while_the_disk_is_full(lives: Lives) -> None:
    """What was not written is lost, and says so: no result is claimed, and nobody hangs."""
    session = lives.session()
    peer = session.call("steps", token=1)
    lives.server.seconds(1)
    lives.disk.problem = "disk full"
    lives.server.seconds(1)
    ids = [event.id for event in peer.events]
    assert len(ids) == 3
    peer.drop()
    lives.server.seconds(5)
    lives.disk.problem = None
    session = lives.killed(session)
    for id in (*ids, ids[-1]):
        again = session.get(id)
        lives.server.turn()
        assert "error" in reply(again)


def test_stopped_while_the_disk_was_full(lives: Lives) -> None:
    """An orderly end tries once more."""
    session = lives.session()
    peer = session.call("steps", token=1)
    lives.server.seconds(1)
    lives.disk.problem = "disk full"
    lives.server.seconds(1)
    peer.drop()
    lives.server.seconds(5)
    lives.disk.problem = None
    session = lives.stopped(session)
    again = session.get(cursor(peer))
    assert values(again) == [3]
    assert "result" in reply(again)


def test_a_disk_that_hangs(lives: Lives, lines: list[LogEvent]) -> None:
    """Streams wait for a while, and then for nothing; nothing is said twice when it is back."""
    session = lives.session()
    lives.server.turn()
    lives.disk.seconds = 25.0
    peer = session.call("steps", {"number": 90}, token=1)
    lives.server.seconds(8)
    assert not peer.answered
    lives.server.seconds(4)
    assert values(peer) == list(range(1, 13))
    assert "longer than 10 s" in lines[0]["problem"]
    lives.disk.seconds = 0.0
    lives.server.seconds(60)
    assert lives.disk.writer.state is State.IN_STEP
    lives.server.seconds(20)
    assert values(peer) == list(range(1, 91))
    session = lives.killed(session)
    assert values(session.get(peer.events[0].id)) == list(range(1, 91))


def test_more_than_may_wait(tmp_path: Path, lines: list[LogEvent]) -> None:
    """The memory that waits for the disk is bounded."""
    lives = Lives(tmp_path, burst, size=100_000)
    lives.disk.seconds = 5.0
    session = lives.session()
    lives.server.turn()
    peer = session.call("burst", {"number": 60, "size": 2000}, token=1)
    lives.server.turn()
    assert values(peer) == list(range(1, 61))
    reply(peer)
    assert "100000 bytes" in lines[0]["problem"]


def test_a_session_that_was_deleted_while_the_disk_was_full(lives: Lives) -> None:
    """It does not come back to life."""
    session, other = lives.session(), lives.session()
    lives.server.turn()
    lives.disk.problem = "disk full"
    session.delete()
    lives.server.seconds(1)
    lives.disk.problem = None
    lives.server.seconds(60)
    session, other = lives.killed(session, other)
    assert (session.ask("ping").status, other.ask("ping").status) == (404, 200)


def test_witnesses_are_cancelled_as_ever(tmp_path: Path) -> None:
    """A stream that nobody takes up is given up, and its call cancelled, as in memory."""
    witness = Witness()
    lives = Lives(tmp_path, *witness.tools())
    session = lives.session()
    peer = session.call("take", token=1)
    lives.server.seconds(2)
    peer.drop()
    lives.server.seconds(29)
    assert witness.told == []
    lives.server.seconds(2)
    assert sorted(witness.told) == ["on_cancel", "stop"]
    assert lives.disk.content() == {"sessions": 1, "streams": 0, "events": 0}


def test_what_is_in_the_way_when_a_step_fails(lives: Lives) -> None:
    """A tool that closes its stream again and again, on a slow disk, loses nothing."""
    lives.disk.seconds = 0.3

    session = lives.session()
    peer = session.call("polled", {"closes": [1, 2, 3]}, token=1)
    got: list[float] = []
    for _ in range(6):
        lives.server.seconds(1, 0.1)
        if peer.complete and "id" not in (peer.messages or [{}])[-1]:
            got += values(peer)
            peer = session.get(cursor(peer))
    lives.server.seconds(2, 0.1)
    assert [*got, *values(peer)] == [1, 2, 3, 4]
    assert "result" in reply(peer)
