"""The conversation of 2025-11-25 and before over HTTP: requests, streams, cancellation, questions of the server."""

from __future__ import annotations

from typing import Any

import pytest
from twisted.internet.defer import CancelledError

from mcpserve.client.conversation import Outgoing
from mcpserve.client.limits import Limits, Timeouts
from mcpserve.errors import (
    AnswerLost,
    AnswerTooLarge,
    BadAnswer,
    ClientClosed,
    DeadlinePassed,
    InvalidParams,
    Refused,
    RemoteError,
    Unreachable,
)
from mcpserve.protocol.jsonrpc import Notification, Response
from tests.client.scripted_session import CALL, Stage
from tests.client.scripted_web import StillWaiting, begun, note, now, outcome, progress


def question(id: Any = 1, method: str = "sampling/createMessage") -> dict[str, Any]:
    """A question of the server."""
    return {"jsonrpc": "2.0", "id": id, "method": method, "params": {"q": 1}}


# --- what is sent


def test_each_message_carries_the_session_and_its_version() -> None:
    """Requests bear the session's id and the negotiated version, and none of the headers of 2026-07-28."""
    stage = Stage()
    stage.talk.request(CALL)
    headers = stage.call.headers
    assert (headers["Mcp-Session-Id"], headers["MCP-Protocol-Version"]) == ("s1", "2025-11-25")
    assert headers["Accept"] == "application/json, text/event-stream"
    assert "Mcp-Method" not in headers
    assert stage.call.json["params"] == CALL.params


@pytest.mark.parametrize(("revision", "says"), [("2025-03-26", False), ("2025-06-18", True), ("2025-11-25", True)])
def test_the_version_header_is_of_2025_06_18_and_later(revision: str, says: bool) -> None:
    """A session of 2025-03-26 knows no version header."""
    stage = Stage(revision=revision)
    stage.talk.request(CALL)
    assert stage.call.headers.get("MCP-Protocol-Version") == (revision if says else None)


def test_a_server_without_sessions_gets_no_session_header() -> None:
    """Without an id from the server there is none, and nothing to delete at the end."""
    stage = Stage(session_id=None)
    stage.talk.request(CALL).cancel()
    assert "Mcp-Session-Id" not in stage.call.headers
    now(stage.talk.close())
    assert "DELETE" not in stage.web.kinds


def test_ids_and_tokens_are_unique() -> None:
    """No two requests of a session share an id or a progress token, the handshake included."""
    stage = Stage()
    for _ in range(20):
        stage.talk.request(Outgoing(method="tools/call", progress=True))
    ids = [sent.json["id"] for sent in stage.web.sent if sent.body and "id" in sent.json]
    tokens = [sent.json["params"]["_meta"]["progressToken"] for sent in stage.web.all("tools/call")]
    assert len(set(ids)) == 21
    assert len(set(tokens)) == 20


# --- what comes back


def test_a_result_as_json() -> None:
    """A JSON answer is the response."""
    stage = Stage()
    running = stage.talk.request(CALL)
    stage.call.results({"x": 1})
    assert now(running.receive()).result == {"x": 1}


def test_a_stream_gives_each_message_as_it_comes() -> None:
    """Notifications come in order, the response is the last, and then the connection is free for the next request."""
    stage = Stage()
    running = stage.talk.request(Outgoing(method="tools/call", progress=True))
    token = stage.call.json["id"]
    answer = stage.call.streams()
    answer.prime("e0")
    answer.event(progress(token, 1), id="e1")
    answer.event(note("hello"), id="e2")
    assert now(running.receive()).params["progress"] == 1
    assert now(running.receive()).method == "notifications/message"
    waiting = begun(running.receive())
    with pytest.raises(StillWaiting):
        outcome(waiting)
    answer.event(stage.call.result(), id="e3")
    assert outcome(waiting).result == {"value": "done"}
    answer.end()
    assert not answer.aborted
    assert stage.clock.getDelayedCalls() == []


@pytest.mark.parametrize("stream", [True, False])
def test_a_batch_is_taken_apart(stream: bool) -> None:
    """2025-03-26: an array brings several messages, and the response is given after the others."""
    stage = Stage(revision="2025-03-26")
    running = stage.talk.request(CALL)
    batch = [stage.call.result(), note("in between"), question()]
    if stream:
        stage.call.streams().event(batch)
    else:
        stage.call.answers(200, batch)
    assert now(running.receive()).method == "notifications/message"
    assert now(running.receive()).result == {"value": "done"}
    assert stage.host.questions[0].method == "sampling/createMessage"
    stage.clock.advance(1)


@pytest.mark.parametrize(("status", "body"), [(202, b""), (204, b""), (200, b""), (200, b"<html>"), (200, b"[]")])
def test_a_good_status_without_the_response_is_a_bad_answer(status: int, body: bytes) -> None:
    """Whatever else comes with a good status, the caller hears at once that there will be no result."""
    stage = Stage()
    running = stage.talk.request(CALL)
    stage.call.answers(status, body, "text/html" if body else "")
    with pytest.raises(BadAnswer):
        now(running.receive())


def test_a_response_to_something_else_is_not_taken_for_ours() -> None:
    """An id that is not ours brings no result."""
    stage = Stage()
    running = stage.talk.request(CALL)
    stage.call.answers(200, {"jsonrpc": "2.0", "id": 9999, "result": {}})
    with pytest.raises(BadAnswer):
        now(running.receive())


def test_an_error_is_the_response() -> None:
    """A JSON-RPC error is what the server says, whatever the status; another refusal is raised."""
    stage = Stage()
    running, refused = stage.talk.request(CALL), stage.talk.request(CALL)
    stage.web.all("tools/call")[0].errors(500, -32603)
    stage.web.all("tools/call")[1].answers(500, b"oops", "text/plain")
    assert now(running.receive()).error == {"code": -32603, "message": "no"}
    with pytest.raises(Refused, match="answered 500: oops"):
        now(refused.receive())


def test_messages_find_their_request_on_any_stream() -> None:
    """Progress and a response that come on the session's stream, or on another's, reach the request they are for."""
    stage = Stage(get="stream")
    first = stage.talk.request(Outgoing(method="tools/call", progress=True))
    second = stage.talk.request(CALL)
    one, two = stage.web.all("tools/call")
    waiting = begun(first.receive())
    two.streams().event(progress(one.json["id"], 1))
    assert outcome(waiting).params["progress"] == 1
    own = one.streams()
    stage.standalone.event(progress(one.json["id"], 2))
    stage.standalone.event(one.result())
    assert now(first.receive()).params["progress"] == 2
    assert now(first.receive()).result == {"value": "done"}
    assert own.aborted
    second.cancel()


def test_what_comes_elsewhere_for_a_slow_consumer_is_bounded() -> None:
    """Progress on a foreign stream can't be held back: past `limits.buffer` that request fails, and is cancelled."""
    stage = Stage(get="stream", limits=Limits(buffer=200))
    running = stage.talk.request(Outgoing(method="tools/call", progress=True))
    for _ in range(3):
        stage.standalone.event(progress(stage.call.json["id"], 1))
    with pytest.raises(AnswerTooLarge):
        now(running.receive())
    assert stage.web.last("notifications/cancelled").json["params"]["requestId"] == stage.call.json["id"]


def test_late_progress_is_nobodys() -> None:
    """Progress with the token of a request that is over reaches neither another request nor the host."""
    stage = Stage()
    stage.talk.request(CALL)
    over = stage.call.json["id"]
    stage.call.results({})
    running = stage.talk.request(CALL)
    answer = stage.call.streams()
    answer.event(progress(over, 5))
    answer.event(stage.call.result())
    assert isinstance(now(running.receive()), Response)
    assert stage.host.notices == []
    stage.clock.advance(1)


def test_a_token_that_only_equals_an_id_is_not_one() -> None:
    """True, 1.0 and "1" are no tokens of ours; on a request's own stream they are its own affair."""
    stage = Stage(get="stream")
    running = stage.talk.request(Outgoing(method="tools/call", params={"_meta": {"progressToken": "mine"}}))
    stage.standalone.event(progress(float(stage.call.json["id"]), 1))
    stage.call.streams().event(progress("mine", 2))
    assert now(running.receive()).params["progress"] == 2
    running.cancel()


def test_what_belongs_to_no_request_is_the_hosts() -> None:
    """Notifications on the session's stream are heard by the host; nonsense there is only logged."""
    stage = Stage(get="stream")
    stage.standalone.event(b"nonsense")
    stage.standalone.event({"jsonrpc": "2.0", "method": "notifications/tools/list_changed"})
    assert stage.host.notices == [Notification("notifications/tools/list_changed", {})]


# --- cancellation and deadlines


def test_cancelling_tells_the_server_and_closes_the_stream() -> None:
    """`notifications/cancelled` names the request, and is sent at once and once; then the stream is closed."""
    stage = Stage()
    running = stage.talk.request(CALL)
    answer = stage.call.streams()
    waiting = begun(running.receive())
    running.cancel("changed my mind")
    running.cancel("again")
    with pytest.raises(CancelledError):
        outcome(waiting)
    (cancelled,) = stage.web.all("notifications/cancelled")
    assert cancelled.json["params"] == {"requestId": stage.call.json["id"], "reason": "changed my mind"}
    assert cancelled.headers["Mcp-Session-Id"] == "s1"
    assert answer.aborted


def test_a_consumer_that_cancels_while_it_is_handed_a_message() -> None:
    """Cancelling in the turn in which a message came tells the server, and closes the stream."""
    stage = Stage()
    running = stage.talk.request(CALL)
    waiting = begun(running.receive())
    waiting.addCallback(lambda message: running.cancel())
    answer = stage.call.streams()
    answer.event(note("one"))
    assert answer.aborted
    assert len(stage.web.all("notifications/cancelled")) == 1


def test_cancelling_after_the_response_says_nothing() -> None:
    """A request that was answered is not cancelled any more."""
    stage = Stage()
    running = stage.talk.request(CALL)
    stage.call.results({})
    running.cancel()
    assert isinstance(now(running.receive()), Response)
    assert not stage.web.all("notifications/cancelled")


def test_a_cancellation_that_nobody_takes_is_given_up() -> None:
    """A silent server holds up nothing: the notification has the deadlines of the last words."""
    stage = Stage(timeouts=Timeouts(close=3.0))
    stage.web.rules.pop("notifications/cancelled")
    stage.talk.request(CALL).cancel()
    deadlines = stage.web.last("notifications/cancelled").timeouts
    assert deadlines is not None
    assert (deadlines.connect, deadlines.head, deadlines.idle) == (3.0, 3.0, 3.0)


@pytest.mark.parametrize("error", [AnswerLost("reset"), DeadlinePassed("late", "head"), Unreachable("refused")])
def test_a_cancellation_that_may_not_have_arrived(error: Exception) -> None:
    """It is sent once more, and no more often; otherwise the server would work on for nobody."""
    stage = Stage()
    stage.web.rules.pop("notifications/cancelled")
    stage.talk.request(CALL).cancel()
    first = stage.web.last("notifications/cancelled")
    first.fails(error)
    second = stage.web.last("notifications/cancelled")
    assert second is not first
    assert second.json == first.json
    second.fails(error)
    assert len(stage.web.all("notifications/cancelled")) == 2


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (DeadlinePassed("late", "head"), True),
        (DeadlinePassed("late", "connect"), False),
        (AnswerLost("reset"), True),
    ],
)
def test_who_stops_to_wait_says_so(error: Exception, told: bool) -> None:
    """When we give a request up that the server may be working on, the server hears of it."""
    stage = Stage()
    running = stage.talk.request(CALL)
    stage.call.fails(error)
    with pytest.raises(type(error)):
        now(running.receive())
    assert bool(stage.web.all("notifications/cancelled")) is told


def test_an_idle_stream_is_cancelled_on_the_server() -> None:
    """A stream without a sign of life is given up, not resumed: that was the deadline."""
    stage = Stage()
    running = stage.talk.request(CALL)
    answer = stage.call.streams()
    answer.prime("e1")
    answer.lose(DeadlinePassed("silent", "idle"))
    with pytest.raises(DeadlinePassed):
        now(running.receive())
    assert stage.web.all("notifications/cancelled")


# --- what the server asks


def test_questions_are_answered_while_progress_goes_on() -> None:
    """A question on a request's stream is answered by a POST of its own, and holds up nothing on the stream."""
    stage = Stage()
    running = stage.talk.request(CALL)
    answer = stage.call.streams()
    answer.event(question(7))
    answer.event(question("7", "roots/list"))
    answer.event(note("meanwhile"))
    assert now(running.receive()).params["data"] == "meanwhile"
    assert [asked.method for asked in stage.host.questions] == ["sampling/createMessage", "roots/list"]
    stage.host.replies[1].callback({"roots": []})
    stage.host.replies[0].callback({"text": "hi"})
    replies = [sent.json for sent in stage.web.all("an answer")]
    assert replies == [
        {"jsonrpc": "2.0", "id": "7", "result": {"roots": []}},
        {"jsonrpc": "2.0", "id": 7, "result": {"text": "hi"}},
    ]
    assert stage.web.last("an answer").headers["Mcp-Session-Id"] == "s1"
    answer.event(stage.call.result())
    assert isinstance(now(running.receive()), Response)
    stage.clock.advance(1)


def test_an_error_answers_a_question(flush_logged_errors: Any) -> None:
    """A protocol error is the answer; anything else that goes wrong is an internal error that tells nothing."""
    stage = Stage(get="stream")
    stage.standalone.event(question(1))
    stage.standalone.event(question(2))
    stage.host.replies[0].errback(InvalidParams("not so"))
    stage.host.replies[1].errback(KeyError("secret"))
    first, second = (sent.json["error"] for sent in stage.web.all("an answer"))
    assert first == {"code": -32602, "message": "not so"}
    assert second["code"] == -32603
    assert "secret" not in second["message"]
    assert len(flush_logged_errors(KeyError)) == 1


def test_a_question_that_is_withdrawn_is_not_answered() -> None:
    """`notifications/cancelled` of the server takes its question back; one of another type of id does not."""
    stage = Stage(get="stream")
    stage.standalone.event(question(5))
    for id in ("5", None, [5], 5):
        assert stage.host.taken_back == 0
        params = {"requestId": id}
        stage.standalone.event({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": params})
    assert stage.host.taken_back == 1
    assert not stage.web.all("an answer")
    assert stage.host.notices == []


@pytest.mark.parametrize("how", ["response", "cancel"])
def test_questions_end_with_their_request(how: str) -> None:
    """When the request is over, nobody waits for the answer to what was asked on its stream."""
    stage = Stage()
    running = stage.talk.request(CALL)
    answer = stage.call.streams()
    answer.event(question())
    if how == "response":
        answer.event(stage.call.result())
        answer.end()
    else:
        running.cancel()
    assert stage.host.taken_back == 1
    assert not stage.web.all("an answer")


def test_a_question_that_comes_twice_is_answered_once() -> None:
    """While it is open, the same question is not asked again."""
    stage = Stage(get="stream")
    stage.standalone.event(question(5))
    stage.standalone.event(question(5))
    assert len(stage.host.questions) == 1


def test_an_answer_that_does_not_arrive_is_brought_again() -> None:
    """The server waits for the answer, so it is tried again when the connection broke off."""
    stage = Stage(get="stream")
    stage.web.rules.pop("an answer")
    stage.standalone.event(question(5))
    stage.host.replies[0].callback({})
    stage.web.last("an answer").fails(AnswerLost("reset"))
    stage.clock.advance(0.5)
    assert len(stage.web.all("an answer")) == 2
    stage.web.last("an answer").answers(202)
    assert stage.clock.getDelayedCalls() == []


# --- notifications, and the end


def test_a_notification_is_taken_or_refused() -> None:
    """`notify` returns when the server has it, and raises what it says otherwise."""
    stage = Stage()
    waiting = begun(stage.talk.notify("notifications/roots/list_changed", {}))
    stage.web.sent[-1].answers(202)
    assert outcome(waiting) is None
    waiting = begun(stage.talk.notify("notifications/roots/list_changed", {}))
    stage.web.sent[-1].answers(500)
    with pytest.raises(Refused):
        outcome(waiting)
    waiting = begun(stage.talk.notify("notifications/roots/list_changed", {}))
    stage.web.sent[-1].answers(500, {"jsonrpc": "2.0", "id": None, "error": {"code": -1, "message": "no"}})
    with pytest.raises(RemoteError):
        outcome(waiting)


def test_closing_cancels_what_runs_and_ends_the_session() -> None:
    """Requests are cancelled on the server, then the session is deleted, and nothing is left."""
    stage = Stage(get="stream")
    running = stage.talk.request(CALL)
    waiting = begun(running.receive())
    stage.standalone.event(question())
    closing = begun(stage.talk.close())
    assert outcome(closing) is None
    with pytest.raises(ClientClosed):
        outcome(waiting)
    assert stage.web.kinds[-2:] == ["notifications/cancelled", "DELETE"]
    assert stage.web.last("DELETE").headers["Mcp-Session-Id"] == "s1"
    assert stage.standalone.aborted
    assert stage.host.taken_back == 1
    assert stage.clock.getDelayedCalls() == []
    assert now(stage.talk.close()) is None
    with pytest.raises(ClientClosed):
        now(stage.talk.request(CALL).receive())
    with pytest.raises(ClientClosed):
        now(stage.talk.notify("notifications/x", {}))


def test_a_silent_server_does_not_hold_up_the_end() -> None:
    """With a server that answers nothing, closing takes `timeouts.close` and leaves nothing."""
    stage = Stage(get="stream", timeouts=Timeouts(close=2.0))
    stage.web.rules.clear()
    stage.talk.request(CALL)
    closing = begun(stage.talk.close())
    stage.clock.advance(1.0)
    with pytest.raises(StillWaiting):
        outcome(closing)
    stage.clock.advance(1.0)
    assert outcome(closing) is None
    assert stage.web.last("notifications/cancelled").cancelled
    assert stage.web.last("DELETE").cancelled
    assert stage.clock.getDelayedCalls() == []


@pytest.mark.parametrize("status", [404, 405, 500])
def test_a_session_that_can_not_be_deleted_is_left(status: int) -> None:
    """Whatever the server says to DELETE, the client is closed."""
    stage = Stage()
    stage.web.rules["DELETE"] = lambda sent: sent.answers(status)
    assert now(stage.talk.close()) is None


def test_initialize_is_never_cancelled() -> None:
    """Not even if somebody sends one by hand: its connection is closed, and nothing is said."""
    stage = Stage()
    stage.web.rules.pop("initialize")
    stage.talk.request(Outgoing(method="initialize")).cancel()
    assert stage.web.last("initialize").cancelled
    assert not stage.web.all("notifications/cancelled")


def test_a_method_that_is_not_found_is_no_session_that_is_forgotten() -> None:
    """A server that says 404 to an unknown method keeps its session."""
    stage = Stage()
    run = stage.talk.request(CALL)
    stage.call.errors(404, -32601)
    assert now(run.receive()).error["code"] == -32601
    assert len(stage.web.all("initialize")) == 1
