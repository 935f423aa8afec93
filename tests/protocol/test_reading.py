"""What a client makes of what a server sends: every value, whatever else it holds, and back again."""

from __future__ import annotations

import base64
from collections.abc import Callable
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mcpserve.protocol import offers, reading, wire
from mcpserve.protocol.revisions import V2026_07_28
from mcpserve.protocol.types import (
    ABSENT,
    Annotations,
    Contents,
    EmbeddedResource,
    Image,
    Message,
    ResourceLink,
    Result,
    Text,
    Unknown,
)

# --- shapes as servers may send them: what must be there, what may be there, and what nobody knows

NAMES = st.text(max_size=8)
ODD = st.one_of(
    st.none(), st.booleans(), st.integers(-5, 5), NAMES, st.lists(st.integers(0, 9), max_size=2), st.just({})
)
BASE64 = st.binary(max_size=9).map(lambda data: base64.b64encode(data).decode("ascii"))
OBJECTS = st.dictionaries(NAMES, ODD, max_size=2)


def shapes(
    required: dict[str, st.SearchStrategy[Any]], optional: dict[str, st.SearchStrategy[Any]]
) -> st.SearchStrategy[dict[str, Any]]:
    """Objects with the required members, some of the optional ones, right or odd, and some that have no name here."""
    known = st.fixed_dictionaries(required, optional={name: value | ODD for name, value in optional.items()})
    unknown = st.dictionaries(st.sampled_from(["x-one", "xTwo", "~"]), ODD, max_size=2)
    return st.builds(lambda a, b: {**b, **a}, known, unknown)


HINTS = shapes(
    {},
    {
        "audience": st.lists(st.sampled_from(["user", "assistant"]), max_size=2),
        "priority": st.floats(0, 1),
        "lastModified": NAMES,
    },
)
ICONS = st.lists(
    shapes({"src": NAMES}, {"mimeType": NAMES, "sizes": st.lists(NAMES, max_size=2), "theme": st.just("dark")}),
    max_size=2,
)
ON_BLOCKS = {"annotations": HINTS, "_meta": OBJECTS}
DESCRIBED = {"title": NAMES, "description": NAMES, "icons": ICONS, "_meta": OBJECTS}
OF_RESOURCES = {**DESCRIBED, "mimeType": NAMES, "annotations": HINTS}
INSIDE = shapes({"uri": NAMES, "text": NAMES}, {"mimeType": NAMES, "_meta": OBJECTS}) | shapes(
    {"uri": NAMES, "blob": BASE64}, {"mimeType": NAMES, "_meta": OBJECTS}
)
BLOCKS = st.one_of(
    shapes({"type": st.just("text"), "text": NAMES}, ON_BLOCKS),
    shapes({"type": st.sampled_from(["image", "audio"]), "data": BASE64, "mimeType": NAMES}, ON_BLOCKS),
    shapes(
        {"type": st.just("resource_link"), "uri": NAMES, "name": NAMES}, {**OF_RESOURCES, "size": st.integers(0, 2**53)}
    ),
    shapes({"type": st.just("resource"), "resource": INSIDE}, ON_BLOCKS),
    shapes({"type": st.just("hologram")}, {"depth": st.integers(-(2**53), 2**53), "annotations": HINTS}),
)
RESULTS = shapes(
    {"content": st.lists(BLOCKS, max_size=3)},
    {"structuredContent": OBJECTS | st.integers(-(2**53), 2**53), "_meta": OBJECTS},
)
TOOLS = shapes(
    {"name": NAMES, "inputSchema": OBJECTS},
    {
        **DESCRIBED,
        "outputSchema": OBJECTS,
        "annotations": shapes({}, {"title": NAMES, "readOnlyHint": st.booleans(), "openWorldHint": st.booleans()}),
    },
)
ARGUMENTS = st.lists(
    shapes({"name": NAMES}, {"title": NAMES, "description": NAMES, "required": st.booleans()}), max_size=2
)
PROMPTS = shapes({"name": NAMES}, {**DESCRIBED, "arguments": ARGUMENTS})
RESOURCES = shapes({"uri": NAMES, "name": NAMES}, {**OF_RESOURCES, "size": st.integers(0, 2**53)})
TEMPLATES = shapes({"uriTemplate": NAMES, "name": NAMES}, OF_RESOURCES)
SERVERS = shapes(
    {"name": NAMES, "version": NAMES}, {"title": NAMES, "description": NAMES, "websiteUrl": NAMES, "icons": ICONS}
)
MESSAGES = shapes({"role": st.sampled_from(["user", "assistant"]), "content": BLOCKS}, {})


def same(one: Any, other: Any) -> bool:
    """Whether two values are the same JSON; 1 and 1.0 and true are not."""
    return orjson.dumps(one, option=orjson.OPT_SORT_KEYS) == orjson.dumps(other, option=orjson.OPT_SORT_KEYS)


@given(RESULTS, st.sampled_from([{}, {"isError": True}, {"isError": False}, {"isError": None}]))
def test_results_come_back_as_they_came(shape: dict[str, Any], failed: dict[str, Any]) -> None:
    """Writing a result that was read gives the JSON that came, whatever unknown or odd members it had."""
    shape.update(failed)
    assert same(wire.call_result(reading.result_of(shape), V2026_07_28), shape)


@given(TOOLS)
def test_tools_come_back_as_they_came(shape: dict[str, Any]) -> None:
    """Writing a tool that was read gives the JSON that came."""
    assert same(wire.tool(reading.tool_of(shape), V2026_07_28), shape)


@given(PROMPTS)
def test_prompts_come_back_as_they_came(shape: dict[str, Any]) -> None:
    """Writing a prompt that was read gives the JSON that came."""
    assert same(offers.prompt(reading.prompt_of(shape), V2026_07_28), shape)


@given(RESOURCES, TEMPLATES)
def test_resources_come_back_as_they_came(resource: dict[str, Any], template: dict[str, Any]) -> None:
    """Writing a resource or a template that was read gives the JSON that came."""
    assert same(offers.resource(reading.resource_of(resource), V2026_07_28), resource)
    assert same(offers.resource_template(reading.template_of(template), V2026_07_28), template)


@given(SERVERS)
def test_implementations_come_back_as_they_came(shape: dict[str, Any]) -> None:
    """Writing the name and version of a server that was read gives the JSON that came."""
    assert same(wire.implementation(reading.implementation_of(shape)), shape)


@given(st.lists(MESSAGES, max_size=2), st.lists(INSIDE, max_size=2))
def test_messages_and_contents_come_back_as_they_came(
    messages: list[dict[str, Any]], contents: list[dict[str, Any]]
) -> None:
    """Writing the messages of a prompt or the contents of a resource that were read gives the JSON that came."""
    read = reading.messages_of({"messages": messages})
    assert same(offers.prompt_result(None, read, V2026_07_28)["messages"], messages)
    assert same(offers.read_result(reading.contents_of({"contents": contents}))["contents"], contents)


@given(
    shapes({"values": st.lists(NAMES, max_size=3), "total": st.integers(-(2**53), 2**53), "hasMore": st.booleans()}, {})
)
def test_completions_come_back_as_they_came(shape: dict[str, Any]) -> None:
    """Writing suggestions that were read with their number gives the JSON that came."""
    assert same(offers.completion_result(reading.completion_of({"completion": shape})), {"completion": shape})


# --- what is seen of them


def test_known_members_have_their_names() -> None:
    """A result of each kind of block is read into our values."""
    shape = {
        "resultType": "complete",
        "content": [
            {"type": "text", "text": "a", "annotations": {"priority": 1}, "_meta": {"k": 1}},
            {"type": "image", "data": "AP8=", "mimeType": "image/gif"},
            {"type": "resource_link", "uri": "file:///a", "name": "a", "size": 3},
            {"type": "resource", "resource": {"uri": "file:///a", "blob": "/w==", "mimeType": "x/y"}},
            {"type": "hologram", "depth": 3},
        ],
        "structuredContent": None,
        "isError": True,
        "_meta": {"k": 2},
        "cost": 7,
    }
    result = reading.result_of(shape)
    assert result == Result(
        content=[
            Text("a", annotations=Annotations(priority=1), meta={"k": 1}),
            Image(b"\x00\xff", "image/gif"),
            ResourceLink("file:///a", "a", size=3),
            EmbeddedResource("file:///a", b"\xff", mime_type="x/y"),
            Unknown("hologram", {"depth": 3}),
        ],
        structured=None,
        is_error=True,
        meta={"k": 2},
        extra={"cost": 7},
    )
    assert reading.result_of({"content": []}).structured is ABSENT


def test_null_is_as_good_as_nothing() -> None:
    """Servers that write null for what they do not say are understood."""
    tool = reading.tool_of({"name": "a", "title": None, "inputSchema": {}, "outputSchema": None, "annotations": None})
    assert (tool.title, tool.output_schema) == (None, None)
    assert reading.contents_of({"contents": [{"uri": "a:b", "text": "", "mimeType": None}]}) == [
        Contents("", uri="a:b", extra={"mimeType": None})
    ]


def test_structured_content_alone() -> None:
    """A result may do without content if there is structured content."""
    assert reading.result_of({"structuredContent": {"a": 1}}) == Result(content=[], structured={"a": 1})


def test_base64_in_lines() -> None:
    """Base64 may be broken into lines, as mail has it."""
    assert reading.content_of({"type": "image", "data": "AP\r\n8=\n", "mimeType": "a/b"}) == Image(b"\x00\xff", "a/b")


@pytest.mark.parametrize(
    ("read", "shape", "words"),
    [
        (reading.result_of, [], "it must be an object"),
        (reading.result_of, {}, '"content" is missing'),
        (reading.result_of, {"content": {}}, '"content" must be an array'),
        (reading.result_of, {"content": [], "isError": "no"}, '"isError" must be true or false'),
        (reading.result_of, {"content": [{"type": "text", "text": "a"}, 3]}, "content[1]: it must be an object"),
        (reading.content_of, {"text": "a"}, '"type" is missing'),
        (reading.content_of, {"type": "text", "text": 3}, '"text" must be a string'),
        (reading.content_of, {"type": "image", "data": "A", "mimeType": "a/b"}, '"data" must be base64'),
        (reading.content_of, {"type": "image", "data": "é", "mimeType": "a/b"}, '"data" must be base64'),
        (reading.content_of, {"type": "audio", "data": ""}, '"mimeType" is missing'),
        (reading.content_of, {"type": "resource", "resource": {"uri": "a:b"}}, '"text" or "blob" is missing'),
        (reading.contents_of, {"contents": [{"text": ""}]}, 'contents[0]: "uri" is missing'),
        (reading.messages_of, {"messages": [{"role": "system", "content": {}}]}, 'messages[0]: "role" must be'),
        (reading.messages_of, {"messages": [{"role": "user", "content": "a"}]}, 'messages[0]: "content" must be an'),
        (reading.completion_of, {"completion": {"values": [1]}}, '"values" must be an array of strings'),
        (reading.tool_of, {"name": "a"}, '"inputSchema" is missing'),
        (reading.prompt_of, {"name": None}, '"name" must be a string'),
        (reading.resource_of, {"name": "a"}, '"uri" is missing'),
        (reading.template_of, {"uri": "a", "name": "a"}, '"uriTemplate" is missing'),
        (reading.implementation_of, {"name": "a", "version": 1}, '"version" must be a string'),
    ],
)
def test_what_is_wrong_is_named(read: Callable[[Any], Any], shape: Any, words: str) -> None:
    """What a value can't be without is missed by name."""
    with pytest.raises(ValueError) as caught:
        read(shape)
    assert words in str(caught.value)


def test_extra_is_not_seen_where_there_is_none() -> None:
    """Values without further members are shown, compared and hashed as before."""
    assert repr(Text("a")) == "Text(text='a', annotations=None, meta=None)"
    assert hash(Text("a", extra={"k": 1})) == hash(Text("a"))
    assert Text("a", extra={"k": 1}) != Text("a")
    assert Message("a").extra == {}
