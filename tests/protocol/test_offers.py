"""Prompts, resources and completions on the wire, and what a client reads of them."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mcpserve.protocol import offers, reading, wire
from mcpserve.protocol.revisions import V2026_07_28
from mcpserve.protocol.types import (
    Annotations,
    Audio,
    Completion,
    Contents,
    EmbeddedResource,
    Icon,
    Image,
    Message,
    PromptArgument,
    PromptDefinition,
    ResourceDefinition,
    ResourceLink,
    Result,
    Text,
)

TEXTS = st.text(st.characters(exclude_categories=["Cs"]))
URIS = TEXTS.map(lambda text: "a://" + text)
BLOCKS = st.one_of(
    st.builds(Text, TEXTS),
    st.builds(Image, st.binary(), TEXTS),
    st.builds(Audio, st.binary(), TEXTS),
    st.builds(ResourceLink, URIS, TEXTS),
    st.builds(EmbeddedResource, URIS, st.one_of(TEXTS, st.binary()), mime_type=st.none() | TEXTS),
)


@given(st.lists(st.builds(Message, BLOCKS, st.sampled_from(["user", "assistant"]))))
def test_messages(messages: list[Message]) -> None:
    """What was said is what is read."""
    shape = offers.prompt_result("d", messages, V2026_07_28)
    assert reading.messages_of(shape) == messages
    assert shape["description"] == "d"


@given(st.lists(st.builds(Contents, st.one_of(TEXTS, st.binary()), uri=URIS, mime_type=st.none() | TEXTS)))
def test_contents(parts: list[Contents]) -> None:
    """What was given is what is read."""
    assert reading.contents_of(offers.read_result(parts)) == parts


@given(st.lists(BLOCKS), st.booleans())
def test_results(blocks: list[Any], is_error: bool) -> None:
    """The result of a tool, too."""
    result = Result(content=blocks, structured={"a": 1}, is_error=is_error)
    assert reading.result_of(wire.call_result(result, V2026_07_28)) == result


@given(st.lists(TEXTS, max_size=150), st.none() | st.integers(0, 200), st.none() | st.booleans())
def test_completions(values: list[str], total: int | None, more: bool | None) -> None:
    """At most a hundred; that there are more is found out unless it is said."""
    found = reading.completion_of(offers.completion_result(Completion(values, total=total, has_more=more)))
    assert found.values == values[:100]
    assert found.total == (len(values) if total is None else total)
    assert found.has_more == (found.total > len(found.values) if more is None else more)


def test_definitions() -> None:
    """Each member by its name on the wire; what was not said is not there."""
    icon, annotations = Icon(src="https://x/i"), Annotations(priority=1, last_modified="2026-01-01T00:00:00Z")
    argument = PromptArgument(name="a", title="A", description="d", required=True)
    prompt = PromptDefinition(name="n", title="T", description="D", arguments=[argument], icons=[icon], meta={"k": 1})
    assert offers.prompt(prompt, V2026_07_28) == {
        "name": "n",
        "title": "T",
        "description": "D",
        "arguments": [{"name": "a", "title": "A", "description": "d", "required": True}],
        "icons": [{"src": "https://x/i"}],
        "_meta": {"k": 1},
    }
    assert offers.prompt(PromptDefinition(name="n"), V2026_07_28) == {"name": "n"}
    thing = ResourceDefinition(uri="a://b", name="n", mime_type="m", annotations=annotations, icons=[icon], size=0)
    shared = {
        "name": "n",
        "mimeType": "m",
        "annotations": {"priority": 1, "lastModified": "2026-01-01T00:00:00Z"},
        "icons": [{"src": "https://x/i"}],
    }
    assert offers.resource(thing, V2026_07_28) == {"uri": "a://b", "size": 0, **shared}
    assert offers.resource_template(thing, V2026_07_28) == {"uriTemplate": "a://b", **shared}


@pytest.mark.parametrize("missing", ["contents", "messages", "completion"])
def test_what_is_no_result(missing: str) -> None:
    """Whoever reads something else fails at once."""
    with pytest.raises(ValueError):
        {"contents": reading.contents_of, "messages": reading.messages_of, "completion": reading.completion_of}[
            missing
        ]({})
