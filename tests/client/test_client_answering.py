"""What the server asks, in both eras: what is declared, what is answered, and what is refused."""

from __future__ import annotations

from typing import Any

import pytest
from twisted.internet.defer import Deferred

from mcpserve.client import (
    FormQuestion,
    PageQuestion,
    Root,
    Sampled,
    SamplingMessage,
    SamplingQuestion,
    Text,
    ToolOutcome,
    ToolUse,
)
from mcpserve.errors import BadAnswer, InvalidParams, MethodNotFound
from tests.client.scripted import V2025_11_25, Play, begun, outcome, text, wants

SCHEMA = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "default": "John"},
        "age": {"type": "integer", "default": 30},
        "verified": {"type": "boolean", "default": False},
        "colours": {"type": "array", "default": ["red"]},
        "free": {"type": "string"},
        "odd": True,
    },
}
DEFAULTS = {"name": "John", "age": 30, "verified": False, "colours": ["red"]}
FORM = {"message": "Who?", "requestedSchema": SCHEMA}
PAGE = {"mode": "url", "message": "Look", "url": "https://x/y", "elicitationId": "e1"}
SAID = Sampled(content=(Text("hi"),), model="m", stop_reason="endTurn")
ASKED = {"messages": [{"role": "user", "content": {"type": "text", "text": "?"}}], "maxTokens": 9}


def in_session(method: str, params: dict[str, Any], **handlers: Any) -> Any:
    """What the server gets that asks in a session."""
    return outcome(Play(V2025_11_25, **handlers).ask(method, **params))


def in_call(method: str, params: dict[str, Any], **handlers: Any) -> Any:
    """What the server gets that asks within a call."""
    play = Play(**handlers)
    calling = begun(play.client.call_tool("ask"))
    play.run.answer(wants(k=(method, params)))
    if calling.called:
        outcome(calling)
    answer = play.run.params["inputResponses"]["k"]
    play.run.answer(text(""))
    outcome(calling)
    return answer


BOTH = pytest.mark.parametrize("ask", [in_session, in_call])


@pytest.mark.parametrize(
    ("handlers", "declared"),
    [
        ({}, {}),
        ({"elicit": print}, {"elicitation": {"form": {}}}),
        ({"visit": print}, {"elicitation": {"url": {}}}),
        ({"elicit": print, "visit": print}, {"elicitation": {"form": {}, "url": {}}}),
        ({"sample": print, "roots": ()}, {"sampling": {}, "roots": {}}),
        (
            {"sample": print, "capabilities": {"sampling": {"tools": {}}, "extensions": {"x/y": {}}}},
            {"sampling": {"tools": {}}, "extensions": {"x/y": {}}},
        ),
    ],
)
def test_what_is_declared(handlers: dict[str, Any], declared: dict[str, Any]) -> None:
    """Only what somebody answers, and what the user adds."""
    assert Play(**handlers).host.capabilities == declared


@BOTH
@pytest.mark.parametrize(
    ("said", "answer"),
    [
        ({"name": "Ann", "free": "x"}, {"action": "accept", "content": {**DEFAULTS, "name": "Ann", "free": "x"}}),
        ({}, {"action": "accept", "content": DEFAULTS}),
        ("accept", {"action": "accept", "content": DEFAULTS}),
        ("decline", {"action": "decline"}),
        ("cancel", {"action": "cancel"}),
    ],
)
def test_forms(ask: Any, said: Any, answer: Any) -> None:
    """A form is shown with its message and its defaults, and fields that the user left alone have these."""
    seen: list[FormQuestion] = []

    def elicit(question: FormQuestion) -> Any:
        seen.append(question)
        return said

    assert ask("elicitation/create", FORM, elicit=elicit) == answer
    assert ask("elicitation/create", {**FORM, "mode": "form"}, elicit=elicit) == answer
    assert seen[0] == FormQuestion(message="Who?", schema=SCHEMA, params=FORM)
    assert seen[0].defaults == DEFAULTS


@BOTH
def test_pages(ask: Any) -> None:
    """A page is shown; the answer has no content."""
    seen: list[PageQuestion] = []

    def visit(question: PageQuestion) -> Any:
        seen.append(question)
        return "accept"

    assert ask("elicitation/create", PAGE, visit=visit) == {"action": "accept"}
    assert seen == [PageQuestion(message="Look", url="https://x/y", id="e1", params=PAGE)]


@BOTH
def test_sampling(ask: Any) -> None:
    """The conversation is read whole, and what the model said is written."""
    seen: list[SamplingQuestion] = []

    def sample(question: SamplingQuestion) -> Sampled:
        seen.append(question)
        return SAID

    params = {
        "messages": [
            {"role": "user", "content": {"type": "text", "text": "?"}},
            {"role": "assistant", "content": [{"type": "tool_use", "id": "1", "name": "t", "input": {}}]},
            {
                "role": "user",
                "content": [{"type": "tool_result", "toolUseId": "1", "content": [{"type": "text", "text": "a"}]}],
            },
        ],
        "maxTokens": 9,
        "systemPrompt": "s",
        "temperature": 0.5,
        "stopSequences": ["x"],
        "modelPreferences": {"hints": []},
        "tools": [{"name": "t"}],
    }
    more = {"capabilities": {"sampling": {"tools": {}}}}
    assert ask("sampling/createMessage", params, sample=sample, **more) == {
        "role": "assistant",
        "content": {"type": "text", "text": "hi"},
        "model": "m",
        "stopReason": "endTurn",
    }
    assert seen[0] == SamplingQuestion(
        messages=(
            SamplingMessage("user", "?"),
            SamplingMessage("assistant", ToolUse("1", "t", {})),
            SamplingMessage("user", ToolOutcome("1", [Text("a")])),
        ),
        max_tokens=9,
        system_prompt="s",
        temperature=0.5,
        stop_sequences=["x"],
        preferences={"hints": []},
        tools=[{"name": "t"}],
        params=params,
    )


@BOTH
def test_roots(ask: Any) -> None:
    """Roots are given as they are, or asked for each time."""
    shape = {"roots": [{"uri": "file:///a", "name": "A"}, {"uri": "file:///b"}]}
    roots = [Root("file:///a", "A"), Root("file:///b")]
    assert ask("roots/list", {}, roots=roots) == shape
    assert ask("roots/list", {}, roots=lambda: roots) == shape
    assert ask("roots/list", {}, roots=[]) == {"roots": []}


@BOTH
def test_handlers_of_all_kinds(ask: Any) -> None:
    """A handler may give its value at once, as a Deferred, or be a coroutine."""

    async def later(_: FormQuestion) -> str:
        return "decline"

    waiting: Deferred[str] = Deferred()
    waiting.callback("decline")
    for elicit in (lambda _: "decline", lambda _: waiting, later):
        assert ask("elicitation/create", FORM, elicit=elicit) == {"action": "decline"}


@pytest.mark.parametrize(
    ("method", "params", "handlers", "error"),
    [
        ("roots/list", {}, {}, MethodNotFound),
        ("sampling/createMessage", ASKED, {}, MethodNotFound),
        ("tasks/get", {}, {}, MethodNotFound),
        ("elicitation/create", FORM, {}, InvalidParams),
        ("elicitation/create", FORM, {"visit": print}, InvalidParams),
        ("elicitation/create", PAGE, {"elicit": print}, InvalidParams),
        ("elicitation/create", {**FORM, "mode": 3}, {"elicit": print}, InvalidParams),
        ("elicitation/create", {"message": "?"}, {"elicit": print}, InvalidParams),
        ("elicitation/create", {**PAGE, "url": None}, {"visit": print}, InvalidParams),
        ("sampling/createMessage", {**ASKED, "tools": []}, {"sample": print}, InvalidParams),
        ("sampling/createMessage", {**ASKED, "maxTokens": True}, {"sample": print}, InvalidParams),
        ("sampling/createMessage", {**ASKED, "messages": [{"role": "x"}]}, {"sample": print}, InvalidParams),
        (
            "sampling/createMessage",
            {**ASKED, "messages": [{"role": "user", "content": {"type": "text"}}]},
            {"sample": print},
            InvalidParams,
        ),
        (
            "sampling/createMessage",
            {**ASKED, "messages": [{"role": "user", "content": {"type": "hologram"}}]},
            {"sample": print},
            InvalidParams,
        ),
    ],
)
def test_what_can_not_be_answered(method: str, params: Any, handlers: Any, error: type[Exception]) -> None:
    """In a session the server gets an error; within a call the call ends with one."""
    with pytest.raises(error):
        in_session(method, params, **handlers)
    with pytest.raises(BadAnswer):
        in_call(method, params, **handlers)


@BOTH
@pytest.mark.parametrize(
    ("params", "handlers"), [(FORM, {"elicit": lambda _: "perhaps"}), (PAGE, {"visit": lambda _: None})]
)
def test_handlers_that_talk_nonsense(ask: Any, params: Any, handlers: Any) -> None:
    """They are told what they may say."""
    with pytest.raises(TypeError, match="accept, decline, cancel"):
        ask("elicitation/create", params, **handlers)


def test_ping() -> None:
    """A server may ask for a sign of life in a session; within a call that is no input."""
    assert in_session("ping", {}) == {}
    with pytest.raises(BadAnswer):
        in_call("ping", {})


def test_one_question_at_a_time() -> None:
    """The questions of one round are put one after the other, in their order."""
    seen: list[str] = []
    answers: list[Deferred[Any]] = [Deferred(), Deferred()]

    def elicit(question: FormQuestion) -> Any:
        seen.append(question.message)
        return answers[len(seen) - 1]

    play = Play(elicit=elicit)
    calling = begun(play.client.call_tool("ask"))
    form = {"requestedSchema": {}}
    play.run.answer(
        wants(b=("elicitation/create", {**form, "message": "1"}), a=("elicitation/create", {**form, "message": "2"}))
    )
    assert seen == ["1"]
    answers[0].callback("accept")
    assert seen == ["1", "2"]
    answers[1].callback("cancel")
    assert play.run.params["inputResponses"] == {"b": {"action": "accept", "content": {}}, "a": {"action": "cancel"}}
    play.run.answer(text(""))
    outcome(calling)
