"""Table F of the wire: streams that are taken up again after their connection was lost."""

from __future__ import annotations

from pathlib import Path

import pytest

from mcpserve.legacy.session import SessionLimits
from mcpserve.legacy.streams import ResumeLimits
from mcpserve.stores.events import EventLimits
from tests.wire.http import Peer
from tests.wire.server import LEGACY, Limits, Server, Session
from tests.wire.stored import Kept
from tests.wire.tools import Witness, burst, silent, steps

KEPT = Kept()


@pytest.fixture(autouse=True, params=["memory", "sqlite"])
def kept(request: pytest.FixtureRequest, tmp_path: Path) -> None:
    """All of this holds whether or not streams are written down."""
    KEPT.path = tmp_path if request.param == "sqlite" else None


def values(peer: Peer) -> list[float]:
    """The progress that has arrived."""
    return [message["params"]["progress"] for message in peer.messages if "method" in message]


def replies(peer: Peer) -> int:
    """How many replies have arrived."""
    return sum("id" in message for message in peer.messages)


def called(session: Session, tool: str, id: int = 1, **arguments: int) -> Peer:
    """A call that was answered within a turn."""
    peer = session.call(tool, arguments, token=1, id=id)
    session.server.turn()
    return peer


def last_id(peer: Peer) -> str:
    """What the client comes back with."""
    return [event.id for event in peer.events if event.id][-1]


def keeping(*tools: object, streams: int = 1000, memory: int = 1_000_000, **events: int) -> Server:
    """A server that keeps so many events of a stream."""
    resume = ResumeLimits(events=EventLimits(**events))
    return KEPT.server(*tools, limits=Limits(sessions=SessionLimits(streams=streams, memory=memory, resume=resume)))


def test_F21_priming_event() -> None:
    """A stream begins with an id and no data, and says when to come back."""
    server = KEPT.server(steps, silent)
    session = server.session()
    talking, quiet = session.call("steps", token=1), session.call("silent", id=2)
    server.seconds(16)
    for peer in (talking, quiet):
        first = peer.events[0]
        assert (first.data, first.retry) == ("", 1000)
        assert first.id
        assert all(event.retry is None for event in peer.events[1:])
    assert quiet.events[1].comment, "the keep-alive opened the stream, and did not come first"
    assert len({event.id for peer in (talking, quiet) for event in peer.events if event.id}) == 6, "all ids differ"


def test_F23_a_lost_connection_is_no_cancel() -> None:
    """The call goes on, and what it says is kept; the client gets what it missed, in order and once."""
    server = KEPT.server(steps)
    session = server.session()
    peer = session.call("steps", {"number": 5}, token=1)
    server.seconds(2)
    assert values(peer) == [1, 2]
    peer.drop()
    server.seconds(2)
    again = session.get(last_id(peer))
    assert values(again) == [3, 4]
    server.seconds(1)
    assert values(again) == [3, 4, 5]
    assert (replies(again), again.complete) == (1, True)
    assert again.events[0].data == ""


@pytest.mark.parametrize("version", LEGACY)
def test_F23_in_every_revision(version: str) -> None:
    """Also where there is no priming event: an event's id is enough."""
    server = KEPT.server(steps)
    session = server.session(version)
    peer = session.call("steps", {"number": 3}, token=1)
    server.seconds(1)
    peer.drop()
    again = session.get(last_id(peer))
    server.seconds(2)
    assert values(again) == [2, 3]
    assert replies(again) == 1


def test_F23_lost_before_anything_was_said() -> None:
    """A client that never got an event id can't come back: the call is cancelled."""
    witness = Witness()
    server = KEPT.server(*witness.tools())
    session = server.session()
    session.call("wait").drop()
    assert witness.told == ["on_cancel", "finally"]
    assert session.ask("ping").result == {}, "its id is free"


def test_F23_lost_before_there_was_an_id() -> None:
    """Nor can one that got a comment alone, before 2025-11-25."""
    witness = Witness()
    server = KEPT.server(*witness.tools())
    peer = server.session("2025-06-18").call("wait")
    server.seconds(16)
    assert peer.comments == 1
    peer.drop()
    assert witness.told == ["on_cancel", "finally"]


def test_F23_not_resumed_in_time() -> None:
    """After the grace time the call is cancelled, and its events are gone."""
    witness = Witness()
    server = KEPT.server(*witness.tools())
    session = server.session()
    peer = session.call("take", token=1)
    server.seconds(2)
    peer.drop()
    server.seconds(29)
    assert witness.told == []
    server.seconds(2)
    assert sorted(witness.told) == ["on_cancel", "stop"]
    assert session.get(last_id(peer)).status == 400


def test_F23_the_reply_that_nobody_read() -> None:
    """A reply that was given while nobody listened is delivered, once for each time that it is asked for."""
    server = KEPT.server(steps)
    session = server.session()
    peer = session.call("steps", token=1)
    server.seconds(1)
    peer.drop()
    server.seconds(10)
    for _ in range(2):
        again = session.get(last_id(peer))
        assert (values(again), replies(again), again.complete) == ([2, 3], 1, True)


def test_F23_the_reply_that_was_lost_on_the_way() -> None:
    """Also one that was written and perhaps never arrived."""
    server = KEPT.server(burst)
    session = server.session()
    peer = session.call("burst", token=1)
    server.turn()
    assert peer.complete
    again = session.get(peer.events[-2].id)
    assert (values(again), replies(again), again.complete) == ([], 1, True)


def test_F29_only_this_stream() -> None:
    """Nothing of another stream is replayed."""
    server = KEPT.server(steps)
    session = server.session()
    one, two = session.call("steps", token="one"), session.call("steps", token="two", id=2)
    server.seconds(1)
    one.drop()
    two.drop()
    server.seconds(2)
    again = session.get(last_id(two))
    assert {message["params"]["progressToken"] for message in again.messages if "method" in message} == {"two"}
    assert again.messages[-1]["id"] == 2


def test_F29_for_as_long_as_the_client_stays() -> None:
    """The grace time is over when the client has come back."""
    witness = Witness()
    server = KEPT.server(*witness.tools())
    session = server.session()
    peer = session.call("take", {"seconds": 90.5}, token=1)
    server.seconds(2)
    peer.drop()
    server.seconds(1)
    again = session.get(last_id(peer))
    server.seconds(90)
    assert values(again) == list(range(3, 91))
    assert again.messages[-1]["result"]["content"][0]["text"] == "taken"
    assert witness.told == ["stop"]


def test_F29_from_the_beginning() -> None:
    """The priming event's id stands for the start."""
    server = KEPT.server(steps)
    session = server.session()
    peer = session.call("steps", token=1)
    server.seconds(3)
    assert values(session.get(peer.events[0].id)) == [1, 2, 3]


def test_F29_takes_over_from_a_stale_connection() -> None:
    """The client knows better than we whether its old connection is dead."""
    server = KEPT.server(steps)
    session = server.session()
    stale = session.call("steps", {"number": 4}, token=1)
    server.seconds(2)
    again = session.get(last_id(stale))
    assert stale.complete
    assert replies(stale) == 0
    server.seconds(2)
    assert (values(again), replies(again)) == ([3, 4], 1)


def test_F29_takes_over_from_a_stalled_connection() -> None:
    """A tool that waited for the old reader goes on with the new one."""
    server = KEPT.server(steps)
    session = server.session()
    stalled = session.call("steps", {"number": 9, "size": 600}, token=1)
    server.seconds(1)
    stalled.stall()
    server.seconds(15)
    again = session.get(last_id(stalled))
    server.seconds(15)
    assert (values(again), replies(again)) == ([2, 3, 4, 5, 6, 7, 8, 9], 1)


def test_F29_a_new_reader_that_stalls_at_once() -> None:
    """What is replayed counts for a slow reader like anything else."""
    server = KEPT.server(burst, steps)
    session = server.session()
    peer = session.call("steps", {"number": 6, "size": 600}, token=1)
    server.seconds(1)
    peer.drop()
    server.seconds(3)
    slow = server.connect()
    slow.stall()
    session.get(last_id(peer), peer=slow)
    server.seconds(5)
    assert len(server.calls.running) == 1, "the tool waits for the reader"
    slow.read_on()
    server.seconds(5)
    assert (values(slow), replies(slow)) == ([2, 3, 4, 5, 6], 1)


def test_F29_the_standalone_stream() -> None:
    """It can be taken up again too."""
    server = KEPT.server()
    session = server.session()
    stream = session.get()
    server.turn()
    stream.drop()
    server.seconds(20)
    again = session.get(last_id(stream))
    assert (again.status, again.complete) == (200, False)
    server.seconds(60)
    assert not again.complete


@pytest.mark.parametrize("id", ["", "x", "1", "1-", "-1", "1-99", "9-1", "1-1-1", "1--1", "١-١", "1-" + "9" * 40, "-"])
def test_F30_unknown(id: str) -> None:
    """An id that is none of this session's is refused; silence would hang the caller."""
    server = KEPT.server(steps)
    session = server.session()
    peer = session.call("steps", token=1)
    server.seconds(1)
    refused = session.get(id.encode().decode("latin-1"))
    assert (refused.status, refused.error["code"], "id" in refused.json) == (400, -32600, False)
    assert not peer.complete, "the stream itself goes on"
    server.seconds(5)
    assert replies(peer) == 1


def test_F30_evicted() -> None:
    """What is kept is bounded; whoever comes back too late for it is told so, and nothing is skipped in silence."""
    server = keeping(steps, count=3)
    session = server.session()
    peer = session.call("steps", {"number": 10, "seconds": 0.1}, token=1)
    server.seconds(0.1, 0.1)
    peer.drop()
    early = last_id(peer)
    server.seconds(2.0, 0.1)
    assert session.get(early).status == 400
    assert values(session.get("1-9")) == [10]


def test_F30_evicted_by_size() -> None:
    """Bytes are bounded as well as events."""
    server = keeping(steps, size=2000)
    session = server.session()
    peer = session.call("steps", {"number": 10, "size": 500, "seconds": 0.1}, token=1)
    server.seconds(2, 0.1)
    assert session.get(peer.events[1].id).status == 400
    assert session.get(peer.events[-3].id).status == 200


def test_F30_evicted_by_age() -> None:
    """What is old is not kept for a client that has surely read it."""
    server = keeping(steps, age=40)
    session = server.session()
    peer = session.call("steps", {"number": 200}, token=1)
    server.seconds(100)
    assert session.get(peer.events[40].id).status == 400
    assert values(session.get(peer.events[70].id)) == list(range(71, 101))


def test_F30_another_session() -> None:
    """The streams of one session are not there for another."""
    server = KEPT.server(steps)
    mine, theirs = server.session(), server.session()
    peer = mine.call("steps", token=1)
    server.seconds(1)
    assert theirs.get(last_id(peer)).status == 400
    assert not peer.complete


def test_json_only_clients_have_nothing_to_resume() -> None:
    """Losing such a client cancels its call at once."""
    witness = Witness()
    server = KEPT.server(*witness.tools())
    peer = server.session().call("wait", {"progress": True}, token=1, headers={"Accept": "application/json"})
    server.seconds(20)
    assert not peer.answered
    peer.drop()
    assert witness.told == ["on_cancel", "finally"]


def test_streams_that_were_answered_make_room() -> None:
    """A busy session is not refused for the sake of replies that were delivered long ago."""
    server = keeping(burst, streams=3)
    session = server.session()
    peers = [called(session, "burst") for _ in range(10)]
    assert all(peer.complete for peer in peers)
    assert session.get(last_id(peers[0])).status == 400
    assert session.get(peers[-1].events[-2].id).status == 200


def test_more_than_a_thousand_calls_within_the_grace_time() -> None:
    """None of them is refused: those that were delivered make room, the oldest first."""
    server = KEPT.server(burst)
    session = server.session()
    peers = [called(session, "burst", number=1) for _ in range(1010)]
    assert {peer.status for peer in peers} == {200}
    assert all(peer.complete for peer in peers)
    kept = [session.get(peer.events[0].id).status for peer in (peers[0], peers[9], peers[10], peers[-1])]
    assert kept == [400, 400, 200, 200]


def test_what_was_not_delivered_is_kept_longer() -> None:
    """A reply that nobody has read yet does not make room while there is one that was delivered."""
    server = keeping(steps, burst, streams=3)
    session = server.session()
    unread = session.call("steps", {"number": 2}, token=1)
    server.seconds(1)
    unread.drop()
    server.seconds(2)
    for id in range(2, 9):
        called(session, "burst", id=id)
    assert replies(session.get(last_id(unread))) == 1


def test_what_all_sessions_keep_together() -> None:
    """One that says much does not take the memory of another, and is told what it has lost itself."""
    server = keeping(steps, memory=100_000)
    modest, loud = server.session(), server.session()
    quiet = modest.call("steps", {"number": 50}, token=1)
    noisy = [loud.call("steps", {"number": 50, "size": 3000}, token=1, id=id) for id in range(4)]
    server.seconds(15)
    for peer in (quiet, *noisy):
        peer.drop()
    server.seconds(15)
    assert values(modest.get(quiet.events[0].id)) == list(range(1, 31))
    assert {loud.get(peer.events[0].id).status for peer in noisy} == {400}
    assert server.sessions.room.used <= 100_000


def test_as_many_streams_as_there_may_be() -> None:
    """Past the bound of open streams there is 429, until one has ended."""
    server = keeping(silent, streams=2)
    session = server.session()
    peers = [session.call("silent", id=id) for id in range(2)]
    refused = session.call("silent", id=2)
    assert (refused.status, refused.headers["retry-after"]) == (429, "1")
    peers[0].drop()
    assert not session.call("silent", {"seconds": 1.0}, id=3).answered


def test_nothing_is_left_in_the_end() -> None:
    """After the grace time only the session is there, and after DELETE nothing."""
    server = KEPT.server(steps)
    session = server.session()
    for id in range(5):
        session.call("steps", token=1, id=id).drop()
        peer = session.call("steps", token=1, id=id)
        server.seconds(1.5, 0.5)
        peer.drop()
    server.seconds(60)
    server.turn()
    assert len(server.leftovers()) == 1, "the sweep of sessions"
    session.delete()
    server.turn()
    assert server.leftovers() == []
