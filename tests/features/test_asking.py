"""Questions by themselves: what goes out for them, and what authors get for an answer."""

from __future__ import annotations

from typing import Any

import pytest

from mcpserve import Answer, AskError, Elicit, ElicitUrl, ListRoots, Sample, SamplingMessage, ToolError, ToolUse
from mcpserve.features.asking import Question
from mcpserve.protocol.inputs import FORM, ROOTS, SAMPLING, SAMPLING_TOOLS, URL, InputRequest, Sampled
from mcpserve.protocol.revisions import LEGACY, V2025_06_18, V2025_11_25, V2026_07_28
from mcpserve.protocol.types import Text

SCHEMA = {"type": "object", "properties": {"a": {"type": "integer", "minimum": 1}}, "required": ["a"]}
CHOICES = {"type": "object", "properties": {"a": {"type": "array", "items": {"type": "string", "enum": ["x"]}}}}
TOOL = {"name": "look", "inputSchema": {"type": "object"}}


@pytest.mark.parametrize(
    ("question", "method", "params", "needs"),
    [
        (Elicit("M", SCHEMA), "elicitation/create", {"message": "M", "requestedSchema": SCHEMA}, FORM),
        (
            ElicitUrl("M", "https://x.example/y"),
            "elicitation/create",
            {"mode": "url", "message": "M", "url": "https://x.example/y"},
            URL,
        ),
        (
            Sample("Hi"),
            "sampling/createMessage",
            {"messages": [{"role": "user", "content": {"type": "text", "text": "Hi"}}], "maxTokens": 1000},
            SAMPLING,
        ),
        (ListRoots(), "roots/list", None, ROOTS),
    ],
)
def test_what_goes_out(question: Question, method: str, params: Any, needs: Any) -> None:
    """Method, params, and the capability that it takes."""
    asked = question.request("k", V2026_07_28)
    assert asked == InputRequest(key="k", method=method, params=params, needs=needs)


def test_all_options_of_sampling() -> None:
    """By the names of the specification, and none that was not given."""
    question = Sample(
        "Hi",
        max_tokens=5,
        system="s",
        temperature=0.0,
        stop=["."],
        models=["m"],
        cost=0.0,
        speed=0.5,
        intelligence=1.0,
        tools=[TOOL],
        tool_choice="required",
        metadata={"x": 1},
    )
    asked = question.request("k", V2025_11_25)
    assert asked.needs == SAMPLING_TOOLS
    assert asked.params is not None
    assert {name: value for name, value in asked.params.items() if name != "messages"} == {
        "maxTokens": 5,
        "systemPrompt": "s",
        "temperature": 0.0,
        "stopSequences": ["."],
        "modelPreferences": {
            "hints": [{"name": "m"}],
            "costPriority": 0.0,
            "speedPriority": 0.5,
            "intelligencePriority": 1.0,
        },
        "tools": [TOOL],
        "toolChoice": {"mode": "required"},
        "metadata": {"x": 1},
    }


def test_a_conversation_with_open_uses_of_tools() -> None:
    """It is refused where it is made."""
    with pytest.raises(ValueError, match="no outcome"):
        Sample([SamplingMessage("assistant", ToolUse("1", "look", {}))])


@pytest.mark.parametrize(
    ("question", "known"),
    [
        (Elicit("M"), ["2025-06-18", "2025-11-25"]),
        (Elicit("M", CHOICES), ["2025-11-25"]),
        (ElicitUrl("M", "https://x.example"), ["2025-11-25"]),
        (Sample("Hi"), list(LEGACY)),
        (Sample([SamplingMessage("user", [Text("a"), Text("b")])]), ["2025-11-25"]),
        (Sample("Hi", tools=[TOOL]), ["2025-11-25"]),
        (Sample("Hi", tool_choice="none"), ["2025-11-25"]),
        (ListRoots(), list(LEGACY)),
    ],
)
def test_what_the_older_revisions_know(question: Question, known: list[str]) -> None:
    """What one does not know is an error to the author, and says which revision it is."""
    for name, revision in LEGACY.items():
        if name in known:
            question.request("k", revision)
        else:
            with pytest.raises(AskError, match=name):
                question.request("k", revision)


def test_the_ids_of_visits() -> None:
    """2025-11-25 alone has them: the author's, or a random one."""
    named, unnamed = ElicitUrl("M", "https://x.example", "v1"), ElicitUrl("M", "https://x.example")

    def ids(question: ElicitUrl, revision: Any) -> Any:
        params = question.request("k", revision).params
        assert params is not None
        return params.get("elicitationId")

    assert ids(named, V2025_11_25) == "v1"
    assert ids(unnamed, V2025_11_25) != ids(unnamed, V2025_11_25)
    assert ids(named, V2026_07_28) is None


@pytest.mark.parametrize("url", ["", "example.org", "/path", "https://", "mailto:a@b.c"])
def test_urls_that_lead_nowhere(url: str) -> None:
    """A page has an absolute URL."""
    with pytest.raises(ValueError, match="not an absolute URL"):
        ElicitUrl("M", url)


def test_answers() -> None:
    """Of a form, of a page, of a model."""
    accepted = Elicit("M", SCHEMA).read({"action": "accept", "content": {"a": 1, "b": 2}})
    assert (accepted.action, accepted.accepted, accepted.form) == ("accept", True, {"a": 1})
    assert Elicit("M").read({"action": "accept"}).form == {}
    assert ElicitUrl("M", "https://x.example").read({"action": "accept"}) == Answer("accept")
    said = Sample("Hi").read({"role": "assistant", "content": {"type": "text", "text": "x"}, "model": "m"})
    assert said == Sampled(content=(Text("x"),), model="m")
    with pytest.raises(ValueError, match="a: "):
        Elicit("M", SCHEMA).read({"action": "accept", "content": {"a": 0}})
    with pytest.raises(ValueError, match="required"):
        Elicit("M", SCHEMA).read({"action": "accept"})


@pytest.mark.parametrize(("action", "words"), [("decline", "declined to answer"), ("cancel", "dismissed the question")])
def test_users_who_do_not_agree(action: Any, words: str) -> None:
    """There is no form; who takes it all the same fails with a sentence for the model."""
    answer = Elicit("M", SCHEMA).read({"action": action})
    assert (answer.action, answer.accepted) == (action, False)
    with pytest.raises(ToolError, match=words):
        assert answer.form


def test_titles_go_out_as_the_revision_has_them() -> None:
    """2025-06-18 has names beside an enum."""
    titled = {"type": "string", "oneOf": [{"const": "x", "title": "X"}]}
    question = Elicit("M", {"type": "object", "properties": {"a": titled}})
    params = question.request("k", V2025_06_18).params
    assert params is not None
    assert params["requestedSchema"]["properties"]["a"] == {"type": "string", "enum": ["x"], "enumNames": ["X"]}
