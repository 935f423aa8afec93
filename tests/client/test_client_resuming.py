"""Streams that go on after their connection: `Last-Event-ID`, `retry`, back-off, and nothing twice."""

from __future__ import annotations

from typing import Any

import pytest

from mcpserve.client.limits import Retries, Timeouts
from mcpserve.errors import AnswerLost, DeadlinePassed, Unreachable
from mcpserve.protocol.jsonrpc import Response
from tests.client.scripted_session import CALL, Stage
from tests.client.scripted_web import Sent, begun, note, now, outcome


def resumptions(stage: Stage) -> list[Sent]:
    """The GETs that resume a stream."""
    return [sent for sent in stage.web.all("GET") if "Last-Event-ID" in sent.headers]


def test_the_server_may_close_the_connection_and_name_the_time() -> None:
    """`retry` is honoured: not a moment earlier, and the stream goes on after the last event id."""
    stage = Stage()
    run = stage.talk.request(CALL)
    waiting = begun(run.receive())
    answer = stage.call.streams()
    answer.prime("e1", retry_ms=500)
    answer.end()
    stage.clock.advance(0.499)
    assert not resumptions(stage)
    stage.clock.advance(0.001)
    (resumed,) = resumptions(stage)
    assert resumed.headers == {
        "Mcp-Session-Id": "s1",
        "MCP-Protocol-Version": "2025-11-25",
        "Accept": "text/event-stream",
        "Last-Event-ID": "e1",
    }
    second = resumed.streams()
    second.event(note("went on"), id="e2")
    second.event(stage.call.result(), id="e3")
    second.end()
    assert outcome(waiting).params["data"] == "went on"
    assert isinstance(now(run.receive()), Response)
    assert stage.web.kinds.count("tools/call") == 1
    assert not stage.web.all("notifications/cancelled")
    assert stage.clock.getDelayedCalls() == []


def test_who_wants_us_at_once_sees_us_soon() -> None:
    """A server that closes each connection, and says 0, does not keep us as busy as the network allows."""
    stage = Stage()
    stage.talk.request(CALL)
    answer = stage.call.streams()
    for number in range(20):
        answer.prime(f"e{number}", retry_ms=0)
        answer.end()
        stage.clock.advance(0.049)
        assert len(resumptions(stage)) == number
        stage.clock.advance(0.001)
        answer = resumptions(stage)[-1].streams()
    now(stage.talk.close())


@pytest.mark.parametrize("how", ["end", "lose"])
def test_polling_goes_on_as_long_as_the_server_gives_new_ids(how: str) -> None:
    """Each connection that brings an event id is progress; it does not count against the attempts."""
    stage = Stage(retries=Retries(attempts=2))
    run = stage.talk.request(CALL)
    answer = stage.call.streams()
    for number in range(10):
        answer.prime(f"e{number}", retry_ms=100)
        getattr(answer, how)()
        stage.clock.advance(0.1)
        assert resumptions(stage)[-1].headers["Last-Event-ID"] == f"e{number}"
        answer = resumptions(stage)[-1].streams()
    answer.event(stage.call.result())
    assert isinstance(now(run.receive()), Response)
    stage.clock.advance(1)


def test_attempts_grow_apart_and_come_to_an_end() -> None:
    """Without `retry` the waits are 0.5, 1 and 2 s; after the attempts that are allowed, the answer is lost."""
    stage = Stage(retries=Retries(attempts=4))
    run = stage.talk.request(CALL)
    waiting = begun(run.receive())
    answer = stage.call.streams()
    answer.event(note("x"), id="e1")
    outcome(waiting)
    answer.lose()
    for error in (Unreachable("no"), AnswerLost("no"), DeadlinePassed("no", "head")):
        stage.clock.advance(100)
        resumptions(stage)[-1].fails(error)
    stage.clock.advance(100)
    resumptions(stage)[-1].answers(503)
    with pytest.raises(AnswerLost, match="could not be resumed"):
        now(run.receive())
    times = [sent.at for sent in resumptions(stage)]
    assert len(times) == 4
    assert stage.clock.getDelayedCalls() == []


def test_the_waits_between_attempts() -> None:
    """The waiting time doubles with each failure, and is never shorter than `retry`."""
    stage = Stage()
    run = stage.talk.request(CALL)
    answer = stage.call.streams()
    answer.prime("e1", retry_ms=700)
    answer.end()
    for _ in range(4):
        before = len(resumptions(stage))
        while len(resumptions(stage)) == before:
            stage.clock.advance(0.1)
        resumptions(stage)[-1].answers(500)
    times = [sent.at for sent in resumptions(stage)]
    waits = [later - earlier for earlier, later in zip([0.0, *times], times, strict=False)]
    assert waits == pytest.approx([0.7, 1.0, 2.0, 4.0], abs=0.11)
    run.cancel()


def test_a_stream_without_ids_is_lost_when_it_ends() -> None:
    """Where there is nothing to resume after, the caller hears at once."""
    stage = Stage()
    run = stage.talk.request(CALL)
    stage.call.streams().end()
    with pytest.raises(AnswerLost, match="too early"):
        now(run.receive())
    assert not resumptions(stage)


def test_an_id_that_was_taken_back_is_none() -> None:
    """An empty id resets what was known: there is nothing to resume after."""
    stage = Stage()
    run = stage.talk.request(CALL)
    answer = stage.call.streams()
    answer.prime("e1")
    answer.prime("")
    answer.end()
    stage.clock.advance(10)
    assert not resumptions(stage)
    with pytest.raises(AnswerLost):
        now(run.receive())


@pytest.mark.parametrize("status", [204, 400, 405, 501])
def test_a_server_that_does_not_resume(status: int) -> None:
    """A refusal that will not change is the end: the answer is lost."""
    stage = Stage()
    run = stage.talk.request(CALL)
    answer = stage.call.streams()
    answer.prime("e1")
    answer.end()
    stage.clock.advance(0.5)
    resumptions(stage)[-1].answers(status)
    with pytest.raises(AnswerLost, match=str(status)):
        now(run.receive())


def test_a_connection_that_the_server_still_holds_is_waited_for() -> None:
    """409: the server has not noticed yet that the old connection is gone."""
    stage = Stage()
    run = stage.talk.request(CALL)
    answer = stage.call.streams()
    answer.prime("e1")
    answer.lose()
    stage.clock.advance(0.5)
    resumptions(stage)[-1].answers(409)
    stage.clock.advance(1.0)
    resumptions(stage)[-1].streams().event(stage.call.result())
    assert isinstance(now(run.receive()), Response)
    stage.clock.advance(1)


def test_what_is_sent_again_is_not_given_again() -> None:
    """A server that replays events which we had delivers them once; an equal message with another id is another one."""
    stage = Stage()
    run = stage.talk.request(CALL)
    answer = stage.call.streams()
    answer.event(note("a"), id="e1")
    answer.event(note("b"), id="e2")
    got: list[Any] = [now(run.receive()).params["data"] for _ in range(2)]
    answer.lose()
    stage.clock.advance(0.5)
    second = resumptions(stage)[-1].streams()
    second.event(note("a"), id="e1")
    second.event(note("b"), id="e2")
    second.event(note("b"), id="e3")
    second.event(stage.call.result(), id="e4")
    got.append(now(run.receive()).params["data"])
    assert got == ["a", "b", "b"]
    assert isinstance(now(run.receive()), Response)
    stage.clock.advance(1)


def test_events_without_an_id_of_their_own_are_all_given() -> None:
    """They bear the last id, and are not taken for events that had come."""
    stage = Stage()
    run = stage.talk.request(CALL)
    answer = stage.call.streams()
    answer.prime("e1")
    answer.event(note("a"))
    answer.lose()
    assert now(run.receive()).params["data"] == "a"
    stage.clock.advance(0.5)
    second = resumptions(stage)[-1].streams()
    second.prime("e1")
    second.event(note("b"))
    second.event(stage.call.result())
    assert now(run.receive()).params["data"] == "b"
    assert isinstance(now(run.receive()), Response)
    stage.clock.advance(1)


def test_another_streams_messages_are_not_taken_for_ours() -> None:
    """A server that replays too much brings the response of another request: that is not the result of this one."""
    stage = Stage()
    run, other = stage.talk.request(CALL), stage.talk.request(CALL)
    one, two = stage.web.all("tools/call")
    answer = one.streams()
    answer.prime("e1")
    answer.end()
    stage.clock.advance(0.5)
    second = resumptions(stage)[-1].streams()
    second.event(two.result("theirs"), id="e2")
    second.event(one.result("ours"), id="e3")
    assert now(run.receive()).result == {"value": "ours"}
    assert now(other.receive()).result == {"value": "theirs"}
    stage.clock.advance(1)


def test_a_wait_past_the_idle_deadline_is_not_begun() -> None:
    """A server that wants us back after more silence than we bear is given up at once."""
    stage = Stage(timeouts=Timeouts(idle=10.0))
    run = stage.talk.request(CALL)
    answer = stage.call.streams()
    answer.prime("e1", retry_ms=10_001)
    answer.end()
    with pytest.raises(AnswerLost, match="wants us back in"):
        now(run.receive())
    assert len(stage.web.all("notifications/cancelled")) == 1


def test_cancelling_while_waiting_to_resume() -> None:
    """A request whose stream is between two connections is cancelled on the server, and nothing is left."""
    stage = Stage()
    run = stage.talk.request(CALL)
    answer = stage.call.streams()
    answer.prime("e1", retry_ms=5000)
    answer.end()
    run.cancel()
    assert len(stage.web.all("notifications/cancelled")) == 1
    assert stage.clock.getDelayedCalls() == []
