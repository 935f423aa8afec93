"""Sessions: begun, forgotten by the server, and begun again once for all."""

from __future__ import annotations

from typing import Any

import pytest
from twisted.internet.defer import CancelledError

from mcpserve.client.conversation import Outgoing
from mcpserve.client.limits import Timeouts
from mcpserve.client.session import session_of
from mcpserve.errors import AnswerLost, BadAnswer, ClientClosed, Refused, RemoteError, Unreachable
from mcpserve.protocol.types import Implementation
from tests.client.scripted_session import CALL, READ, Stage
from tests.client.scripted_web import StillWaiting, begun, note, now, outcome

RESULT = {"protocolVersion": "2025-06-18", "capabilities": {"tools": {}}, "serverInfo": {"name": "s", "version": "1"}}


def test_the_handshake_says_who_we_are_and_bears_no_session() -> None:
    """`initialize` carries version, capabilities and name, and neither session nor version header."""
    stage = Stage()
    sent = stage.web.all("initialize")[0]
    assert sent.json["params"] == {
        "protocolVersion": "2025-11-25",
        "capabilities": {"roots": {}},
        "clientInfo": {"name": "test", "version": "1"},
    }
    assert not {"Mcp-Session-Id", "MCP-Protocol-Version"} & set(sent.headers)


def test_what_the_server_says_of_itself_is_described() -> None:
    """The description has the negotiated revision, and what is malformed counts as not said."""
    session = session_of({**RESULT, "instructions": "be kind"}, "id", "it")
    assert session.server.revision.name == "2025-06-18"
    assert session.server.implementation == Implementation(name="s", version="1")
    assert (session.server.instructions, session.server.capabilities) == ("be kind", {"tools": {}})
    odd = session_of({**RESULT, "serverInfo": {"name": 1}, "capabilities": [], "instructions": 5}, None, "it")
    assert (odd.server.implementation, odd.server.capabilities, odd.server.instructions) == (None, {}, None)


@pytest.mark.parametrize(
    ("result", "session_id", "says"),
    [
        ([], None, "without a protocolVersion"),
        ({}, None, "without a protocolVersion"),
        ({"protocolVersion": 1}, None, "without a protocolVersion"),
        ({"protocolVersion": "1999-01-01"}, None, "1999-01-01"),
        ({"protocolVersion": "2026-07-28"}, None, "2026-07-28"),
        (RESULT, "a b", "session id"),
        (RESULT, "é", "session id"),
        (RESULT, "", "session id"),
    ],
)
def test_a_handshake_that_went_wrong(result: Any, session_id: str | None, says: str) -> None:
    """Another version than we speak, and an id that no header may carry, begin no session."""
    with pytest.raises(BadAnswer, match=says):
        session_of(result, session_id, "it")


def test_ten_calls_share_one_new_session() -> None:
    """A server that was restarted gets exactly one new `initialize`, however many calls found out; all are made."""
    stage = Stage()
    stage.web.rules.pop("initialize")
    runs = [stage.talk.request(CALL) for _ in range(10)]
    before = stage.web.all("tools/call")
    for sent in before:
        sent.answers(404, {"jsonrpc": "2.0", "id": None, "error": {"code": -32001, "message": "Session not found"}})
    assert len(stage.web.all("initialize")) == 2
    stage.session_id = "s2"
    stage.shake_hands(stage.web.last("initialize"))
    again = stage.web.all("tools/call")[10:]
    assert len(again) == 10
    assert {sent.headers["Mcp-Session-Id"] for sent in again} == {"s2"}
    assert len({sent.json["id"] for sent in before + again}) == 20
    for sent in again:
        sent.results({"ok": True})
    assert [now(run.receive()).result for run in runs] == [{"ok": True}] * 10
    assert len(stage.web.all("initialize")) == 2
    assert len(stage.web.all("notifications/initialized")) == 1
    late = stage.talk.request(CALL)
    assert stage.call.headers["Mcp-Session-Id"] == "s2"
    late.cancel()


def test_a_late_404_does_not_begin_a_third_session() -> None:
    """A request that was sent in the old session and is refused when there is a new one is sent in that."""
    stage = Stage()
    first, second = stage.talk.request(CALL), stage.talk.request(CALL)
    one, two = stage.web.all("tools/call")
    stage.session_id = "s2"
    one.answers(404)
    two.answers(404)
    assert len(stage.web.all("initialize")) == 2
    for run in (first, second):
        run.cancel()


def test_a_handshake_that_fails_fails_for_all_who_wait() -> None:
    """Each call gets the error, and the next call tries again; what is remembered of the server is doubted."""
    stage = Stage()
    stage.web.rules.pop("initialize")
    runs = [stage.talk.request(CALL) for _ in range(3)]
    for sent in stage.web.all("tools/call"):
        sent.answers(404)
    stage.web.last("initialize").errors(400, -32022)
    for run in runs:
        with pytest.raises(RemoteError):
            now(run.receive())
    assert stage.doubts == 1
    stage.web.rules["initialize"] = stage.shake_hands
    run = stage.talk.request(CALL)
    stage.call.answers(404)
    stage.call.results({})
    assert now(run.receive()).result == {}


def test_cancelling_one_who_waits_for_the_session_leaves_the_others() -> None:
    """A call that is cancelled meanwhile is not sent, no cancellation is sent for it or for the handshake."""
    stage = Stage()
    stage.web.rules.pop("initialize")
    first, second = stage.talk.request(CALL), stage.talk.request(CALL)
    for sent in stage.web.all("tools/call"):
        sent.answers(404)
    waiting = begun(first.receive())
    first.cancel()
    with pytest.raises(CancelledError):
        outcome(waiting)
    stage.shake_hands(stage.web.last("initialize"))
    assert len(stage.web.all("tools/call")) == 3
    stage.call.results({})
    assert now(second.receive()).result == {}
    assert not stage.web.all("notifications/cancelled")


def test_closing_during_a_handshake_cancels_none_on_the_server() -> None:
    """`initialize` is never cancelled by a notification: its connection is closed, and who waits gets ClientClosed."""
    stage = Stage()
    stage.web.rules.pop("initialize")
    run = stage.talk.request(CALL)
    waiting = begun(run.receive())
    stage.call.answers(404)
    now(stage.talk.close())
    with pytest.raises(ClientClosed):
        outcome(waiting)
    assert stage.web.last("initialize").cancelled
    assert not stage.web.all("notifications/cancelled")
    assert stage.clock.getDelayedCalls() == []


def test_a_server_that_forgets_at_once_is_not_asked_for_ever() -> None:
    """A call gives up after two new sessions."""
    stage = Stage()
    stage.web.rules["tools/call"] = lambda sent: sent.answers(404)
    run = stage.talk.request(CALL)
    with pytest.raises(Refused, match="forgets its sessions"):
        now(run.receive())
    assert len(stage.web.all("initialize")) == 3


def test_a_404_without_a_session_is_a_refusal() -> None:
    """Where there is no session, none can be forgotten."""
    stage = Stage(session_id=None)
    run = stage.talk.request(CALL)
    stage.call.answers(404)
    with pytest.raises(Refused):
        now(run.receive())


@pytest.mark.parametrize(("ping", "renewed"), [(400, True), (404, True), (200, False), (500, False)])
def test_a_400_may_mean_that_the_session_is_forgotten(ping: int, renewed: bool) -> None:
    """Some servers say 400 where the specification says 404: a ping tells which it is."""
    stage = Stage()
    stage.web.rules["ping"] = lambda sent: sent.results({}) if ping == 200 else sent.answers(ping)
    run = stage.talk.request(CALL)
    stage.call.errors(400, -32000)
    assert len(stage.web.all("initialize")) == (2 if renewed else 1)
    if renewed:
        stage.call.results({"ok": 1})
        assert now(run.receive()).result == {"ok": 1}
    else:
        assert now(run.receive()).error["code"] == -32000


def test_a_notification_finds_the_new_session_too() -> None:
    """A notification that is refused because the session is forgotten is sent in the new one."""
    stage = Stage()
    waiting = begun(stage.talk.notify("notifications/roots/list_changed", {}))
    stage.session_id = "s2"
    stage.web.sent[-1].answers(404)
    assert stage.web.sent[-1].headers["Mcp-Session-Id"] == "s2"
    stage.web.sent[-1].answers(202)
    assert outcome(waiting) is None


def test_a_new_session_is_told_what_the_old_one_was_told() -> None:
    """The log level, and the resources that are watched, are set again before any call is made in the new session."""
    stage = Stage()
    for method, params in [
        ("logging/setLevel", {"level": "info"}),
        ("logging/setLevel", {"level": "debug"}),
        ("resources/subscribe", {"uri": "a"}),
        ("resources/subscribe", {"uri": "b"}),
        ("resources/unsubscribe", {"uri": "a"}),
    ]:
        run = stage.talk.request(Outgoing(method=method, params=params))
        stage.web.sent[-1].results({})
        now(run.receive())
    refused = stage.talk.request(Outgoing(method="resources/subscribe", params={"uri": "c"}))
    stage.web.sent[-1].errors(200, -32602)
    now(refused.receive())
    before = len(stage.web.sent)
    stage.web.rules["logging/setLevel"] = lambda sent: sent.results({})
    stage.web.rules["resources/subscribe"] = lambda sent: sent.errors(200, -32602)
    run = stage.talk.request(CALL)
    stage.call.answers(404)
    after = [(sent.asks, sent.json.get("params")) for sent in stage.web.sent[before + 1 :] if sent.body]
    assert after[2:] == [
        ("logging/setLevel", {"level": "debug"}),
        ("resources/subscribe", {"uri": "b"}),
        ("tools/call", CALL.params),
    ]
    run.cancel()


# --- what was lost


def test_what_only_reads_is_asked_again_when_its_answer_was_lost() -> None:
    """A repeatable request is sent again with another id, after a while that grows with each failure."""
    stage = Stage()
    run = stage.talk.request(READ)
    stage.web.last("tools/list").fails(AnswerLost("reset"))
    stage.clock.advance(0.5)
    stage.web.last("tools/list").fails(Unreachable("refused"))
    stage.clock.advance(0.99)
    assert len(stage.web.all("tools/list")) == 2
    stage.clock.advance(0.01)
    stage.web.last("tools/list").results({"tools": []})
    assert now(run.receive()).result == {"tools": []}


def test_a_call_that_may_have_been_made_is_not_made_again() -> None:
    """What is not repeatable fails with AnswerLost when its answer breaks off."""
    stage = Stage()
    run = stage.talk.request(CALL)
    stage.call.fails(AnswerLost("reset"))
    with pytest.raises(AnswerLost):
        now(run.receive())
    stage.clock.advance(100)
    assert len(stage.web.all("tools/call")) == 1


@pytest.mark.parametrize("outgoing", [CALL, READ])
def test_a_session_that_is_lost_while_a_request_runs(outgoing: Outgoing) -> None:
    """When the stream can't be resumed because the session is gone, only what is repeatable is sent again."""
    stage = Stage()
    run = stage.talk.request(outgoing)
    answer = stage.web.last(outgoing.method).streams()
    answer.prime("e1")
    answer.end()
    stage.clock.advance(0.5)
    resumed = stage.web.last("GET")
    assert resumed.headers["Last-Event-ID"] == "e1"
    stage.session_id = "s2"
    resumed.answers(404)
    if outgoing.repeatable:
        assert stage.web.last("tools/list").headers["Mcp-Session-Id"] == "s2"
        run.cancel()
    else:
        with pytest.raises(AnswerLost, match="lost its session"):
            now(run.receive())
        assert len(stage.web.all("tools/call")) == 1


def test_nothing_is_delivered_twice_by_asking_again() -> None:
    """A repeatable request of which something was delivered is not sent again."""
    stage = Stage()
    run = stage.talk.request(READ)
    answer = stage.web.last("tools/list").streams()
    answer.event(note("one"))
    answer.lose()
    now(run.receive())
    with pytest.raises(AnswerLost):
        now(run.receive())
    stage.clock.advance(100)
    assert len(stage.web.all("tools/list")) == 1


def test_brief_words_have_brief_deadlines() -> None:
    """What restores a session does not wait longer than the last words would."""
    stage = Stage(timeouts=Timeouts(close=1.5))
    run = stage.talk.request(Outgoing(method="logging/setLevel", params={"level": "info"}))
    stage.web.sent[-1].results({})
    now(run.receive())
    run = stage.talk.request(CALL)
    stage.call.answers(404)
    deadlines = stage.web.last("logging/setLevel").timeouts
    assert deadlines is not None
    assert deadlines.head == 1.5
    with pytest.raises(StillWaiting):
        now(run.receive())
    run.cancel()
