"""What a client can be asked, and what it may answer, on paper."""

from __future__ import annotations

from typing import Any

import pytest

from mcpserve.protocol import inputs
from mcpserve.protocol.inputs import (
    InputRequest,
    Root,
    Sampled,
    SamplingMessage,
    ToolOutcome,
    ToolUse,
    declares,
    read_elicitation,
    read_roots,
    read_sampled,
    sampling_message,
    unbalanced,
    undeclared,
)
from mcpserve.protocol.revisions import LEGACY, MODERN, V2024_11_05, V2025_11_25, V2026_07_28
from mcpserve.protocol.types import Audio, Image, Text


def question(*needs: str) -> InputRequest:
    """A question that needs a capability."""
    return InputRequest(key="k", method="m", params=None, needs=needs)


@pytest.mark.parametrize(
    ("capabilities", "needs", "expected"),
    [
        ({}, inputs.FORM, False),
        ({"elicitation": {}}, inputs.FORM, True),
        ({"elicitation": {"form": {}}}, inputs.FORM, True),
        ({"elicitation": {"url": {}}}, inputs.FORM, False),
        ({"elicitation": {"form": {}, "url": {}}}, inputs.URL, True),
        ({"elicitation": {}}, inputs.URL, False),
        ({"elicitation": None}, inputs.FORM, False),
        ({"elicitation": True}, inputs.FORM, False),
        ({"sampling": {}}, inputs.SAMPLING, True),
        ({"sampling": {}}, inputs.SAMPLING_TOOLS, False),
        ({"sampling": {"tools": {}}}, inputs.SAMPLING_TOOLS, True),
        ({"roots": {"listChanged": True}}, inputs.ROOTS, True),
    ],
)
def test_what_a_client_declares(capabilities: dict[str, Any], needs: tuple[str, ...], expected: bool) -> None:
    """An empty elicitation capability is that for forms; anything else is declared by its name."""
    assert declares(capabilities, needs) is expected


def test_what_is_missing_is_told_as_capabilities() -> None:
    """All that is not declared, in one object, and nothing that is."""
    asked = [question(*needs) for needs in (inputs.URL, inputs.FORM, inputs.SAMPLING_TOOLS, inputs.ROOTS)]
    assert undeclared(asked, {"roots": {}}) == {
        "elicitation": {"url": {}, "form": {}},
        "sampling": {"tools": {}},
    }
    assert undeclared([question(*inputs.SAMPLING)], {}) == {"sampling": {}}
    assert undeclared([question(*inputs.ROOTS)], {"roots": {}}) == {}


def test_what_the_revisions_know() -> None:
    """Elicitation since 2025-06-18, its URL mode and the tools of sampling since 2025-11-25, its ids there alone."""
    known = {
        name: (r.elicitation, r.url_elicitation, r.rich_forms, r.sampling_tools, r.elicitation_ids)
        for name, r in (LEGACY | MODERN).items()
    }
    assert known == {
        "2024-11-05": (False, False, False, False, False),
        "2025-03-26": (False, False, False, False, False),
        "2025-06-18": (True, False, False, False, False),
        "2025-11-25": (True, True, True, True, True),
        "2026-07-28": (True, True, True, True, False),
    }


# --- sampling


def test_a_message_on_the_wire() -> None:
    """One block stands alone; several are a list; tools have their own blocks."""
    assert sampling_message(SamplingMessage("user", "Hi"), V2026_07_28) == {
        "role": "user",
        "content": {"type": "text", "text": "Hi"},
    }
    uses = SamplingMessage("assistant", [Text("Let me see"), ToolUse("u1", "look", {"at": 1})])
    assert sampling_message(uses, V2026_07_28)["content"] == [
        {"type": "text", "text": "Let me see"},
        {"type": "tool_use", "id": "u1", "name": "look", "input": {"at": 1}},
    ]
    outcome = ToolOutcome("u1", [Text("seen")], structured=None, is_error=True)
    assert sampling_message(SamplingMessage("user", outcome), V2025_11_25)["content"] == {
        "type": "tool_result",
        "toolUseId": "u1",
        "content": [{"type": "text", "text": "seen"}],
        "structuredContent": None,
        "isError": True,
    }


def test_a_block_that_a_revision_does_not_know() -> None:
    """A sound becomes a text in 2024-11-05."""
    shape = sampling_message(SamplingMessage("user", Audio(b"x")), V2024_11_05)
    assert shape["content"]["type"] == "text"


USE = SamplingMessage("assistant", [ToolUse("1", "a", {}), ToolUse("2", "b", {})])
BOTH = SamplingMessage("user", [ToolOutcome("1", []), ToolOutcome("2", [])])
ONE = SamplingMessage("user", [ToolOutcome("1", [])])


@pytest.mark.parametrize(
    ("messages", "words"),
    [
        ([SamplingMessage("user", "x")], None),
        ([SamplingMessage("user", "x"), USE, BOTH], None),
        ([USE, BOTH, SamplingMessage("assistant", "so"), SamplingMessage("user", "thanks")], None),
        ([USE, ONE], "each use of a tool"),
        ([USE, SamplingMessage("user", "x")], "each use of a tool"),
        ([BOTH], "each use of a tool"),
        ([USE], "have no outcome"),
        ([USE, SamplingMessage("user", [*BOTH.content, Text("x")])], "holds nothing else"),
        ([USE, SamplingMessage("user", [ToolOutcome("1", []), *BOTH.content])], "one outcome for each use"),
        ([USE, SamplingMessage("assistant", BOTH.content)], "a message of the user"),
        ([SamplingMessage("user", USE.content)], "said by the assistant"),
    ],
)
def test_uses_of_tools_have_their_outcomes(messages: list[SamplingMessage], words: str | None) -> None:
    """Every use is followed by a message of outcomes alone, one for each."""
    problem = unbalanced(messages)
    assert problem is None if words is None else words in str(problem)


def test_what_a_model_said() -> None:
    """A single block or several, with their types."""
    single = {"role": "assistant", "content": {"type": "text", "text": "Paris"}, "model": "m", "stopReason": "endTurn"}
    said = read_sampled(single)
    assert said == Sampled(content=(Text("Paris"),), model="m", stop_reason="endTurn")
    assert said.text == "Paris"
    several = [
        {"type": "text", "text": "a"},
        {"type": "image", "data": "AAE=", "mimeType": "image/png"},
        {"type": "audio", "data": "", "mimeType": "audio/wav"},
        {"type": "tool_use", "id": "1", "name": "t", "input": {"x": 1}},
        {"type": "text", "text": "b"},
    ]
    more = read_sampled({"role": "assistant", "content": several, "model": "m"})
    assert more.content[1:3] == (Image(b"\x00\x01", "image/png"), Audio(b"", "audio/wav"))
    assert (more.text, more.tool_uses, more.stop_reason) == ("a\nb", (ToolUse("1", "t", {"x": 1}),), None)
    assert more.message == SamplingMessage("assistant", more.content)


GOOD = {"role": "assistant", "content": {"type": "text", "text": "x"}, "model": "m"}


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (5, "must be an object"),
        ({}, '"role" is missing'),
        ({**GOOD, "role": "system"}, '"role" must be'),
        ({**GOOD, "model": 5}, '"model" must be a string'),
        ({**GOOD, "stopReason": 5}, '"stopReason"'),
        ({**GOOD, "content": "x"}, "must be an object"),
        ({**GOOD, "content": [{"type": "text"}]}, '"text" is missing'),
        ({**GOOD, "content": {"type": "video"}}, "unknown type"),
        ({**GOOD, "content": {"type": []}}, "unknown type"),
        ({**GOOD, "content": {"type": "text", "text": 1}}, '"text" must be a string'),
        ({**GOOD, "content": {"type": "image", "data": "?", "mimeType": "x"}}, "base64"),
        ({**GOOD, "content": {"type": "tool_use", "id": "1", "name": "t", "input": []}}, '"input" must be an object'),
    ],
)
def test_what_no_model_says(value: Any, words: str) -> None:
    """The sentence names the member that is wrong."""
    with pytest.raises(ValueError, match=words):
        read_sampled(value)


# --- elicitation, roots


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ({"action": "accept", "content": {"a": 1}}, ("accept", {"a": 1})),
        ({"action": "accept"}, ("accept", {})),
        ({"action": "accept", "content": None}, ("accept", {})),
        ({"action": "decline", "content": {"a": 1}}, ("decline", {})),
        ({"action": "cancel", "content": 5}, ("cancel", {})),
    ],
)
def test_what_users_do(value: Any, expected: Any) -> None:
    """Only who accepts fills in a form."""
    assert read_elicitation(value) == expected


@pytest.mark.parametrize(
    "value", [12345, None, [], {}, {"action": "yes"}, {"action": []}, {"action": "accept", "content": []}]
)
def test_what_no_user_does(value: Any) -> None:
    """It is refused."""
    with pytest.raises(ValueError, match=r"must be|missing"):
        read_elicitation(value)


def test_roots() -> None:
    """With and without names."""
    value = {"roots": [{"uri": "file:///a", "name": "A"}, {"uri": "file:///b"}]}
    assert read_roots(value) == (Root("file:///a", "A"), Root("file:///b"))


@pytest.mark.parametrize(
    "value",
    [{}, {"roots": {}}, {"roots": [5]}, {"roots": [{"uri": "http://x"}]}, {"roots": [{"uri": "file:///", "name": 5}]}],
)
def test_what_are_no_roots(value: Any) -> None:
    """It is refused: a root is a file: URI."""
    with pytest.raises(ValueError, match=r"must be|missing"):
        read_roots(value)
