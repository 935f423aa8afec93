"""Errands: events, results, rounds, deadlines, and every way in which they may end early."""

from __future__ import annotations

import gc
from typing import Any

import pytest
from twisted.internet.defer import CancelledError, Deferred

from mcpserve.client import (
    Limits,
    LogMessage,
    Progress,
    Result,
    Retries,
    Text,
    Timeouts,
    ToolStream,
)
from mcpserve.errors import AnswerLost, AnswerTooLarge, BadAnswer, ClientClosed, DeadlinePassed, RemoteError
from tests.client.scripted import V2025_11_25, Play, begun, now, outcome, text, wants

FORM = ("elicitation/create", {"message": "Who?", "requestedSchema": {"type": "object", "properties": {}}})


async def every(stream: ToolStream) -> list[Any]:
    """All that comes."""
    return [event async for event in stream]


# --- calls


def test_a_call() -> None:
    """A call is sent with its arguments, and its result is read."""
    play = Play()
    calling = begun(play.client.call_tool("add", {"a": 1}, meta={"k": 2}))
    assert play.run.outgoing.method == "tools/call"
    assert play.run.params == {"name": "add", "arguments": {"a": 1}, "_meta": {"k": 2}}
    assert not play.run.outgoing.repeatable
    play.run.answer({**text("3"), "structuredContent": {"sum": 3}, "isError": True})
    assert outcome(calling) == Result(content=[Text("3")], structured={"sum": 3}, is_error=True)
    assert play.run.cancelled == []
    assert play.run.late == 0  # what has ended is not cancelled, even where that would do nothing


def test_progress_is_asked_for_only_if_it_is_wanted() -> None:
    """Without `on_progress` the server need not send any."""
    play = Play(replies={"tools/call": text("")})
    now(play.client.call_tool("add"))
    assert not play.run.outgoing.progress
    now(play.client.call_tool("add", on_progress=print))
    assert play.run.outgoing.progress


def test_what_is_said_on_the_way() -> None:
    """Progress and log messages reach their callbacks in order; what belongs to no call reaches `on_notice`."""
    told: list[Any] = []
    play = Play(on_notice=told.append)
    calling = begun(play.client.call_tool("add", on_progress=told.append, on_log=told.append))
    play.run.progress(1, total=2, message="half")
    play.run.notify("message", level="info", data={"k": 1}, logger="x")
    play.run.notify("tools/list_changed")
    play.run.answer(text(""))
    outcome(calling)
    assert told[:2] == [Progress(1, 2, "half"), LogMessage("info", {"k": 1}, "x")]
    assert told[2].method == "notifications/tools/list_changed"


def test_a_callback_that_fails() -> None:
    """It ends the call with its own exception, and the call is cancelled on the server."""
    play = Play()
    calling = begun(play.client.call_tool("add", on_progress=lambda _: 1 / 0))
    play.run.progress(1)
    with pytest.raises(ZeroDivisionError):
        outcome(calling)
    assert play.run.cancelled == [None]


@pytest.mark.parametrize(
    ("result", "words"),
    [
        ([], "is no object"),
        ({}, '"content" is missing'),
        ({"content": [], "resultType": "task"}, "of the type 'task'"),
        ({"resultType": 7}, "of the type 7"),
        ({"resultType": "input_required"}, "does not say which"),
        ({"resultType": "input_required", "inputRequests": []}, "not an object"),
        ({"resultType": "input_required", "inputRequests": {"k": {}}}, "no request"),
    ],
)
def test_what_is_no_result(result: Any, words: str) -> None:
    """A result of another shape is a BadAnswer that says what is wrong."""
    play = Play(replies={"tools/call": lambda _: result if result else None})
    calling = begun(play.client.call_tool("add"))
    if not result:
        play.run.answer(result)
    with pytest.raises(BadAnswer, match=words):
        outcome(calling)


def test_a_result_that_an_extension_brings() -> None:
    """It is given to who sends the request by hand and has declared the extension, and to nobody else."""
    task = {"resultType": "task", "taskId": "t"}
    for extensions, good in (({"extensions": {"example/tasks": {}}}, True), ({}, False)):
        play = Play(replies={"tools/call": lambda _: task}, capabilities=extensions)
        asking = begun(play.client.request("tools/call", {"name": "a"}))
        if good:
            assert outcome(asking) == task
        else:
            with pytest.raises(BadAnswer):
                outcome(asking)
        with pytest.raises(BadAnswer):
            now(play.client.call_tool("a"))


def test_errors_of_the_server() -> None:
    """They have their code, message and data; one without a code is no answer."""
    play = Play()
    calling = begun(play.client.call_tool("add"))
    play.run.refuse(-32602, "Unknown tool", data={"k": 1})
    with pytest.raises(RemoteError) as caught:
        outcome(calling)
    assert (caught.value.code, caught.value.message, caught.value.data) == (-32602, "Unknown tool", {"k": 1})
    calling = begun(play.client.call_tool("add"))
    play.run.refuse("x")  # type: ignore[arg-type]
    with pytest.raises(BadAnswer):
        outcome(calling)


def test_no_result_type() -> None:
    """Before 2026-07-28 it means nothing; since then an absent one is a complete one."""
    play = Play(replies={"tools/call": text("a")})
    assert now(play.client.call_tool("add")).content == [Text("a")]
    play = Play(V2025_11_25, replies={"tools/call": {**text("a"), "resultType": "odd"}})
    assert now(play.client.call_tool("add")).content == [Text("a")]


# --- streams


def test_a_stream() -> None:
    """Events come as they are said, the result is the last, and what is malformed or of no concern is left out."""
    play = Play()
    stream = play.client.stream_tool("count")
    assert play.runs == []  # nothing is sent before somebody looks
    all_of_it = begun(every(stream))
    assert play.run.outgoing.progress
    play.run.progress(1)
    play.run.notify("progress", progress="much")
    play.run.notify("message", level="odd", data=1)
    play.run.notify("message", level="info", data=1)
    assert not all_of_it.called
    play.run.answer(text("done"))
    assert outcome(all_of_it) == [Progress(1), LogMessage("info", 1), Result(content=[Text("done")])]
    assert play.run.cancelled == []


def test_what_is_there_already_costs_no_turn() -> None:
    """Events that have come are handed out without a Deferred in between."""
    play = Play()
    stream = play.client.stream_tool("count")
    first = begun(stream.__anext__())
    for number in range(1000):
        play.run.progress(number)
    play.run.answer(text(""))
    assert outcome(first) == Progress(0)
    assert len(now(every(stream))) == 1000


def test_leaving_the_loop() -> None:
    """It cancels the call in the same moment, once."""
    play = Play()

    async def leave() -> str:
        async for _ in play.client.stream_tool("count"):
            break
        return "left"

    leaving = begun(leave())
    play.run.progress(1)
    assert outcome(leaving) == "left"
    assert play.run.cancelled == [None]


def test_a_loop_that_fails() -> None:
    """An exception in the loop cancels the call, too."""
    play = Play()

    async def fail() -> None:
        async for _ in play.client.stream_tool("count"):
            raise LookupError

    failing = begun(fail())
    play.run.progress(1)
    with pytest.raises(LookupError):
        outcome(failing)
    gc.collect()
    assert play.run.cancelled == [None]


def test_a_loop_that_is_cancelled() -> None:
    """Cancelling the Deferred of a loop cancels the call, whether it waits for an event or for something else."""
    play, pause = Play(), Deferred[None]()

    async def loop() -> None:
        async for _ in play.client.stream_tool("count"):
            await pause

    for said in (0, 1):
        looping = begun(loop())
        for number in range(said):
            play.run.progress(number)
        looping.cancel()
        with pytest.raises(CancelledError):
            outcome(looping)
        gc.collect()
        assert play.run.cancelled == [None]


def test_a_stream_in_a_with() -> None:
    """At its end the call is cancelled if it goes on, and left alone if it has ended."""
    play = Play()

    async def look(events: int) -> None:
        async with play.client.stream_tool("count") as stream:
            for _ in range(events):
                await stream.__anext__()

    looking = begun(look(1))
    play.run.progress(1)
    outcome(looking)
    assert play.run.cancelled == [None]
    looking = begun(look(2))
    play.run.progress(1)
    play.run.answer(text(""))
    outcome(looking)
    assert play.run.cancelled == []


def test_a_stream_that_is_over() -> None:
    """It stays over: after its result, after its end by hand with words for the server, after an error."""
    play = Play()
    stream = play.client.stream_tool("count")
    waiting = begun(stream.__anext__())
    stream.cancel("enough")
    with pytest.raises(CancelledError):
        outcome(waiting)
    assert play.run.cancelled == ["enough"]
    assert now(every(stream)) == []
    stream = play.client.stream_tool("count")
    waiting = begun(every(stream))
    play.run.say(AnswerLost("gone"))
    with pytest.raises(AnswerLost):
        outcome(waiting)
    assert now(every(stream)) == []
    stream = play.client.stream_tool("never begun")
    now(stream.aclose())
    assert now(every(stream)) == []
    assert len(play.runs) == 2


def test_two_who_wait_for_one_stream() -> None:
    """The second is told that this is wrong, and the first goes on."""
    play = Play()
    stream = play.client.stream_tool("count")
    first = begun(stream.__anext__())
    with pytest.raises(RuntimeError):
        now(stream._errand.receive())
    play.run.progress(1)
    assert outcome(first) == Progress(1)


# --- ways to end early


def test_cancelling_a_call() -> None:
    """Cancelling the Deferred cancels on the server, once."""
    play = Play()
    calling = begun(play.client.call_tool("add"))
    calling.cancel()
    with pytest.raises(CancelledError):
        outcome(calling)
    assert play.run.cancelled == [None]
    assert play.run.late == 0


def test_the_deadline_of_a_call() -> None:
    """Past it the call is cancelled, whoever set it; nothing is left on the clock by a call that ended before."""
    play = Play(timeouts=Timeouts(total=5))
    for seconds, options in ((5, {}), (2, {"timeout": 2})):
        calling = begun(play.client.call_tool("add", **options))
        play.clock.advance(seconds - 0.1)
        assert not calling.called
        play.clock.advance(0.1)
        with pytest.raises(DeadlinePassed) as caught:
            outcome(calling)
        assert caught.value.which == "total"
        assert play.run.cancelled == ["it took too long"]
    calling = begun(play.client.call_tool("add"))
    play.run.answer(text(""))
    outcome(calling)
    assert play.clock.getDelayedCalls() == []


def test_a_deadline_while_nobody_looks() -> None:
    """The call is cancelled at once, and who asks next is told."""
    play = Play()
    stream = play.client.stream_tool("count", timeout=3)
    first = begun(stream.__anext__())
    play.run.progress(1)
    outcome(first)
    play.clock.advance(3)
    assert play.run.cancelled == ["it took too long"]
    with pytest.raises(DeadlinePassed):
        now(stream.__anext__())


def test_closing_the_client() -> None:
    """Calls on their way, and streams that nobody looks at, end with ClientClosed and leave nothing."""
    play = Play(timeouts=Timeouts(total=9))
    stream = play.client.stream_tool("count")
    first = begun(stream.__anext__())
    play.run.progress(1)
    outcome(first)
    calling = begun(play.client.call_tool("add"))
    now(play.client.close())
    with pytest.raises(ClientClosed):
        outcome(calling)
    with pytest.raises(ClientClosed):
        now(stream.__anext__())
    assert [run.cancelled for run in play.runs] == [["the client is closed"]] * 2
    assert play.clock.getDelayedCalls() == []


def test_an_answer_that_is_lost() -> None:
    """What the conversation raises is what the caller gets, and nothing is cancelled afterwards but in vain."""
    play = Play()
    calling = begun(play.client.call_tool("add"))
    play.run.say(AnswerLost("gone"))
    with pytest.raises(AnswerLost):
        outcome(calling)
    assert play.run.cancelled == []


# --- rounds


def test_a_round() -> None:
    """The same request goes out again with the answers and the state as it came, and nothing of it stays behind."""
    play = Play(elicit=lambda question: {"name": question.message})
    calling = begun(play.client.call_tool("greet", {"a": 1}, on_progress=print))
    play.run.answer(wants("Zm9v+/=\u0000é", who=FORM))
    again = play.run
    assert again.params == {
        "name": "greet",
        "arguments": {"a": 1},
        "inputResponses": {"who": {"action": "accept", "content": {"name": "Who?"}}},
        "requestState": "Zm9v+/=\u0000é",
    }
    assert again.outgoing.progress
    again.answer(wants(second=FORM))
    assert set(play.run.params) == {"name", "arguments", "inputResponses"}
    assert set(play.run.params["inputResponses"]) == {"second"}
    play.run.answer(text("hello"))
    assert outcome(calling).content == [Text("hello")]
    other = begun(play.client.call_tool("unrelated"))
    assert set(play.run.params) == {"name", "arguments"}
    play.run.answer(text(""))
    outcome(other)


def test_events_of_all_rounds() -> None:
    """A stream goes on over its rounds."""
    play = Play(elicit=lambda _: "decline")
    reading = begun(every(play.client.stream_tool("greet")))
    play.run.progress(1)
    play.run.answer(wants(who=FORM))
    play.run.progress(2)
    play.run.answer(text(""))
    assert outcome(reading) == [Progress(1), Progress(2), Result(content=[Text("")])]


def test_rounds_without_questions() -> None:
    """A state alone is echoed at once, and then ever more seldom."""
    play = Play(retries=Retries(first=1, factor=2))
    calling = begun(play.client.call_tool("wait"))
    play.run.answer(wants("a"))
    assert play.run.params["requestState"] == "a"
    assert "inputResponses" not in play.run.params
    for seconds in (1, 2):
        sent = len(play.runs)
        play.run.answer(wants("b"))
        play.clock.advance(seconds - 0.1)
        assert len(play.runs) == sent
        play.clock.advance(0.1)
        assert len(play.runs) == sent + 1
    play.run.answer(text("done"))
    assert outcome(calling).content == [Text("done")]


def test_too_many_rounds() -> None:
    """A server that never has enough is given up."""
    play = Play(
        elicit=lambda _: "accept", limits=Limits(rounds=3), replies={"tools/call": lambda _: wants("s", who=FORM)}
    )
    with pytest.raises(AnswerTooLarge):
        now(play.client.call_tool("greedy"))
    assert len(play.runs) == 4


def test_rounds_where_there_are_none() -> None:
    """Only calls, prompts and resources may need input; in a session nothing may."""
    play = Play(elicit=lambda _: "accept", replies={"tools/list": wants("s", who=FORM)})
    with pytest.raises(BadAnswer, match="input_required"):
        now(play.client.list_tools())
    play = Play(V2025_11_25, elicit=lambda _: "accept", replies={"tools/call": wants("s", who=FORM)})
    with pytest.raises(BadAnswer):
        now(play.client.call_tool("greet"))


def test_the_deadline_counts_while_the_user_thinks() -> None:
    """A question that nobody answers in time is withdrawn, and so is one of a call that is cancelled."""
    withdrawn: list[Any] = []

    def think(question: Any) -> Deferred[Any]:
        return Deferred(withdrawn.append)

    for end in ("deadline", "cancel", "close"):
        play = Play(elicit=think)
        calling = begun(play.client.call_tool("greet", timeout=60))
        play.run.answer(wants(who=FORM))
        play.clock.advance(59)
        if end == "deadline":
            play.clock.advance(1)
        elif end == "cancel":
            calling.cancel()
        else:
            now(play.client.close())
        kinds = {"deadline": DeadlinePassed, "cancel": CancelledError, "close": ClientClosed}
        with pytest.raises(kinds[end]):
            outcome(calling)
        assert len(withdrawn) == 1
        withdrawn.clear()
        assert len(play.runs) == 1
        assert play.clock.getDelayedCalls() == []


def test_a_handler_that_fails() -> None:
    """Its exception ends the call that the question belonged to."""
    play = Play(elicit=lambda _: {}[0])
    calling = begun(play.client.call_tool("greet"))
    play.run.answer(wants(who=FORM))
    with pytest.raises(KeyError):
        outcome(calling)


def test_questions_that_were_not_offered() -> None:
    """A server that asks what this client did not declare gets no answer."""
    play = Play()
    calling = begun(play.client.call_tool("greet"))
    play.run.answer(wants(who=FORM))
    with pytest.raises(BadAnswer, match="does not offer"):
        outcome(calling)
