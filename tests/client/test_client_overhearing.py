"""The stream of the session: wherever it fails, requests go on as if nothing were."""

from __future__ import annotations

from typing import Any

import pytest

from mcpserve.client.limits import Retries
from mcpserve.errors import AnswerLost, DeadlinePassed, Refused, Unauthorized, Unreachable
from tests.client.scripted_session import CALL, Stage
from tests.client.scripted_web import begun, note, now, outcome


def calls_work(stage: Stage) -> bool:
    """Make a call."""
    run = stage.talk.request(CALL)
    stage.call.results({"fine": True})
    return bool(now(run.receive()).result == {"fine": True})


@pytest.mark.parametrize("status", [200, 202, 204, 400, 404, 405, 406, 410, 501])
def test_a_stream_that_is_not_offered_is_not_asked_for_again(status: int) -> None:
    """Whatever a server says that has no such stream, it is asked once, its session stays, and calls work."""
    stage = Stage(get=status)
    assert calls_work(stage)
    stage.clock.advance(1000)
    assert calls_work(stage)
    assert len(stage.web.all("GET")) == 1
    assert len(stage.web.all("initialize")) == 1
    assert stage.clock.getDelayedCalls() == []


@pytest.mark.parametrize(
    "error", [AnswerLost("x"), Unreachable("x"), DeadlinePassed("x", "head"), DeadlinePassed("x", "connect")]
)
def test_a_stream_that_fails_is_tried_again_with_patience(error: Exception) -> None:
    """It is tried again after 0.5, 1, 2 s and so on, then left alone; calls work all the time."""
    stage = Stage(get=None, retries=Retries(attempts=3))
    for number in range(4):
        stage.web.last("GET").fails(error)
        assert calls_work(stage)
        assert len(stage.web.all("GET")) == number + 1
        stage.clock.advance(2.0**number / 2)
    stage.clock.advance(25)
    assert calls_work(stage)
    assert len(stage.web.all("GET")) == 4
    assert stage.clock.getDelayedCalls() == []


def test_a_server_that_is_well_again_is_listened_to_again() -> None:
    """After it was given up, a call that succeeds a good while later makes us listen again."""
    stage = Stage(get=None, retries=Retries(attempts=0, longest=30))
    stage.web.last("GET").fails(AnswerLost("x"))
    stage.clock.advance(29.9)
    assert calls_work(stage)
    assert len(stage.web.all("GET")) == 1
    stage.clock.advance(0.1)
    assert calls_work(stage)
    assert len(stage.web.all("GET")) == 2
    now(stage.talk.close())


@pytest.mark.parametrize("status", [409, 429, 500, 503])
def test_a_refusal_that_may_pass_is_tried_again(status: int) -> None:
    """A server that is out of sorts is tried again, and calls work."""
    stage = Stage(get=status)
    assert calls_work(stage)
    stage.clock.advance(0.5)
    assert len(stage.web.all("GET")) == 2
    now(stage.talk.close())


@pytest.mark.parametrize("error", [Unauthorized("x", 401), Refused("x", 302)])
def test_a_refusal_for_good_is_final(error: Exception) -> None:
    """Without credentials for it, or sent elsewhere, there is no stream, and calls work."""
    stage = Stage(get=None)
    stage.web.last("GET").fails(error)
    stage.clock.advance(1000)
    assert len(stage.web.all("GET")) == 1
    assert calls_work(stage)


def test_a_stream_that_hangs_disturbs_nobody() -> None:
    """A GET whose head never comes leaves calls alone, and is gone after the client was closed."""
    stage = Stage(get=None)
    assert calls_work(stage)
    now(stage.talk.close())
    assert stage.web.last("GET").cancelled


def test_a_stream_that_ends_is_taken_up_after_its_last_event() -> None:
    """The server may close it at any time; we come back when it says, with the last event id."""
    stage = Stage(get="stream")
    first = stage.standalone
    first.event(note("one"), id="g1")
    first.prime("g2", retry_ms=3000)
    first.end()
    stage.clock.advance(2.9)
    assert len(stage.web.all("GET")) == 1
    stage.clock.advance(0.1)
    again = stage.web.last("GET")
    assert again.headers["Last-Event-ID"] == "g2"
    again.streams().event(note("two"), id="g3")
    assert [notice.params["data"] for notice in stage.host.notices] == ["one", "two"]
    now(stage.talk.close())


def test_an_event_id_that_the_server_has_forgotten() -> None:
    """When it can't replay, we listen from now on."""
    stage = Stage(get="stream")
    stage.standalone.prime("g1")
    stage.standalone.lose()
    stage.clock.advance(0.5)
    stage.web.last("GET").answers(400)
    stage.clock.advance(1)
    assert "Last-Event-ID" not in stage.web.last("GET").headers
    now(stage.talk.close())


def test_a_stream_that_always_ends_at_once_is_left() -> None:
    """Without anything on it, coming back ends after the attempts that are allowed."""
    stage = Stage(get="stream", retries=Retries(attempts=3))
    for _ in range(4):
        stage.standalone.end()
        stage.clock.advance(30)
    assert len(stage.web.all("GET")) == 4
    now(stage.talk.close())


def test_silence_is_no_failure() -> None:
    """A stream that says nothing is renewed for as long as the client lives."""
    stage = Stage(get="stream", retries=Retries(attempts=2))
    for number in range(6):
        assert len(stage.web.all("GET")) == number + 1
        stage.standalone.lose(DeadlinePassed("silent", "idle"))
        stage.clock.advance(0.5)
    now(stage.talk.close())


@pytest.mark.parametrize("known", [True, False])
def test_a_session_that_is_over_is_noticed_while_nobody_calls(known: bool) -> None:
    """404 to a stream that we had: a ping tells whether the session is over, and then there is a new one."""
    stage = Stage(get="stream")
    stage.web.rules["ping"] = lambda sent: sent.results({}) if known else sent.answers(404)
    stage.standalone.lose()
    stage.get = 404
    stage.session_id = "s2"
    stage.clock.advance(0.5)
    assert len(stage.web.all("initialize")) == (1 if known else 2)
    assert stage.web.last("GET").headers["Mcp-Session-Id"] == ("s1" if known else "s2")
    assert stage.clock.getDelayedCalls() == []


def test_closing_while_it_is_found_out_whether_the_session_is_over() -> None:
    """The ping that was to tell is given up."""
    stage = Stage(get="stream")
    stage.standalone.lose()
    stage.get = 404
    stage.clock.advance(0.5)
    assert stage.web.kinds[-1] == "ping"
    now(stage.talk.close())
    assert stage.web.last("ping").cancelled
    assert stage.clock.getDelayedCalls() == []


def test_sessions_that_never_last_are_not_renewed_for_ever() -> None:
    """A server that forgets each session soon, while nobody calls, is left alone after some of them."""
    stage = Stage(get="stream", retries=Retries(attempts=2))
    stage.web.rules["ping"] = lambda sent: sent.answers(404)
    for _ in range(6):
        stage.get = 404
        if not stage.standalone.over:
            stage.standalone.lose()
        stage.web.rules["initialize"] = lambda sent: (setattr(stage, "get", "stream"), stage.shake_hands(sent))
        stage.clock.advance(0.5)
    assert len(stage.web.all("initialize")) == 3
    assert stage.clock.getDelayedCalls() == []


def test_what_is_heard_may_close_the_client() -> None:
    """Then the stream is not come back to."""
    stage = Stage(get="stream")
    closing: list[Any] = []

    def heard(notification: object) -> None:
        closing.append(begun(stage.talk.close()))
        stage.standalone.end()

    stage.host.heard = heard  # type: ignore[method-assign]
    stage.standalone.event(note("the last"))
    outcome(closing[0])
    stage.clock.advance(0)
    assert stage.clock.getDelayedCalls() == []
    assert len(stage.web.all("GET")) == 1


def test_a_gap_is_told_to_the_host() -> None:
    """When the stream was lost without an event id, or with the session; not when it goes on after its last event."""
    stage = Stage(get="stream")
    stage.standalone.lose()
    stage.clock.advance(0.5)
    assert stage.host.gaps == 1
    stage.standalone.prime("g1")
    stage.standalone.lose()
    stage.clock.advance(0.5)
    stage.web.last("GET").streams()
    assert stage.host.gaps == 1
    stage.web.rules["tools/call"] = lambda sent: sent.answers(404) if stage.session_id == "s1" else sent.results({})
    stage.web.rules["initialize"] = lambda sent: (setattr(stage, "session_id", "s2"), stage.shake_hands(sent))
    outcome(begun(stage.talk.request(CALL).receive()))
    assert stage.host.gaps == 2
    now(stage.talk.close())
    assert stage.host.deafness == []


@pytest.mark.parametrize("how", ["silent", "refused", "gone", "known"])
def test_the_host_is_told_when_listening_is_over(how: str) -> None:
    """Who listens must not wait for ever for a stream that there was, and is no more."""
    stage = Stage(get="stream", retries=Retries(attempts=1))
    if how == "gone":
        stage.web.rules["ping"] = lambda sent: sent.answers(404)
        stage.web.rules["initialize"] = lambda sent: sent.fails(Unreachable("gone"))
    elif how == "known":
        stage.web.rules["ping"] = lambda sent: sent.results({})
    stage.get = {"silent": 500, "refused": 405, "gone": 404, "known": 404}[how]
    stage.standalone.lose()
    stage.clock.pump([0.5, 1.0])
    assert [type(error) for error in stage.host.deafness] == [Unreachable if how == "gone" else AnswerLost]
    assert stage.clock.getDelayedCalls() == []
    now(stage.talk.close())
