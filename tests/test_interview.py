"""The authors' bench for tools that ask: answers at once or later, in both eras."""

from __future__ import annotations

from typing import Any

import pytest

from mcpserve import Call, ElicitUrl, Root, Sampled, Text, tool
from mcpserve.protocol.inputs import InputRequest
from mcpserve.testing import ToolRunner
from tests.wire.questions import Name, Runs, careful, greet, several, two_rounds, visit

REVISIONS = pytest.mark.parametrize("revision", ["2025-11-25", "2026-07-28"])


@REVISIONS
def test_answers_at_once(revision: str) -> None:
    """Each answer in its short form, for one question or several."""
    runner = ToolRunner(greet, several, two_rounds)
    assert runner.call("greet", revision=revision, answers={"elicit-1": Name("Ada")}).text == "Hello, Ada!"
    answers = {"who": {"name": "Ada"}, "what": "lives at", "where": [Root("file:///a")]}
    assert runner.call("several", revision=revision, answers=answers).text == "Ada lives at file:///a"
    both = {"first": {"name": "A"}, "second": {"name": "B"}}
    assert runner.call("two_rounds", revision=revision, answers=both).text.endswith(": A, B")
    assert runner.leftovers() == []


@REVISIONS
def test_answers_later(revision: str) -> None:
    """What is open stands in `asked`; the call is not done before it is answered."""
    runner = ToolRunner(several)
    call = runner.call("several", revision=revision)
    assert list(call.asked) == ["who", "what", "where"]
    assert call.asked["what"].method == "sampling/createMessage"
    call.answer(who={"name": "Ada"})
    assert (call.done, list(call.asked)) == (False, ["what", "where"])
    call.answer(what=Sampled(content=(Text("at"),), model="m", stop_reason="endTurn"), where=["file:///b"])
    assert (call.done, call.text, dict(call.asked)) == (True, "Ada at file:///b", {})


@REVISIONS
def test_a_function_answers(revision: str) -> None:
    """It gets each question, and may leave one open."""
    seen: list[str] = []

    def answer(question: InputRequest) -> Any:
        seen.append(question.key)
        return {"name": "A"} if question.key == "first" else None

    call = ToolRunner(two_rounds).call("two_rounds", revision=revision, answers=answer)
    assert (seen[0], list(call.asked)) == ("first", ["second"])
    call.answer({"second": "cancel"})
    assert (call.result.is_error, call.text) == (True, "The user dismissed the question")


@REVISIONS
def test_a_question_that_comes_later(revision: str) -> None:
    """It is answered when its time has come."""

    @tool
    async def slow(call: Call) -> str:
        """Wait, then ask."""
        await call.sleep(5)
        return (await call.elicit("Your name?", Name)).form.name

    runner = ToolRunner(slow)
    call = runner.call("slow", revision=revision, answers={"elicit-1": {"name": "Ada"}})
    runner.clock.pump([1.0] * 12)
    assert call.text == "Ada"
    assert runner.leftovers() == []


@REVISIONS
def test_a_page(revision: str) -> None:
    """It has no form to fill in."""
    assert ToolRunner(visit).call("visit", revision=revision, answers={"elicit-1": "accept"}).text == "accept"


@REVISIONS
def test_a_client_that_can_not_be_asked(revision: str) -> None:
    """It declares what the test says."""
    call = ToolRunner(careful).call("careful", revision=revision, capabilities={})
    assert call.text.startswith("alone: ")


def test_an_answer_that_nobody_wants() -> None:
    """The test is told what was asked instead."""
    call = ToolRunner(greet).call("greet")
    with pytest.raises(AssertionError, match=r"by the name of 'name', but \['elicit-1'\]"):
        call.answer(name={"name": "Ada"})


def test_a_wrong_answer_is_refused() -> None:
    """As by the server."""
    call = ToolRunner(greet).call("greet")
    call.answer({"elicit-1": {"name": 5}})
    assert call.error is not None
    assert call.error["code"] == -32602


def test_a_client_that_goes_away_while_it_is_asked() -> None:
    """Before 2026-07-28 the call is cancelled; since then it has ended already."""
    runs = Runs()
    runner = ToolRunner(runs.stubborn())
    call = runner.call("stubborn", revision="2025-11-25")
    call.drop()
    assert (call.cancelled, runs.told) == (True, ["on_cancel", "CancelledError", "finally"])
    assert runner.leftovers() == []


def test_keys_are_for_one_question_each() -> None:
    """Two questions of one key are a fault of the author, and so is a URL that leads nowhere."""

    @tool
    async def twice(call: Call) -> str:
        """Ask two things by one name."""
        await call.roots(key="k")
        await call.sample("Say something", key="k")
        return "never"

    call = ToolRunner(twice).call("twice", answers={"k": []})
    assert "log" in call.text
    with pytest.raises(ValueError, match="not an absolute URL"):
        ElicitUrl("Go there", "example.org/x")


def test_threads_can_not_ask() -> None:
    """The sentence says so."""

    @tool(thread=True)
    def blocking(call: Call) -> str:
        """Try to."""
        try:
            call.elicit("Your name?", Name)
        except AttributeError as error:
            return str(error)
        return "asked"

    assert "not for threads" in ToolRunner(blocking).call("blocking").text
