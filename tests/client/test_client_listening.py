"""Subscriptions: what changes is heard, in both eras, until somebody ends it; and an interruption is told."""

from __future__ import annotations

import gc
from typing import Any

import pytest
from twisted.internet.defer import CancelledError

from mcpserve.client import Change, Retries, Subscription, Timeouts
from mcpserve.errors import AnswerLost, BadAnswer, ClientClosed, Refused, RemoteError, Unreachable
from tests.client.scripted import V2025_11_25, Play, begun, now, outcome

TOOLS, PROMPTS, UPDATED = (
    "notifications/tools/list_changed",
    "notifications/prompts/list_changed",
    "notifications/resources/updated",
)


def acknowledge(play: Play, **honoured: Any) -> None:
    """The server agrees."""
    play.run.notify("subscriptions/acknowledged", notifications=honoured)


async def every(subscription: Subscription) -> list[Change]:
    """All changes until it ends."""
    return [change async for change in subscription]


def standing(play: Play, **wanted: Any) -> Subscription:
    """A subscription that stands."""
    opening = begun(play.client.listen(**wanted).__aenter__())
    if not opening.called:
        acknowledge(play, toolsListChanged=True, resourceSubscriptions=["a:b"])
    found = outcome(opening)
    assert isinstance(found, Subscription)
    return found


# --- 2026-07-28


def test_a_listen_stream() -> None:
    """The filter is sent, the acknowledgement awaited, changes come, and the server's end is the end."""
    play = Play(timeouts=Timeouts(head=7, idle=8, total=9))
    subscription = play.client.listen(tools=True, uris=["a:b", "a:b"])
    opening = begun(subscription.__aenter__())
    assert play.run.outgoing.method == "subscriptions/listen"
    assert play.run.params == {"notifications": {"toolsListChanged": True, "resourceSubscriptions": ["a:b"]}}
    assert play.run.outgoing.timeouts == Timeouts(head=7, idle=None, total=None)
    assert subscription.honoured == {}
    assert not opening.called
    acknowledge(play, toolsListChanged=True)
    assert outcome(opening) is subscription
    assert subscription.honoured == {"toolsListChanged": True}
    reading = begun(every(subscription))
    play.run.notify("tools/list_changed")
    play.run.notify("odd")
    play.run.notify("resources/updated", uri="a:b", _meta={"k": 1})
    play.run.answer({})
    assert outcome(reading) == [Change(TOOLS), Change(UPDATED, "a:b")]
    assert play.run.cancelled == []
    assert now(every(subscription)) == []


def test_it_must_be_acknowledged() -> None:
    """Anything else first is no answer; an error is one."""
    play = Play()
    reading = begun(every(play.client.listen(tools=True)))
    play.run.notify("tools/list_changed")
    with pytest.raises(BadAnswer):
        outcome(reading)
    assert play.run.cancelled == ["the client listens no more"]
    reading = begun(every(play.client.listen(tools=True)))
    play.run.refuse(-32601)
    with pytest.raises(RemoteError):
        outcome(reading)


def test_something_to_listen_for() -> None:
    """A subscription to nothing is a mistake."""
    with pytest.raises(ValueError):
        Play().client.listen()


def test_a_change_ends_what_is_kept() -> None:
    """A list that a subscription tells of is asked for again."""
    play = Play(replies={"tools/list": {"tools": [], "ttlMs": 60_000}})
    now(play.client.list_tools())
    subscription = standing(play, tools=True)
    next_one = begun(subscription.__anext__())
    play.run.notify("tools/list_changed")
    assert outcome(next_one) == Change(TOOLS)
    now(play.client.list_tools())
    assert len(play.sent("tools/list")) == 2
    now(subscription.aclose())


@pytest.mark.parametrize("error", [AnswerLost("gone"), Unreachable("down"), Refused("busy", 503)])
def test_an_interruption(error: Exception) -> None:
    """It is taken up again, later and later; then all that may have been missed is told, and it goes on."""
    play = Play(retries=Retries(attempts=3, first=1, factor=2), replies={"tools/list": {"tools": [], "ttlMs": 60_000}})
    now(play.client.list_tools())
    play.runs.clear()
    subscription = standing(play, tools=True, uris=["a:b"])
    reading = begun(subscription.__anext__())
    play.run.say(AnswerLost("gone"))
    play.clock.advance(0.9)
    assert len(play.runs) == 1
    play.clock.advance(0.1)
    assert len(play.runs) == 2
    play.run.say(error)
    play.clock.advance(1.9)
    assert len(play.runs) == 2
    play.clock.advance(0.1)
    acknowledge(play, toolsListChanged=True, resourceSubscriptions=["a:b"])
    assert outcome(reading) == Change(TOOLS, missed=True)
    assert now(subscription.__anext__()) == Change(UPDATED, "a:b", missed=True)
    reading = begun(subscription.__anext__())
    play.run.notify("prompts/list_changed")
    assert outcome(reading) == Change(PROMPTS)
    # What was kept may not hold any more, either.
    now(play.client.list_tools())
    assert len(play.sent("tools/list")) == 1
    subscription.cancel()


def test_an_interruption_that_lasts() -> None:
    """After as many attempts as were allowed the last error is raised; one that will not pass at once."""
    play = Play(retries=Retries(attempts=2, first=1, factor=1))
    for last, runs in ((Unreachable("down"), 3), (Refused("not found", 404), 2)):
        play.runs.clear()
        reading = begun(standing(play, tools=True).__anext__())
        play.run.say(AnswerLost("gone"))
        for _ in range(2):
            play.clock.advance(1)
            if len(play.runs) <= runs and not reading.called:
                play.run.say(last)
        with pytest.raises(type(last)):
            outcome(reading)
        assert len(play.runs) == runs
        assert play.clock.getDelayedCalls() == []


def test_one_that_never_stood() -> None:
    """What fails at the beginning is not tried again."""
    play = Play()
    opening = begun(play.client.listen(tools=True).__aenter__())
    play.run.say(Unreachable("down"))
    with pytest.raises(Unreachable):
        outcome(opening)
    assert play.clock.getDelayedCalls() == []


# --- its end, in both eras


@pytest.mark.parametrize("how", ["with", "cancel", "loop"])
def test_ending_a_listen_stream(how: str) -> None:
    """However it is left, the server is told once, at once."""
    play = Play()

    async def listen() -> None:
        if how == "with":
            async with play.client.listen(tools=True):
                return
        async for _ in play.client.listen(tools=True):
            break

    listening = begun(listen())
    acknowledge(play, toolsListChanged=True)
    if how == "cancel":
        listening.cancel()
        with pytest.raises(CancelledError):
            outcome(listening)
    else:
        play.run.notify("tools/list_changed")
        outcome(listening)
    gc.collect()
    assert len(play.run.cancelled) == 1


@pytest.mark.parametrize("when", ["waiting", "pausing", "idle"])
def test_closing_the_client_meanwhile(when: str) -> None:
    """A subscription ends with ClientClosed, and leaves nothing."""
    play = Play()
    subscription = standing(play, tools=True)
    reading = None if when == "idle" else begun(subscription.__anext__())
    if when == "pausing":
        play.run.say(AnswerLost("gone"))
        assert play.clock.getDelayedCalls() != []
    now(play.client.close())
    with pytest.raises(ClientClosed):
        now(subscription.__anext__()) if reading is None else outcome(reading)
    assert play.clock.getDelayedCalls() == []


# --- sessions


def legacy(**options: Any) -> Play:
    """A client in a session."""
    return Play(V2025_11_25, replies={"resources/subscribe": {}, "resources/unsubscribe": {}}, **options)


def asked(play: Play) -> list[tuple[str, str]]:
    """What was asked of the server."""
    return [(run.outgoing.method.removeprefix("resources/"), run.params["uri"]) for run in play.runs]


def test_a_subscription_in_a_session() -> None:
    """Resources are subscribed to; what was asked for is heard, and what is in it, and nothing else."""
    play = legacy()
    subscription = standing(play, tools=True, uris=["a:b", "a:c"])
    assert asked(play) == [("subscribe", "a:b"), ("subscribe", "a:c")]
    assert subscription.honoured == {"toolsListChanged": True, "resourceSubscriptions": ["a:b", "a:c"]}
    play.tell("tools/list_changed")
    play.tell("prompts/list_changed")
    play.tell("resources/updated", uri="a:other")
    play.tell("resources/updated", uri="a:bb")
    play.tell("resources/updated", uri="a:b/inside")
    play.tell("resources/updated")
    play.tell("odd")
    assert now(subscription.__anext__()) == Change(TOOLS)
    assert now(subscription.__anext__()) == Change(UPDATED, "a:b/inside")
    reading = begun(subscription.__anext__())
    play.tell("resources/updated", uri="a:c")
    assert outcome(reading) == Change(UPDATED, "a:c")
    now(subscription.aclose())
    assert asked(play)[2:] == [("unsubscribe", "a:b"), ("unsubscribe", "a:c")]


def test_what_waits_is_held_once() -> None:
    """Who is slow hears that something has changed, not how often."""
    play = legacy()
    subscription = standing(play, tools=True, prompts=True)
    for _ in range(1000):
        play.tell("tools/list_changed")
    play.tell("prompts/list_changed")
    assert [now(subscription.__anext__()).method for _ in range(2)] == [TOOLS, PROMPTS]
    play.tell("tools/list_changed")
    assert now(subscription.__anext__()) == Change(TOOLS)


def test_several_who_want_the_same_resource() -> None:
    """The server is told with the first and with the last of them."""
    play = legacy()
    one, other = standing(play, uris=["a:b"]), standing(play, uris=["a:b"])
    assert asked(play) == [("subscribe", "a:b")]
    play.tell("resources/updated", uri="a:b")
    assert now(one.__anext__()) == now(other.__anext__()) == Change(UPDATED, "a:b")
    one.cancel()
    assert len(play.runs) == 1
    del other
    gc.collect()
    assert asked(play)[1:] == [("unsubscribe", "a:b")]


def test_what_the_server_does_not_offer() -> None:
    """It is not asked for, and not honoured; the rest stands."""
    play = legacy(declares={"tools": {"listChanged": True}, "resources": {}, "prompts": {"listChanged": False}})
    subscription = standing(play, tools=True, prompts=True, uris=["a:b"])
    assert play.runs == []
    assert subscription.honoured == {"toolsListChanged": True}


def test_a_resource_that_can_not_be_subscribed_to() -> None:
    """The error is raised, and what was subscribed to before is given back."""
    play = legacy()
    play.replies["resources/subscribe"] = lambda out: {} if out.params["uri"] == "a:b" else RemoteError(-32602, "no")
    opening = begun(play.client.listen(uris=["a:b", "a:none"]).__aenter__())
    with pytest.raises(RemoteError):
        outcome(opening)
    assert ("unsubscribe", "a:b") in asked(play)


def test_unsubscribing_in_vain() -> None:
    """Nobody minds when the server has gone meanwhile."""
    play = legacy()
    subscription = standing(play, uris=["a:b"])
    play.replies["resources/unsubscribe"] = AnswerLost("gone")
    subscription.cancel()
    assert asked(play)[-1] == ("unsubscribe", "a:b")


@pytest.mark.parametrize("waiting", [True, False])
def test_closing_the_client_in_a_session(waiting: bool) -> None:
    """The subscription ends with ClientClosed; nothing is asked of a server that is being left."""
    play = legacy()
    subscription = standing(play, uris=["a:b"])
    reading = begun(subscription.__anext__()) if waiting else None
    now(play.client.close())
    with pytest.raises(ClientClosed):
        now(subscription.__anext__()) if reading is None else outcome(reading)
    del subscription, reading
    gc.collect()
    assert asked(play) == [("subscribe", "a:b")]


def test_cancelling_in_a_session() -> None:
    """Cancelling who waits ends the subscription."""
    play = legacy()
    reading = begun(standing(play, uris=["a:b"]).__anext__())
    reading.cancel()
    with pytest.raises(CancelledError):
        outcome(reading)
    assert asked(play)[1:] == [("unsubscribe", "a:b")]


def test_what_was_missed_in_a_session() -> None:
    """After a gap all that was promised may have changed, each once, and nothing that was kept holds."""
    play = legacy(declares={"tools": {"listChanged": True}, "resources": {"subscribe": True}})
    play.replies["tools/list"] = lambda _: {"tools": [], "ttlMs": 1000}
    subscription = standing(play, tools=True, prompts=True, uris=["a:b"])
    now(play.client.list_tools())
    play.tell("tools/list_changed")
    now(play.client.list_tools())
    reading = begun(every(subscription))
    play.host.missed()
    play.host.missed()
    now(play.client.list_tools())
    assert len(play.sent("tools/list")) == 3
    busy = standing(play, tools=True)
    assert play.host.listens
    play.host.deaf(AnswerLost("gone"))
    assert not play.host.listens
    for listening in (reading, begun(busy.__anext__())):
        with pytest.raises(AnswerLost, match="gone"):
            outcome(listening)


def test_a_gap_is_told() -> None:
    """As changes that were missed; what waits to be told is told as it is."""
    play = legacy()
    subscription = standing(play, tools=True, uris=["a:b"])
    assert play.host.listens
    play.tell("tools/list_changed")
    play.host.missed()
    told = [now(subscription.__anext__()) for _ in range(2)]
    assert told == [Change(TOOLS), Change(UPDATED, "a:b", missed=True)]
    now(subscription.aclose())
    assert not play.host.listens


def test_a_server_that_was_started_again() -> None:
    """Where the conversation itself asks the new one for the same, its acknowledgement tells of the gap."""
    play = Play()
    subscription = standing(play, tools=True)
    acknowledge(play, toolsListChanged=True)
    assert now(subscription.__anext__()) == Change(TOOLS, missed=True)
