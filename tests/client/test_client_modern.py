"""The conversation of 2026-07-28 over HTTP: what it sends, and what it makes of each answer."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
from twisted.internet.defer import CancelledError

from mcpserve.client.conversation import Outgoing, ServerDescription
from mcpserve.client.limits import Retries, Timeouts
from mcpserve.client.modern import Modern
from mcpserve.errors import AnswerLost, BadAnswer, ClientClosed, DeadlinePassed, Refused, Unreachable
from mcpserve.protocol.jsonrpc import Notification, Response
from mcpserve.protocol.revisions import V2026_07_28
from tests.client.scripted_web import Scene, Sent, StillWaiting, begun, note, now, outcome, progress

PREFIX = "io.modelcontextprotocol/"
CALL = Outgoing(method="tools/call", params={"name": "add", "arguments": {"a": 1}})
SERVER = ServerDescription(
    revision=V2026_07_28,
    transport="streamable-http",
    implementation=None,
    capabilities={},
    instructions=None,
    raw={},
)


class Stage(Scene):
    """A modern conversation on a scripted web."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.doubts = 0
        self.talk = Modern(self.endpoint, SERVER, itertools.count(1), self._doubt)

    def _doubt(self) -> None:
        self.doubts += 1

    @property
    def first(self) -> Sent:
        """The first request."""
        return self.web.sent[0]


def test_each_request_says_in_its_metadata_and_its_headers_who_asks_what() -> None:
    """A tools/call is one POST with `_meta`, and with headers that say the same as the body."""
    stage = Stage()
    stage.host.log_level = "warning"
    stage.talk.request(
        Outgoing(
            method="tools/call",
            params={"name": "zählen", "arguments": {}, "_meta": {"mine": 1}},
            progress=True,
            mirrored={"Mcp-Param-Region": "eu"},
        )
    )
    sent = stage.first
    assert (sent.method, sent.json["method"]) == ("POST", "tools/call")
    assert sent.json["params"]["_meta"] == {
        "mine": 1,
        PREFIX + "protocolVersion": "2026-07-28",
        PREFIX + "clientInfo": {"name": "test", "version": "1"},
        PREFIX + "clientCapabilities": {"roots": {}},
        PREFIX + "logLevel": "warning",
        "progressToken": sent.json["id"],
    }
    assert sent.headers == {
        "Content-Type": "application/json",
        "Accept": "application/json, text/event-stream",
        "MCP-Protocol-Version": "2026-07-28",
        "Mcp-Method": "tools/call",
        "Mcp-Name": "=?base64?esOkaGxlbg==?=",
        "Mcp-Param-Region": "eu",
    }


@pytest.mark.parametrize(
    ("method", "params", "name"),
    [
        ("tools/call", {"name": "t"}, "t"),
        ("prompts/get", {"name": "p"}, "p"),
        ("resources/read", {"uri": "file:///a%20b"}, "file:///a%20b"),
        ("tasks/get", {"taskId": "1"}, "1"),
        ("tools/list", {"name": "t"}, None),
        ("resources/subscribe", {"uri": "u"}, None),
    ],
)
def test_the_name_header_mirrors_the_param_of_its_method(method: str, params: Any, name: str | None) -> None:
    """`Mcp-Name` is sent where the specification wants it, and nowhere else."""
    stage = Stage()
    stage.talk.request(Outgoing(method=method, params=params))
    assert stage.first.headers.get("Mcp-Name") == name


def test_a_method_that_no_header_can_say_is_not_sent() -> None:
    """What could smuggle a header in is the caller's mistake, and nothing leaves."""
    stage = Stage()
    with pytest.raises(ValueError):
        now(stage.talk.request(Outgoing(method="a\r\nX: y")).receive())
    assert not stage.web.sent


def test_ids_and_tokens_are_unique() -> None:
    """No two requests share an id or a progress token."""
    stage = Stage()
    for _ in range(20):
        stage.talk.request(Outgoing(method="tools/list", progress=True))
    ids = [sent.json["id"] for sent in stage.web.sent]
    tokens = [sent.json["params"]["_meta"]["progressToken"] for sent in stage.web.sent]
    assert len(set(ids)) == len(set(tokens)) == 20


def test_a_result_as_json() -> None:
    """A JSON answer is the response."""
    stage = Stage()
    running = stage.talk.request(CALL)
    stage.first.results({"x": 1})
    assert now(running.receive()) == Response(1, {"x": 1})
    with pytest.raises(ClientClosed):
        now(running.receive())


def test_a_stream_gives_each_message_as_it_comes() -> None:
    """Notifications come in their order, one by one, and the response is the last; then the connection is free."""
    stage = Stage()
    running = stage.talk.request(CALL)
    waiting = begun(running.receive())
    answer = stage.first.streams()
    answer.event(progress(1, 0.5))
    assert outcome(waiting) == Notification("notifications/progress", {"progressToken": 1, "progress": 0.5})
    waiting = begun(running.receive())
    with pytest.raises(StillWaiting):
        outcome(waiting)
    answer.event(b"ping", type="ping")
    answer.event(note("hello"))
    assert outcome(waiting).method == "notifications/message"
    answer.event(stage.first.result())
    assert now(running.receive()) == Response(1, {"value": "done"})
    answer.end()
    assert not answer.aborted
    assert stage.clock.getDelayedCalls() == []


def test_a_stream_that_does_not_end_after_its_response_is_closed() -> None:
    """A server that keeps the stream open gets a moment, and does not keep the caller waiting."""
    stage = Stage()
    running = stage.talk.request(CALL)
    answer = stage.first.streams()
    answer.event(stage.first.result())
    assert isinstance(now(running.receive()), Response)
    assert not answer.aborted
    stage.clock.advance(1.0)
    assert answer.aborted
    assert stage.clock.getDelayedCalls() == []


def test_a_slow_consumer_is_not_read_ahead_of() -> None:
    """What is not taken stays where it is: the conversation holds one message, not all."""
    stage = Stage()
    running = stage.talk.request(CALL)
    answer = stage.first.streams()
    for number in range(10):
        answer.event(progress(1, number))
    assert answer.unread == 9
    assert now(running.receive()).params["progress"] == 0
    assert answer.unread == 8


@pytest.mark.parametrize("status", [400, 404, 500])
def test_an_error_is_the_response_whatever_the_status(status: int) -> None:
    """A JSON-RPC error in the body is what the server says, not a refusal by HTTP."""
    stage = Stage()
    running = stage.talk.request(CALL)
    stage.first.errors(status, -32601)
    response = now(running.receive())
    assert response.error == {"code": -32601, "message": "no"}
    assert stage.doubts == 0


def test_an_error_with_an_id_of_null_is_understood() -> None:
    """Many servers send `"id": null` where the specification wants none."""
    stage = Stage()
    running = stage.talk.request(CALL)
    stage.first.answers(400, {"jsonrpc": "2.0", "id": None, "error": {"code": -32600, "message": "bad"}})
    assert now(running.receive()) == Response(None, None, {"code": -32600, "message": "bad"})


def test_a_refusal_by_http_is_raised() -> None:
    """A status without a JSON-RPC error raises Refused, with what the server said and when to come back."""
    stage = Stage()
    running = stage.talk.request(CALL)
    stage.first.answers(503, b"busy", "text/plain", Retry_After="7")
    with pytest.raises(Refused, match=r"http://server\.example/mcp answered 503: busy") as caught:
        now(running.receive())
    assert (caught.value.status, caught.value.retry_after, stage.doubts) == (503, 7.0, 0)


def test_an_answer_as_of_another_era_raises_doubts() -> None:
    """A 404 without a JSON-RPC error means that the server may have become another one."""
    stage = Stage()
    running = stage.talk.request(CALL)
    stage.first.answers(404, b"<html>", "text/html")
    with pytest.raises(Refused):
        now(running.receive())
    assert stage.doubts == 1


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        (202, b"", ""),
        (204, b"", ""),
        (200, b"", "application/json"),
        (200, b"<html>", "text/html"),
        (200, b'{"jsonrpc":"2.0","id":99,"result":{}}', "application/json"),
        (200, b'{"jsonrpc":"2.0","id":"1","result":{}}', "application/json"),
        (200, b'{"jsonrpc":"2.0","method":"notifications/message"}', "application/json"),
        (200, b"[]", "application/json"),
    ],
)
def test_a_good_status_without_the_response_is_a_bad_answer(status: int, body: bytes, kind: str) -> None:
    """Whatever else comes with a good status, the caller hears at once that there will be no result."""
    stage = Stage()
    running = stage.talk.request(CALL)
    stage.first.answers(status, body, kind)
    with pytest.raises(BadAnswer):
        now(running.receive())


@pytest.mark.parametrize(
    "data",
    [
        b"not json",
        b'{"jsonrpc":"2.0","id":7,"method":"sampling/createMessage"}',
        b'{"jsonrpc":"2.0","id":99,"result":{}}',
    ],
)
def test_what_has_no_place_on_a_stream_ends_it(data: bytes) -> None:
    """Nonsense, a question, or another's response is a bad answer, and the connection is closed."""
    stage = Stage()
    running = stage.talk.request(CALL)
    answer = stage.first.streams()
    answer.event(data)
    with pytest.raises(BadAnswer):
        now(running.receive())
    assert answer.aborted


def test_a_stream_that_ends_without_its_result_is_an_error_at_once() -> None:
    """An orderly end without a response is AnswerLost, after what had come."""
    stage = Stage()
    running = stage.talk.request(CALL)
    answer = stage.first.streams()
    answer.event(progress(1, 1))
    answer.end()
    assert isinstance(now(running.receive()), Notification)
    with pytest.raises(AnswerLost):
        now(running.receive())
    assert len(stage.web.sent) == 1


def test_cancelling_before_the_head_closes_the_connection() -> None:
    """A request whose answer has not begun is cancelled by closing its connection; nothing is sent for it."""
    stage = Stage()
    running = stage.talk.request(CALL)
    waiting = begun(running.receive())
    running.cancel("enough")
    with pytest.raises(CancelledError):
        outcome(waiting)
    assert stage.first.cancelled
    assert stage.web.kinds == ["tools/call"]


def test_cancelling_a_stream_closes_the_connection() -> None:
    """A stream is cancelled by closing its connection; whoever waits, or asks later, hears of it."""
    stage = Stage()
    running = stage.talk.request(CALL)
    answer = stage.first.streams()
    answer.event(progress(1, 1))
    now(running.receive())
    waiting = begun(running.receive())
    running.cancel()
    running.cancel()
    for deferred in (waiting, begun(running.receive())):
        with pytest.raises(CancelledError):
            outcome(deferred)
    assert answer.aborted
    assert stage.web.kinds == ["tools/call"]


def test_a_consumer_that_cancels_while_it_is_handed_a_message() -> None:
    """Breaking out of a loop inside of the turn in which the message came closes the connection, too."""
    stage = Stage()
    running = stage.talk.request(CALL)
    waiting = begun(running.receive())
    waiting.addCallback(lambda message: running.cancel())
    answer = stage.first.streams()
    answer.event(progress(1, 1))
    answer.event(progress(1, 2))
    assert answer.aborted
    with pytest.raises(CancelledError):
        now(running.receive())


def test_cancelling_after_the_response_does_nothing() -> None:
    """When the response is there, it is there."""
    stage = Stage()
    running = stage.talk.request(CALL)
    stage.first.results({})
    running.cancel()
    assert isinstance(now(running.receive()), Response)


def test_a_receive_that_is_given_up_loses_nothing() -> None:
    """Cancelling one wait leaves the request alone: the next wait gets the message."""
    stage = Stage()
    running = stage.talk.request(CALL)
    waiting = begun(running.receive())
    waiting.cancel()
    with pytest.raises(CancelledError):
        outcome(waiting)
    stage.first.results({})
    assert isinstance(now(running.receive()), Response)


def test_another_version_is_tried_once_and_remembered() -> None:
    """-32022 with a version that we speak leads to one retry with a new id; a second time it is the response."""
    stage = Stage()
    running = stage.talk.request(CALL)
    stage.first.errors(400, -32022, {"supported": ["2026-07-28"], "requested": "2026-07-28"})
    assert stage.web.kinds == ["tools/call", "tools/call"]
    again = stage.web.sent[1]
    assert again.json["id"] != stage.first.json["id"]
    assert again.headers["MCP-Protocol-Version"] == "2026-07-28"
    again.errors(400, -32022, {"supported": ["2026-07-28"], "requested": "2026-07-28"})
    assert now(running.receive()).error["code"] == -32022
    assert len(stage.web.sent) == 2


def test_a_version_that_we_do_not_speak_is_the_response() -> None:
    """-32022 without a mutual version reaches the caller, and raises doubts of the era."""
    stage = Stage()
    running = stage.talk.request(CALL)
    stage.first.errors(400, -32022, {"supported": ["2025-11-25"]})
    assert now(running.receive()).error["code"] == -32022
    assert (len(stage.web.sent), stage.doubts) == (1, 1)


def test_what_only_reads_is_asked_again_when_its_answer_was_lost() -> None:
    """A repeatable request is sent again with a new id, after a while that grows; a server that restarts is found."""
    stage = Stage()
    running = stage.talk.request(Outgoing(method="tools/list", repeatable=True))
    stage.first.fails(AnswerLost("reset"))
    assert len(stage.web.sent) == 1
    stage.clock.advance(0.5)
    stage.web.sent[1].fails(Unreachable("refused"))
    stage.clock.advance(0.9)
    assert len(stage.web.sent) == 2
    stage.clock.advance(0.1)
    stage.web.sent[2].results({"tools": []})
    assert now(running.receive()) == Response(3, {"tools": []})


def test_asking_again_comes_to_an_end() -> None:
    """After the attempts that `retries` allows, the last error is raised."""
    stage = Stage(retries=Retries(attempts=2))
    running = stage.talk.request(Outgoing(method="tools/list", repeatable=True))
    for number in range(3):
        stage.web.sent[number].fails(AnswerLost(f"reset {number}"))
        stage.clock.advance(5)
    with pytest.raises(AnswerLost, match="reset 2"):
        now(running.receive())
    assert len(stage.web.sent) == 3


@pytest.mark.parametrize(
    ("repeatable", "error"),
    [(False, AnswerLost("reset")), (True, Unreachable("refused")), (True, DeadlinePassed("late", "head"))],
)
def test_what_is_not_repeated(repeatable: bool, error: Exception) -> None:
    """A call that may have been made is not made again; and a server that is not there at first is said not to be."""
    stage = Stage()
    running = stage.talk.request(Outgoing(method="tools/call", repeatable=repeatable))
    stage.first.fails(error)
    with pytest.raises(type(error)):
        now(running.receive())
    stage.clock.advance(100)
    assert len(stage.web.sent) == 1


def test_nothing_is_delivered_twice() -> None:
    """A repeatable request of which something was delivered is not sent again."""
    stage = Stage()
    running = stage.talk.request(Outgoing(method="tools/call", repeatable=True))
    answer = stage.first.streams()
    answer.event(progress(1, 1))
    now(running.receive())
    answer.lose()
    with pytest.raises(AnswerLost):
        now(running.receive())
    stage.clock.advance(100)
    assert len(stage.web.sent) == 1


def test_other_deadlines_reach_the_web() -> None:
    """The deadlines of a request are those that the web is told."""
    stage = Stage()
    timeouts = Timeouts(idle=None)
    stage.talk.request(Outgoing(method="subscriptions/listen", timeouts=timeouts))
    assert stage.first.timeouts is timeouts


def test_a_notification_is_dressed_like_a_request() -> None:
    """A notification carries the version in `_meta` and in its header."""
    stage = Stage()
    waiting = begun(stage.talk.notify("notifications/x", {"a": 1}))
    assert stage.first.headers["Mcp-Method"] == "notifications/x"
    assert stage.first.json["params"]["_meta"][PREFIX + "protocolVersion"] == "2026-07-28"
    assert "id" not in stage.first.json
    stage.first.answers(202)
    assert outcome(waiting) is None


def test_closing_ends_what_runs_and_takes_nothing_more() -> None:
    """Whoever waits gets ClientClosed, streams are closed, and so is what lingers after its response."""
    stage = Stage()
    runs, streams, lingers = (stage.talk.request(CALL) for _ in range(3))
    waiting = begun(runs.receive())
    stream = stage.web.sent[1].streams()
    lingering = stage.web.sent[2].streams()
    lingering.event(stage.web.sent[2].result())
    now(stage.talk.close())
    for deferred in (waiting, begun(streams.receive()), begun(stage.talk.request(CALL).receive())):
        with pytest.raises(ClientClosed):
            outcome(deferred)
    assert isinstance(now(lingers.receive()), Response)
    assert stage.first.cancelled
    assert stream.aborted
    assert lingering.aborted
    assert stage.clock.getDelayedCalls() == []
    with pytest.raises(ClientClosed):
        now(stage.talk.notify("notifications/x", {}))
