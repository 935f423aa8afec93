"""A conversation from one channel to the next: what is kept, what is lost, how often it is tried, and the end."""

from __future__ import annotations

import gc
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.defer import CancelledError, Deferred
from twisted.python.failure import Failure

from mcpserve.client.limits import Retries, Timeouts
from mcpserve.errors import AnswerLost, ClientClosed, ClientError, DeadlinePassed, Refused, Unreachable
from tests.client.talking import Outcome, Talk, outcome, response_of


def begun(era: str, **options: Any) -> Talk:
    """A conversation in this era."""
    return Talk(**options).modern() if era == "modern" else Talk(**options).legacy()


def greet(talk: Talk, era: str) -> None:
    """The newest server goes through the first words."""
    if era == "modern":
        talk.greet()
    else:
        talk.welcome()


# --- when a channel is lost


@pytest.mark.parametrize("era", ["modern", "legacy"])
def test_what_is_lost(era: str) -> None:
    """What may have had effects fails at once, after what had come of it; the channel is closed."""
    talk = begun(era)
    running = talk.request(progress=True)
    talk.channel.progress(1)
    talk.channel.lose(AnswerLost("it died"))
    assert outcome(running.receive()).value.params["progress"] == 1
    lost = outcome(running.receive())
    assert isinstance(lost.error, AnswerLost)
    assert str(lost.error) == "it died"
    assert talk.channel.closed == 1
    assert talk.clock.getDelayedCalls() == []


@pytest.mark.parametrize("era", ["modern", "legacy"])
def test_what_is_repeated(era: str) -> None:
    """What only reads is sent again to the next server, as soon as that has been greeted in the era of the first."""
    talk = begun(era)
    reading = outcome(response_of(talk.request("tools/list", repeatable=True)))
    talk.channel.lose()
    assert not reading.done
    assert len(talk.channels) == 1
    talk.clock.advance(0.5)
    assert talk.channel.methods == (["server/discover"] if era == "modern" else ["initialize"])
    greet(talk, era)
    assert talk.channel.methods[-1] == "tools/list"
    talk.channel.reply({"tools": []})
    assert reading.value.result == {"tools": []}


def test_it_is_repeated_only_once() -> None:
    """A request that kills every server that gets it is not sent for ever."""
    talk = begun("legacy")
    reading = outcome(response_of(talk.request("resources/read", repeatable=True)))
    talk.channel.lose()
    talk.clock.advance(0.5)
    talk.welcome()
    talk.channel.lose()
    assert isinstance(reading.error, AnswerLost)
    assert len(talk.channels) == 2


def test_a_subscription_goes_on() -> None:
    """It is taken up again with each new server that acknowledged it before it fell."""
    talk = begun("modern")
    listening = talk.request("subscriptions/listen", repeatable=True)
    for _ in range(5):
        name = talk.channel.requests[-1]["id"]
        params = {"_meta": {"io.modelcontextprotocol/subscriptionId": name}}
        talk.channel.say(method="notifications/subscriptions/acknowledged", params=params)
        assert outcome(listening.receive()).value.method == "notifications/subscriptions/acknowledged"
        talk.clock.advance(100)
        talk.channel.lose()
        talk.clock.advance(0.5)
        talk.greet()
        assert talk.channel.methods[-1] == "subscriptions/listen"
    assert len(talk.channels) == 6


@pytest.mark.parametrize("error", [AnswerLost("reset"), Unreachable("refused")])
def test_what_may_not_have_arrived(error: ClientError) -> None:
    """What only reads is sent again a little later, once, over the connection that stands then; the rest fails.

    What may have arrived all the same is cancelled: nobody waits for it any more.
    """
    talk = begun("legacy")
    talk.channel.slow = True
    reading = outcome(response_of(talk.request("tools/list", repeatable=True)))
    calling = outcome(talk.request().receive())
    for pending in talk.channel.pending[:2]:
        pending.errback(Failure(error))
    assert calling.error is error
    assert not reading.done
    assert talk.channel.requests[-1]["method"] == "tools/call"
    talk.clock.advance(0.5)
    assert talk.channel.requests[-1]["method"] == "tools/list"
    talk.channel.pending[-1].errback(Failure(error))
    assert reading.error is error
    asked = [one["id"] for one in talk.channel.requests[-3:]]
    assert talk.channel.withdrawn == (asked if isinstance(error, AnswerLost) else [])
    assert talk.clock.getDelayedCalls() == []


def test_the_connection_was_going() -> None:
    """What could not be sent, just before the connection was lost, goes to the next one."""
    talk = begun("legacy")
    talk.channel.slow = True
    reading = outcome(response_of(talk.request("tools/list", repeatable=True)))
    talk.channel.pending[-1].errback(Failure(AnswerLost("reset")))
    talk.channel.lose()
    talk.clock.advance(0.5)
    talk.welcome()
    assert talk.channel.requests[-1]["method"] == "tools/list"
    talk.channel.reply({})
    assert reading.value.result == {}
    assert talk.clock.getDelayedCalls() == []


@pytest.mark.parametrize("end", ["closed", "cancelled"])
def test_it_is_not_wanted_meanwhile(end: str) -> None:
    """What waits to be sent again can be cancelled, and ends with the conversation."""
    talk = begun("legacy")
    talk.channel.slow = True
    running = talk.request("tools/list", repeatable=True)
    reading = outcome(running.receive())
    talk.channel.pending[-1].errback(Failure(AnswerLost("reset")))
    if end == "closed":
        outcome(talk.duplex.close())
    else:
        running.cancel()
        talk.clock.advance(1)
    assert reading.error is not None
    assert len(talk.channel.requests) == 2 + 1
    assert talk.clock.getDelayedCalls() == []


def test_the_next_use() -> None:
    """Nobody needs a server: none is started. With the next request there is one, without waiting if that is late."""
    talk = begun("legacy")
    talk.channel.lose()
    talk.clock.advance(100)
    assert len(talk.channels) == 1
    waiting = outcome(response_of(talk.request()))
    talk.clock.advance(0)
    assert len(talk.channels) == 2
    talk.welcome()
    talk.channel.reply({"ok": True})
    assert waiting.value.result == {"ok": True}
    assert talk.channel.requests[-1]["method"] == "tools/call"


def test_back_off() -> None:
    """Each attempt waits longer than the one before; in between nothing happens, and in the end all who wait hear."""
    talk = begun("legacy", retries=Retries(attempts=4, first=1, factor=2, longest=100, jitter=0))
    talk.channel.lose()
    waiting = [outcome(talk.request().receive()) for _ in range(3)]
    notifying = outcome(talk.duplex.notify("notifications/roots/list_changed", {}))
    talk.refusals = [Unreachable("refused") for _ in range(10)]
    tried = []
    for second in range(100):
        left = len(talk.refusals)
        talk.clock.advance(1)
        if len(talk.refusals) < left:
            tried.append(second + 1)
    assert tried == [1, 3, 7, 15]
    assert all(isinstance(one.error, Unreachable) for one in waiting)
    assert isinstance(notifying.error, Unreachable)
    assert talk.clock.getDelayedCalls() == []


def test_begun_anew() -> None:
    """After it was given up, the next request tries again."""
    talk = begun("legacy", retries=Retries(attempts=0, jitter=0))
    talk.channel.lose()
    talk.refusals = [Unreachable("refused")]
    assert isinstance(outcome_after(talk, 1).error, Unreachable)
    waiting = outcome(talk.request().receive())
    talk.clock.advance(1)
    talk.welcome()
    talk.channel.reply({})
    assert waiting.value.result == {}


def outcome_after(talk: Talk, seconds: float) -> Outcome:
    """What came of a request within this time."""
    waiting = outcome(talk.request().receive())
    talk.clock.advance(seconds)
    return waiting


def test_a_server_that_falls_over_and_over() -> None:
    """Who is greeted, and falls before it has answered anything, counts like one that can't be reached."""
    talk = begun("legacy", retries=Retries(attempts=3, first=1, factor=2, longest=100, jitter=0))
    talk.request("resources/subscribe", params={"uri": "x:1"})
    talk.channel.reply({})
    for _ in range(20):
        talk.channel.lose()
        talk.clock.advance(200)
        if talk.channel.closed:
            break
        talk.welcome()
    assert len(talk.channels) == 4
    assert talk.clock.getDelayedCalls() == []


def test_a_server_that_dies_after_each_call() -> None:
    """Each answer proves that it works: it is started again and again, and never waits longer than at first."""
    talk = begun("legacy", retries=Retries(attempts=2, first=1, factor=2, longest=100, jitter=0))
    for number in range(10):
        got = outcome(talk.request().receive())
        talk.channel.reply({"number": number})
        assert got.value.result == {"number": number}
        talk.channel.lose()
        waiting = outcome(talk.request("tools/list", repeatable=True).receive())
        talk.clock.advance(1)
        talk.welcome()
        talk.channel.reply({})
        assert waiting.done
    assert len(talk.channels) == 11


def test_lost_while_it_is_greeted() -> None:
    """That is an attempt that failed; the next one follows."""
    talk = begun("legacy")
    talk.channel.lose()
    waiting = outcome(talk.request().receive())
    talk.clock.advance(0.5)
    talk.channel.lose()
    assert not waiting.done
    talk.clock.advance(1)
    assert len(talk.channels) == 3
    assert talk.channel.methods == ["server/discover"]
    talk.channel.refuse(-32601)
    talk.welcome()
    talk.channel.reply({})
    assert waiting.value.result == {}


def test_the_old_one_is_buried_first() -> None:
    """The next server is not started before the one that fell is gone: it may hold what the next one needs."""
    talk = begun("legacy")
    talk.channel.closing = Deferred()
    talk.channel.lose()
    talk.request()
    talk.clock.advance(100)
    assert len(talk.channels) == 1
    talk.channels[0].closing.callback(None)  # type: ignore[union-attr]
    assert len(talk.channels) == 2
    outcome(talk.duplex.close())


def test_what_the_server_is_told_again() -> None:
    """The log level and the subscriptions that it had accepted; without anybody's asking, and no more than those."""
    talk = begun("legacy")
    for method, params in (
        ("logging/setLevel", {"level": "info"}),
        ("logging/setLevel", {"level": "debug"}),
        ("resources/subscribe", {"uri": "x:1"}),
        ("resources/subscribe", {"uri": "x:2"}),
        ("resources/unsubscribe", {"uri": "x:1"}),
    ):
        talk.request(method, params=params)
        talk.channel.reply({})
    talk.request("resources/subscribe", params={"uri": "x:3"})
    talk.channel.refuse(-32602)
    for _ in range(2):
        talk.channel.lose()
        talk.clock.advance(0.5)
        talk.welcome()
        again = [(one["method"], one["params"]) for one in talk.channel.requests[1:]]
        assert again == [("logging/setLevel", {"level": "debug"}), ("resources/subscribe", {"uri": "x:2"})]
        talk.channel.reply({}, to=1)
        talk.channel.refuse(-32602, to=2)
        talk.clock.advance(40)
    assert talk.clock.getDelayedCalls() == []


def test_who_listens() -> None:
    """For them a server is started again, they are told of the gap, and in the end of its end."""
    talk = begun("legacy")
    assert talk.host.gaps == 0
    talk.host.listens = True
    talk.channel.lose()
    talk.clock.advance(0.5)
    talk.welcome()
    assert (talk.host.gaps, talk.host.deafness) == (1, [])
    for _ in range(10):
        if not talk.host.deafness:
            talk.channel.lose()
            talk.clock.advance(30)
    assert [type(error) for error in talk.host.deafness] == [Unreachable]
    assert talk.clock.getDelayedCalls() == []


def test_it_was_modernised() -> None:
    """The server is another one when it comes back: the conversation goes on in the new era."""
    talk = begun("modern")
    reading = outcome(response_of(talk.request("tools/list", repeatable=True)))
    talk.channel.lose()
    talk.clock.advance(0.5)
    talk.channel.refuse(-32601)
    talk.welcome()
    assert talk.duplex.server.revision.name == "2025-11-25"
    assert "params" not in talk.channel.sent[-1]
    talk.channel.reply({"tools": []})
    assert reading.value.result == {"tools": []}


def test_the_deadline_counts_while_there_is_no_server() -> None:
    """A request does not wait longer for its answer because it waits for a server."""
    talk = begun("legacy", timeouts=Timeouts(head=3), retries=Retries(attempts=50, longest=1))
    talk.channel.lose()
    talk.refusals = [Unreachable("refused") for _ in range(10)]
    waiting = outcome(talk.request().receive())
    talk.clock.pump([0.5] * 7)
    assert isinstance(waiting.error, DeadlinePassed)
    talk.refusals.clear()
    talk.clock.advance(1)
    talk.welcome()
    assert talk.channel.methods == ["initialize", "notifications/initialized"]


def test_cancelled_while_there_is_no_server() -> None:
    """It is not sent any more."""
    talk = begun("legacy")
    talk.channel.lose()
    running = talk.request()
    waiting = outcome(running.receive())
    running.cancel()
    assert isinstance(waiting.error, CancelledError)
    talk.clock.advance(1)
    talk.welcome()
    assert talk.channel.methods == ["initialize", "notifications/initialized"]


# --- notifications


def test_a_notification() -> None:
    """It returns when the channel has it."""
    talk = begun("legacy")
    talk.channel.slow = True
    notifying = outcome(talk.duplex.notify("notifications/roots/list_changed", {}))
    assert talk.channel.sent[-1] == {"jsonrpc": "2.0", "method": "notifications/roots/list_changed"}
    assert not notifying.done
    talk.channel.pending[-1].callback(None)
    assert notifying.done
    refused = outcome(talk.duplex.notify("notifications/x", {"y": 1}))
    talk.channel.pending[-1].errback(Failure(Refused("500", 500)))
    assert isinstance(refused.error, Refused)


def test_a_notification_waits_for_a_server() -> None:
    """It goes to the next one; cancelled, it does not."""
    talk = begun("legacy")
    talk.channel.lose()
    notifying = outcome(talk.duplex.notify("notifications/a", {}))
    unwanted = outcome(talk.duplex.notify("notifications/b", {}))
    assert unwanted.deferred is not None
    unwanted.deferred.cancel()
    talk.clock.advance(1)
    talk.welcome()
    assert notifying.done
    assert notifying.error is None
    assert talk.channel.methods[-1] == "notifications/a"
    assert "notifications/b" not in talk.channel.methods


# --- the end


@pytest.mark.parametrize("era", ["modern", "legacy"])
def test_closing(era: str) -> None:
    """What is under way fails and is withdrawn, the channel is closed, and who asks later hears that it is over."""
    talk = begun(era)
    waiting = outcome(talk.request().receive())
    talk.channel.closing = Deferred()
    closing, again = outcome(talk.duplex.close()), outcome(talk.duplex.close())
    assert isinstance(waiting.error, ClientClosed)
    assert talk.channel.withdrawn == [talk.channel.requests[-1]["id"]]
    assert not closing.done
    assert not again.done
    talk.channel.closing.callback(None)
    assert closing.done
    assert again.done
    assert isinstance(outcome(talk.request().receive()).error, ClientClosed)
    assert isinstance(outcome(talk.duplex.notify("notifications/x", {})).error, ClientClosed)
    assert talk.channel.closed == 1
    assert talk.closed == 1
    assert talk.clock.getDelayedCalls() == []


def test_closing_while_there_is_no_server() -> None:
    """Nothing is started any more."""
    talk = begun("legacy")
    talk.channel.lose()
    waiting = outcome(talk.request().receive())
    notifying = outcome(talk.duplex.notify("notifications/x", {}))
    closing = outcome(talk.duplex.close())
    assert closing.done
    assert isinstance(waiting.error, ClientClosed)
    assert isinstance(notifying.error, ClientClosed)
    assert talk.clock.getDelayedCalls() == []
    talk.clock.advance(100)
    assert len(talk.channels) == 1


def test_closing_while_a_server_is_greeted() -> None:
    """It is closed, too."""
    talk = begun("legacy")
    talk.channel.lose()
    waiting = outcome(talk.request().receive())
    talk.clock.advance(1)
    assert len(talk.channels) == 2
    closing = outcome(talk.duplex.close())
    assert closing.done
    assert isinstance(waiting.error, ClientClosed)
    assert [one.closed for one in talk.channels] == [1, 1]
    assert talk.clock.getDelayedCalls() == []


def test_closing_in_the_first_words() -> None:
    """Whoever opens hears of it."""
    talk = Talk()
    opening = outcome(talk.duplex.open())
    assert outcome(talk.duplex.close()).done
    assert opening.error is not None
    assert talk.channel.closed == 1


def test_before_the_beginning() -> None:
    """There is no server to tell of."""
    with pytest.raises(ClientClosed):
        _ = Talk().duplex.server


def test_a_thousand_times() -> None:
    """Opening, calling, cancelling and closing leaves nothing: no timer, no channel, no object."""

    def cycle(number: int) -> None:
        talk = begun("modern" if number % 2 else "legacy")
        got = outcome(talk.request(progress=True).receive())
        talk.channel.reply({})
        assert got.done
        talk.request().cancel()
        left = outcome(talk.request().receive())
        if number % 3 == 0:
            talk.channel.lose()
        assert outcome(talk.duplex.close()).done
        assert left.done
        assert talk.clock.getDelayedCalls() == []
        assert [one.closed for one in talk.channels] == [1]

    cycle(0)
    gc.collect()
    before = len(gc.get_objects())
    for number in range(1000):
        cycle(number)
    gc.collect()
    assert len(gc.get_objects()) - before < 200


ACTIONS = (
    "call",
    "read",
    "cancel",
    "reply",
    "refuse",
    "progress",
    "lose",
    "second",
    "minute",
    "greet",
    "fail",
    "slow",
    "there",
    "reset",
)


@settings(max_examples=300, deadline=None)
@given(era=st.sampled_from(["modern", "legacy"]), actions=st.lists(st.sampled_from(ACTIONS), max_size=40))
def test_whatever_happens(era: str, actions: list[str]) -> None:
    """In any order of events each request ends once, by its deadline at the latest, and closing leaves nothing."""
    talk = begun(era, timeouts=Timeouts(head=90, idle=90))
    runs, outcomes = [], []
    for action in actions:
        if action in ("call", "read"):
            runs.append(talk.request(progress=True, repeatable=action == "read"))
            outcomes.append(outcome(response_of(runs[-1])))
        elif action == "cancel" and runs:
            runs[0].cancel()
        elif action == "lose":
            talk.channel.lose()
        elif action == "fail":
            talk.refusals.append(Unreachable("refused"))
        elif action == "slow":
            talk.channel.slow = True
        elif action in ("there", "reset") and talk.channel.pending:
            sending = talk.channel.pending.pop(0)
            sending.callback(None) if action == "there" else sending.errback(Failure(AnswerLost("reset")))
        elif action in ("second", "minute"):
            talk.clock.advance(1 if action == "second" else 60)
        elif not talk.channel.closed and talk.channel.requests:
            answer(talk, action)
    talk.clock.pump([1] * 200)
    assert all(one.done for one in outcomes)
    assert all(one.error is None or isinstance(one.error, (ClientError, CancelledError)) for one in outcomes)
    assert outcome(talk.duplex.close()).done
    assert talk.clock.getDelayedCalls() == []
    assert all(one.closed == 1 for one in talk.channels)


def answer(talk: Talk, action: str) -> None:
    """The server says something about the last request."""
    method = talk.channel.requests[-1]["method"]
    greeted = "server/discover" in talk.channel.methods[-1:] or "initialize" in talk.channel.methods[-1:]
    if action == "greet" and greeted:
        greet(talk, "modern" if method == "server/discover" else "legacy")
    elif action == "reply" and not greeted:
        talk.channel.reply({})
    elif action == "refuse":
        talk.channel.refuse(-32601)
    elif action == "progress" and "_meta" in talk.channel.requests[-1].get("params", {}):
        meta = talk.channel.requests[-1]["params"]["_meta"]
        talk.channel.say(
            method="notifications/progress", params={"progressToken": meta.get("progressToken"), "progress": 1}
        )
