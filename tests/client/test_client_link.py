"""One connection that carries all: to whom belongs what comes, and what is done with what belongs to nobody."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.defer import CancelledError, Deferred
from twisted.python.failure import Failure

from mcpserve.client.questions import MOST
from mcpserve.errors import (
    AnswerLost,
    AnswerTooLarge,
    BadAnswer,
    ClientError,
    DeadlinePassed,
    InvalidParams,
    Refused,
    Unreachable,
)
from mcpserve.protocol.jsonrpc import Notification, Request
from tests.client.talking import MODERN, Talk, outcome, response_of


def test_a_modern_request() -> None:
    """It carries its metadata beside what the user put there; only if it asks for progress a token, which is its id."""
    talk = Talk(log_level="debug").modern()
    params = {"name": "add", "_meta": {"mine": 1, "progressToken": "not mine"}}
    talk.request(params=params, progress=True)
    sent = talk.channel.sent[-1]
    assert sent["method"] == "tools/call"
    assert sent["params"]["name"] == "add"
    assert sent["params"]["_meta"] == {
        "mine": 1,
        "progressToken": sent["id"],
        "io.modelcontextprotocol/protocolVersion": MODERN,
        "io.modelcontextprotocol/clientInfo": {"name": "test", "version": "1"},
        "io.modelcontextprotocol/clientCapabilities": {"sampling": {}},
        "io.modelcontextprotocol/logLevel": "debug",
    }
    assert params["_meta"] == {"mine": 1, "progressToken": "not mine"}


def test_a_legacy_request() -> None:
    """It carries what the user gave, and nothing else unless it asks for progress."""
    talk = Talk(log_level="debug").legacy()
    talk.request(params={"name": "add"})
    assert talk.channel.sent[-1]["params"] == {"name": "add"}
    talk.request("tools/list")
    assert "params" not in talk.channel.sent[-1]
    talk.request(params={"name": "add"}, progress=True)
    assert talk.channel.sent[-1]["params"]["_meta"] == {"progressToken": talk.channel.sent[-1]["id"]}


def test_many_at_once() -> None:
    """Responses in any order find their requests, whose ids differ."""
    talk = Talk().modern()
    running = [talk.request() for _ in range(20)]
    asked = talk.channel.requests[-20:]
    assert len({one["id"] for one in asked}) == 20
    for one in reversed(asked):
        talk.channel.say(id=one["id"], result={"of": one["id"]})
    for one, sent in zip(running, asked, strict=True):
        assert outcome(one.receive()).value.result == {"of": sent["id"]}


def test_progress_finds_its_request() -> None:
    """By the token alone; nobody else hears of it."""
    talk = Talk().modern()
    first, second = talk.request(progress=True), talk.request(progress=True)
    talk.channel.progress(1, to=-1)
    talk.channel.progress(2, to=-2)
    assert outcome(first.receive()).value.params["progress"] == 2
    assert outcome(second.receive()).value.params["progress"] == 1
    assert talk.host.notices == []


@pytest.mark.parametrize("token", [True, 2.0, None, [], {}, "2"])
def test_a_token_that_only_looks_alike(token: Any) -> None:
    """What equals an id but is none, or another one, belongs to no request; and no request is disturbed."""
    talk = Talk().modern()
    waiting = outcome(talk.request(progress=True).receive())
    assert talk.channel.requests[-1]["id"] == 2
    talk.channel.say(method="notifications/progress", params={"progressToken": token, "progress": 1})
    talk.channel.say(id=3, result={})
    assert not waiting.done
    assert len(talk.host.notices) == 1


def test_subscriptions_by_their_id() -> None:
    """Two of them on one connection get what names them; without a name it is for the host."""
    talk = Talk().modern()
    first, second = talk.request("subscriptions/listen"), talk.request("subscriptions/listen")
    for number, name in ((1, talk.channel.requests[-1]["id"]), (2, talk.channel.requests[-2]["id"])):
        meta = {"io.modelcontextprotocol/subscriptionId": name}
        talk.channel.say(method="notifications/resources/updated", params={"uri": f"x:{number}", "_meta": meta})
    talk.channel.say(method="notifications/tools/list_changed")
    assert outcome(first.receive()).value.params["uri"] == "x:2"
    assert outcome(second.receive()).value.params["uri"] == "x:1"
    assert [one.method for one in talk.host.notices] == ["notifications/tools/list_changed"]


def test_the_server_ends_a_subscription() -> None:
    """Its cancelled notification ends that one, and nothing is sent back; of other requests it is ignored."""
    talk = Talk().modern()
    call, listening = outcome(talk.request().receive()), outcome(talk.request("subscriptions/listen").receive())
    for sent in talk.channel.requests[-2:]:
        talk.channel.say(method="notifications/cancelled", params={"requestId": sent["id"]})
    assert isinstance(listening.error, AnswerLost)
    assert not call.done
    assert talk.channel.withdrawn == []


@pytest.mark.parametrize("era", ["modern", "legacy"])
def test_a_log_message(era: str) -> None:
    """It belongs to the only request under way, subscriptions aside; with none or several it is for the host."""
    talk = Talk().modern() if era == "modern" else Talk().legacy()
    talk.channel.say(method="notifications/message", params={"level": "info", "data": "none"})
    if era == "modern":
        talk.request("subscriptions/listen")
    running = talk.request()
    talk.channel.say(method="notifications/message", params={"level": "info", "data": "one"})
    talk.request()
    talk.channel.say(method="notifications/message", params={"level": "info", "data": "two"})
    assert outcome(running.receive()).value.params["data"] == "one"
    assert [one.params["data"] for one in talk.host.notices] == ["none", "two"]


def test_a_log_message_during_the_handshake() -> None:
    """It is for the host: the handshake has no reader for it."""
    talk = Talk()
    outcome(talk.duplex.open())
    talk.channel.say(method="notifications/message", params={"level": "info", "data": "starting"})
    assert len(talk.host.notices) == 1


GARBAGE = """Listening on port 3000

{}
[]
5
null
[[1]]
{"jsonrpc":"2.0"}
{"id":2}
{"jsonrpc":"1.0","id":2,"result":{}}"""


@pytest.mark.parametrize("line", [*GARBAGE.encode().split(b"\n"), b"\xff\xfe", b"[" * 5000])
def test_garbage(line: bytes) -> None:
    """What is no message disturbs nothing."""
    for talk in (Talk().modern(), Talk().legacy()):
        waiting = outcome(talk.request().receive())
        for _ in range(50):
            talk.channel.receiver.received(line)
        if b'"id":2' not in line:
            assert not waiting.done
        waiting = outcome(talk.request().receive())
        talk.channel.reply({})
        assert waiting.value.result == {}


@given(st.binary(max_size=200))
def test_any_bytes(data: bytes) -> None:
    """Nothing that a server writes raises."""
    talk = Talk().modern()
    talk.request()
    talk.channel.receiver.received(data)


@pytest.mark.parametrize(
    "members",
    [{"result": {}, "error": {"code": 1, "message": ""}}, {"error": "no"}, {}, {"error": 5, "result": 5}],
)
def test_a_malformed_response(members: dict[str, Any]) -> None:
    """It fails the request that it names, now."""
    talk = Talk().modern()
    other, waiting = outcome(talk.request().receive()), outcome(talk.request().receive())
    talk.channel.say(id=talk.channel.requests[-1]["id"], **members)
    assert isinstance(waiting.error, BadAnswer)
    assert not other.done
    assert talk.channel.withdrawn == []


def test_nulls_that_should_not_be_there() -> None:
    """Many servers write a null member for one that is absent: that is forgiven."""
    talk = Talk().modern()
    waiting = outcome(talk.request().receive())
    talk.channel.say(id=talk.channel.requests[-1]["id"], result={"x": 1}, error=None)
    assert waiting.value.result == {"x": 1}


def test_an_error_without_an_id() -> None:
    """It is that of the only request; with several nobody knows, and they go on."""
    talk = Talk().modern()
    first, second = outcome(talk.request().receive()), outcome(talk.request().receive())
    talk.channel.say(error={"code": -32700, "message": "What?"})
    assert not first.done
    assert not second.done
    talk.channel.reply({})
    talk.channel.say(id=None, error={"code": -32700, "message": "What?"})
    assert first.value.error["code"] == -32700


def test_batches() -> None:
    """A server with a handshake may send several messages in an array; what is none among them is left out."""
    talk = Talk().legacy("2025-03-26")
    running = talk.request(progress=True)
    name = talk.channel.requests[-1]["id"]
    progress = {"jsonrpc": "2.0", "method": "notifications/progress", "params": {"progressToken": name, "progress": 1}}
    ping = {"jsonrpc": "2.0", "id": "p", "method": "ping"}
    talk.channel.receiver.received(
        orjson.dumps([progress, 5, ping, {"jsonrpc": "2.0", "id": name, "result": {"ok": True}}])
    )
    assert isinstance(outcome(running.receive()).value, Notification)
    assert outcome(running.receive()).value.result == {"ok": True}
    assert talk.channel.sent[-1] == {"jsonrpc": "2.0", "id": "p", "result": {}}


@pytest.mark.parametrize(
    ("excerpt", "ended"),
    [
        (b'{"jsonrpc":"2.0","id":3,"result":{"content":[{"id":2,', False),
        (b'{ "jsonrpc": "2.0", "id": 3, "result": {', False),
        (b'xxx"}]},"jsonrpc":"2.0","id":3}', True),
        (b'xxx"}]}, "id": 3, "jsonrpc": "2.0"}\r', True),
    ],
)
def test_an_answer_that_is_too_long(excerpt: bytes, ended: bool) -> None:
    """The request whose id stands at its beginning or at its end fails, and is withdrawn; no other."""
    talk = Talk().modern()
    other, waiting = outcome(talk.request().receive()), outcome(talk.request().receive())
    assert talk.channel.requests[-1]["id"] == 3
    talk.channel.receiver.overlong(excerpt, ended=ended)
    assert isinstance(waiting.error, AnswerTooLarge)
    assert talk.channel.withdrawn == [3]
    if not ended:
        talk.channel.receiver.overlong(b"whatever it ends with", ended=True)
    assert not other.done


def test_nobody_knows_whose_it_was() -> None:
    """Too long and without an id: the only request fails at once; of several all, but only at its end."""
    talk = Talk().modern()
    listening = outcome(talk.request("subscriptions/listen").receive())
    waiting = [outcome(talk.request().receive()) for _ in range(3)]
    talk.channel.receiver.overlong(b'{"result":{"x', ended=False)
    assert not any(one.done for one in waiting)
    talk.channel.receiver.overlong(b"xxxxx", ended=True)
    assert all(isinstance(one.error, AnswerTooLarge) for one in waiting)
    assert not listening.done
    single = Talk().modern()
    alone = outcome(single.request().receive())
    single.channel.receiver.overlong(b'{"result":{"x', ended=False)
    next_one = outcome(single.request().receive())
    single.channel.receiver.overlong(b"}", ended=True)
    assert not next_one.done
    assert isinstance(alone.error, AnswerTooLarge)


def test_one_that_could_not_be_sent() -> None:
    """It fails with what the channel says, and the others go on."""
    talk = Talk().modern()
    talk.channel.slow = True
    waiting = outcome(talk.request().receive())
    talk.channel.slow = False
    other = outcome(talk.request().receive())
    talk.channel.pending[0].errback(Failure(Refused("413", 413)))
    assert isinstance(waiting.error, Refused)
    assert not other.done
    assert talk.channel.withdrawn == []


def test_what_is_cancelled_while_it_is_sent() -> None:
    """The cancellation waits until the request is there: it must not overtake it."""
    talk = Talk().modern()
    talk.channel.slow = True
    running = talk.request()
    running.cancel()
    assert talk.channel.withdrawn == []
    talk.channel.pending[0].callback(None)
    assert talk.channel.withdrawn == [talk.channel.requests[-1]["id"]]
    talk.channel.pending[1].errback(Failure(Refused("500", 500)))
    assert talk.clock.getDelayedCalls() == []


def test_what_is_cancelled_while_it_hangs() -> None:
    """The cancellation waits a second; then what brings the request is given up, so that it will not come after it."""
    talk = Talk().modern()
    talk.channel.slow = True
    running = talk.request()
    running.cancel()
    talk.clock.advance(0.9)
    assert talk.channel.withdrawn == []
    talk.clock.advance(0.1)
    assert talk.channel.pending[0].called
    assert talk.channel.withdrawn == [talk.channel.requests[-1]["id"]]
    assert talk.clock.getDelayedCalls() == []


@pytest.mark.parametrize("error", [AnswerLost("reset"), DeadlinePassed("late", "head")])
def test_a_cancellation_that_may_not_have_arrived(error: ClientError) -> None:
    """It is sent once more, and no more often; otherwise the server would work on for nobody."""
    talk = Talk().modern()
    running = talk.request()
    talk.channel.slow = True
    running.cancel()
    for pending in (0, 1):
        assert len(talk.channel.withdrawn) == pending + 1
        talk.channel.pending[pending].errback(Failure(error))
    assert talk.channel.withdrawn == [talk.channel.requests[-1]["id"]] * 2


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (AnswerLost("reset"), True),
        (DeadlinePassed("late", "head"), True),
        (DeadlinePassed("late", "connect"), False),
        (Unreachable("refused"), False),
        (Refused("413", 413), False),
    ],
)
def test_one_that_may_have_arrived(error: ClientError, told: bool) -> None:
    """It fails, and the server is told that nobody waits for it; but not of what it can't have."""
    talk = Talk().modern()
    talk.channel.slow = True
    waiting = outcome(talk.request().receive())
    talk.channel.pending[0].errback(Failure(error))
    assert waiting.error is error
    assert bool(talk.channel.withdrawn) is told


def test_one_that_is_known_to_have_arrived() -> None:
    """The server has spoken of it: that the message that brought it was not acknowledged matters no more."""
    talk = Talk().modern()
    talk.channel.slow = True
    running = talk.request(progress=True)
    talk.channel.progress(1)
    talk.channel.pending[0].errback(Failure(AnswerLost("reset")))
    assert isinstance(outcome(running.receive()).value, Notification)
    talk.channel.reply({"of": 1})
    assert outcome(running.receive()).value.result == {"of": 1}
    assert talk.channel.withdrawn == []


def test_what_is_no_json() -> None:
    """Params that can't be written are the caller's mistake: the request raises TypeError, and nothing is sent."""
    talk = Talk().modern()
    before = len(talk.channel.sent)
    assert isinstance(outcome(talk.request(params={"x": object()}).receive()).error, TypeError)
    assert len(talk.channel.sent) == before
    assert talk.clock.getDelayedCalls() == []


# --- what the server asks


def asking(replies: Callable[[Request], Deferred[Mapping[str, Any]]] | None) -> Talk:
    """A session whose host answers so."""
    talk = Talk().legacy()
    talk.host.replies = replies
    return talk


def test_questions_side_by_side() -> None:
    """Each is answered when its answer is there, and neither waits for the other."""
    answers: dict[str, Deferred[Mapping[str, Any]]] = {"a": Deferred(), "b": Deferred()}
    talk = asking(lambda question: answers[question.params["name"]])
    for name in answers:
        talk.channel.say(id=name, method="sampling/createMessage", params={"name": name})
    answers["b"].callback({"text": "B"})
    answers["a"].callback({"text": "A"})
    assert talk.channel.sent[-2:] == [
        {"jsonrpc": "2.0", "id": "b", "result": {"text": "B"}},
        {"jsonrpc": "2.0", "id": "a", "result": {"text": "A"}},
    ]


def test_a_question_that_is_refused() -> None:
    """The host's protocol error is the answer."""

    def refuse(_: Request) -> Deferred[Mapping[str, Any]]:
        raise InvalidParams("no such thing")

    talk = asking(refuse)
    talk.channel.say(id=0, method="sampling/createMessage", params={})
    assert talk.channel.sent[-1]["id"] == 0
    assert talk.channel.sent[-1]["error"] == {"code": -32602, "message": "no such thing"}


def test_a_host_that_fails(flush_logged_errors: Callable[..., list[Failure]]) -> None:
    """Its exception is logged, and not told to the server."""

    def fail(_: Request) -> Deferred[Mapping[str, Any]]:
        raise ZeroDivisionError("secret")

    talk = asking(fail)
    talk.channel.say(id=0, method="sampling/createMessage", params={})
    assert talk.channel.sent[-1]["error"]["code"] == -32603
    assert "secret" not in talk.channel.sent[-1]["error"]["message"]
    assert len(flush_logged_errors(ZeroDivisionError)) == 1


def test_a_question_that_is_withdrawn() -> None:
    """The host's work is cancelled, and no answer is sent: "Not send a response for the cancelled request"."""
    told: list[str] = []
    answer: Deferred[Mapping[str, Any]] = Deferred(lambda _: told.append("cancelled"))
    talk = asking(lambda _: answer)
    talk.channel.say(id=7, method="sampling/createMessage", params={})
    for other in (8, "7", True, None, 7.5):
        talk.channel.say(method="notifications/cancelled", params={"requestId": other})
    assert told == []
    talk.channel.say(method="notifications/cancelled", params={"requestId": 7})
    assert told == ["cancelled"]
    assert "a response" not in talk.channel.methods


def test_a_session_that_ends_with_questions() -> None:
    """The host's work is cancelled when the channel is gone."""
    for end in ("lost", "closed"):
        answer: Deferred[Mapping[str, Any]] = Deferred()
        talk = asking(lambda _, answer=answer: answer)  # type: ignore[misc]
        talk.channel.say(id=7, method="sampling/createMessage", params={})
        if end == "lost":
            talk.channel.lose()
        else:
            outcome(talk.duplex.close())
        assert answer.called
        assert "a response" not in talk.channels[0].methods


def test_too_many_questions() -> None:
    """They are bounded: what is beyond is refused at once."""
    talk = asking(lambda _: Deferred())
    for number in range(MOST + 1):
        talk.channel.say(id=number, method="sampling/createMessage", params={})
    assert [one["id"] for one in talk.channel.sent if "error" in one] == [MOST]
    outcome(talk.duplex.close())


def test_a_modern_server_asks_nothing() -> None:
    """If it does, it gets no answer: "The client MUST NOT write JSON-RPC responses"."""
    talk = Talk().modern()
    talk.channel.say(id=7, method="ping")
    assert talk.host.questions == []
    assert "a response" not in talk.channel.methods


def test_a_ping_during_the_handshake() -> None:
    """It is answered."""
    talk = Talk(probes=False)
    outcome(talk.duplex.open())
    talk.channel.say(id="p", method="ping")
    assert talk.channel.sent[-1] == {"jsonrpc": "2.0", "id": "p", "result": {}}


def test_reentrance() -> None:
    """Whoever gets a response may close the conversation from there, with more to come in the same batch."""
    talk = Talk().legacy()

    async def use() -> None:
        await response_of(talk.request())
        await talk.duplex.close()

    used = outcome(use())
    other = outcome(talk.request().receive())
    talk.channel.reply({}, to=-2)
    talk.channel.reply({}, to=-1)
    assert used.done
    assert used.error is None
    assert other.error is not None
    assert not isinstance(other.error, CancelledError)
