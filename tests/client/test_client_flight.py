"""One request on a shared connection: what comes for it in which order, how long it takes, and how it is given up."""

from __future__ import annotations

import pytest
from twisted.internet.defer import CancelledError

from mcpserve.client.conversation import Outgoing
from mcpserve.client.limits import Timeouts
from mcpserve.errors import AnswerTooLarge, DeadlinePassed
from mcpserve.protocol.jsonrpc import Notification, Response
from tests.client.talking import Talk, outcome, response_of


def test_in_order() -> None:
    """Notifications come first, in their order, and the response last; whether somebody waits already or not."""
    talk = Talk().modern()
    running = talk.request(progress=True)
    early = outcome(running.receive())
    talk.channel.progress(1)
    talk.channel.progress(2)
    talk.channel.reply({"content": []})
    assert isinstance(early.value, Notification)
    assert early.value.params["progress"] == 1
    second, third = outcome(running.receive()).value, outcome(running.receive()).value
    assert second.params["progress"] == 2
    assert isinstance(third, Response)
    assert third.result == {"content": []}
    assert talk.clock.getDelayedCalls() == []


def test_an_error_is_a_response() -> None:
    """It is returned as it came."""
    talk = Talk().modern()
    got = outcome(talk.request().receive())
    talk.channel.refuse(-32602, {"x": 1})
    assert got.value.error == {"code": -32602, "message": "no", "data": {"x": 1}}


def test_cancelling() -> None:
    """The server is told at once and once, whoever waits gets CancelledError, and what comes late is dropped."""
    talk = Talk().modern()
    running = talk.request(progress=True)
    waiting = outcome(running.receive())
    running.cancel("not needed")
    running.cancel()
    assert isinstance(waiting.error, CancelledError)
    assert talk.channel.sent[-1] == {
        "jsonrpc": "2.0",
        "method": "notifications/cancelled",
        "params": {"requestId": talk.channel.requests[-1]["id"], "reason": "not needed"},
    }
    assert len(talk.channel.withdrawn) == 1
    talk.channel.progress(1)
    talk.channel.reply({})
    assert talk.host.notices == []
    assert isinstance(outcome(running.receive()).error, CancelledError)
    assert talk.clock.getDelayedCalls() == []


def test_cancelling_drops_what_waits() -> None:
    """Nobody wants what was read ahead, either."""
    talk = Talk().modern()
    running = talk.request(progress=True)
    talk.channel.progress(1)
    running.cancel()
    assert isinstance(outcome(running.receive()).error, CancelledError)


def test_cancelling_after_the_response() -> None:
    """It does nothing: "MUST only reference requests that [...] are believed to still be in-progress"."""
    talk = Talk().modern()
    running = talk.request()
    talk.channel.reply({"content": []})
    running.cancel()
    assert talk.channel.withdrawn == []
    assert isinstance(outcome(running.receive()).value, Response)


def test_who_waits_no_longer() -> None:
    """Cancelling what waits leaves the request alone; the next who asks gets the message."""
    talk = Talk().modern()
    running = talk.request()
    waiting = outcome(running.receive())
    assert waiting.deferred is not None
    waiting.deferred.cancel()
    assert isinstance(waiting.error, CancelledError)
    assert talk.channel.withdrawn == []
    talk.channel.reply({})
    assert isinstance(outcome(running.receive()).value, Response)


@pytest.mark.parametrize("era", ["modern", "legacy"])
def test_the_head_deadline(era: str) -> None:
    """Nothing came in time: it fails, and is cancelled on the server."""
    talk = Talk(timeouts=Timeouts(head=7))
    talk = talk.modern() if era == "modern" else talk.legacy()
    waiting = outcome(talk.request().receive())
    talk.clock.advance(6.9)
    assert not waiting.done
    talk.clock.advance(0.2)
    assert isinstance(waiting.error, DeadlinePassed)
    assert waiting.error.which == "head"
    assert "7 s" in str(waiting.error)
    assert talk.channel.withdrawn == [talk.channel.requests[-1]["id"]]
    assert talk.clock.getDelayedCalls() == []


def test_the_idle_deadline() -> None:
    """It begins anew with each message of this request; those of others do not count."""
    talk = Talk(timeouts=Timeouts(head=100, idle=5)).modern()
    running, _ = talk.request(progress=True), talk.request(progress=True)
    for value in range(3):
        talk.channel.progress(value, to=-2)
        talk.clock.advance(4)
    talk.channel.progress(1, to=-1)
    talk.clock.advance(1.1)
    for _ in range(3):
        assert isinstance(outcome(running.receive()).value, Notification)
    failed = outcome(running.receive())
    assert isinstance(failed.error, DeadlinePassed)
    assert failed.error.which == "idle"
    assert talk.channel.withdrawn == [talk.channel.requests[-2]["id"]]


def test_deadlines_of_its_own() -> None:
    """A request may bring its own deadlines, or none."""
    talk = Talk(timeouts=Timeouts(head=5)).modern()
    brief = outcome(talk.duplex.request(Outgoing(method="a", timeouts=Timeouts(head=1))).receive())
    patient = outcome(talk.duplex.request(Outgoing(method="b", timeouts=Timeouts(head=None))).receive())
    talk.clock.advance(1.1)
    assert isinstance(brief.error, DeadlinePassed)
    talk.clock.advance(10_000)
    assert not patient.done


def test_a_subscription_may_be_silent() -> None:
    """Once it was acknowledged, there is no deadline; before, there is."""
    talk = Talk(timeouts=Timeouts(head=5, idle=5)).modern()
    listening = talk.request("subscriptions/listen")
    name = talk.channel.requests[-1]["id"]
    tag = {"_meta": {"io.modelcontextprotocol/subscriptionId": name}}
    talk.channel.say(method="notifications/subscriptions/acknowledged", params=tag)
    talk.clock.advance(10_000)
    talk.channel.say(method="notifications/tools/list_changed", params=tag)
    assert outcome(listening.receive()).value.method == "notifications/subscriptions/acknowledged"
    assert outcome(listening.receive()).value.method == "notifications/tools/list_changed"
    assert talk.clock.getDelayedCalls() == []
    unheard = outcome(talk.request("subscriptions/listen").receive())
    talk.clock.advance(5.1)
    assert isinstance(unheard.error, DeadlinePassed)


def test_a_slow_consumer() -> None:
    """Past the bound only its own request fails, after what had come; others go on."""
    talk = Talk(buffer=1000).modern()
    slow, quick = talk.request(progress=True), talk.request(progress=True)
    for value in range(10):
        talk.channel.progress(value, to=-2, message="x" * 200)
        talk.channel.progress(value, to=-1, message="x" * 200)
        assert outcome(quick.receive()).value.params["progress"] == value
    got = []
    while (last := outcome(slow.receive())).error is None:
        got.append(last.value.params["progress"])
    assert got == list(range(len(got)))
    assert 2 <= len(got) <= 4
    assert isinstance(last.error, AnswerTooLarge)
    assert talk.channel.withdrawn == [talk.channel.requests[-2]["id"]]
    talk.channel.reply({})
    assert isinstance(outcome(quick.receive()).value, Response)


def test_what_is_large_but_alone() -> None:
    """One message larger than the bound is no reason to fail, nor is a response behind what waits."""
    talk = Talk(buffer=100).modern()
    running = talk.request(progress=True)
    talk.channel.progress(1, message="x" * 1000)
    talk.channel.reply({"content": "y" * 1000})
    assert outcome(running.receive()).value.params["progress"] == 1
    assert isinstance(outcome(running.receive()).value, Response)
    assert talk.channel.withdrawn == []


def test_room_is_made() -> None:
    """What was taken counts no more."""
    talk = Talk(buffer=500).modern()
    running = talk.request(progress=True)
    for value in range(50):
        talk.channel.progress(value, message="x" * 200)
        talk.channel.progress(value, message="")
        assert outcome(running.receive()).error is None
        assert outcome(running.receive()).error is None
    talk.channel.reply({})
    assert outcome(response_of(running)).value.result == {}
