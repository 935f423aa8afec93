"""Lists: all pages, kept for as long as they hold; and the headers that calls carry."""

from __future__ import annotations

from typing import Any

import pytest
from twisted.internet.defer import CancelledError
from twisted.logger import globalLogPublisher

from mcpserve.client import Limits, Text, Timeouts
from mcpserve.errors import AnswerTooLarge, BadAnswer, DeadlinePassed, RemoteError
from mcpserve.protocol.jsonrpc import Response
from tests.client.scripted import V2025_11_25, Play, begun, now, outcome, text

METHODS = {
    "list_tools": ("tools/list", "tools", {"name": "a", "inputSchema": {}}),
    "list_prompts": ("prompts/list", "prompts", {"name": "a"}),
    "list_resources": ("resources/list", "resources", {"name": "a", "uri": "a:b"}),
    "list_resource_templates": ("resources/templates/list", "resourceTemplates", {"name": "a", "uriTemplate": "a:b"}),
}
EACH = pytest.mark.parametrize("ask", METHODS)


def tool(name: str = "a", **properties: Any) -> dict[str, Any]:
    """A tool with these parameters."""
    return {"name": name, "inputSchema": {"type": "object", "properties": properties}}


def page(*tools: Any, **more: Any) -> dict[str, Any]:
    """A page of tools."""
    return {"tools": list(tools), **more}


REGION = {"type": "string", "x-mcp-header": "Region"}


@pytest.fixture
def warnings() -> Any:
    """What is logged as a warning, as text."""
    seen: list[str] = []

    def observe(event: Any) -> None:
        if event["log_level"].name == "warn":
            seen.append(event["log_format"].format(**event))

    globalLogPublisher.addObserver(observe)
    yield seen
    globalLogPublisher.removeObserver(observe)


# --- pages


@EACH
def test_all_pages(ask: str) -> None:
    """Pages are asked for by their cursors, as they came, an empty one too, until none is named."""
    method, member, shape = METHODS[ask]
    play = Play(
        replies={
            method: [
                {member: [shape], "nextCursor": ""},
                {member: [], "nextCursor": "é/+="},
                {member: [shape], "nextCursor": None},
            ]
        }
    )
    found = now(getattr(play.client, ask)())
    assert [one.name for one in found] == ["a", "a"]
    assert [dict(run.params) for run in play.runs] == [{}, {"cursor": ""}, {"cursor": "é/+="}]
    assert all(run.outgoing.repeatable for run in play.runs)


def test_pages_without_end() -> None:
    """A list that leads in a circle, or goes on for ever, is given up."""
    play = Play(replies={"tools/list": lambda _: page(nextCursor="again")})
    with pytest.raises(BadAnswer, match="leads nowhere"):
        now(play.client.list_tools())
    numbers = iter(range(100))
    play = Play(limits=Limits(pages=5), replies={"tools/list": lambda _: page(nextCursor=str(next(numbers)))})
    with pytest.raises(AnswerTooLarge, match="5 pages"):
        now(play.client.list_tools())
    assert len(play.runs) == 5


def test_pages_that_are_large_together() -> None:
    """Each of them is within the limit of a body, and so are all of them but the last, or the list is given up."""
    large = page({"name": "a", "inputSchema": {}, "description": "x" * 600})
    three = [large | {"nextCursor": "1"}, large | {"nextCursor": "2"}, large]
    assert len(now(Play(limits=Limits(body=1500), replies={"tools/list": list(three)}).client.list_tools())) == 3
    play = Play(limits=Limits(body=1000), replies={"tools/list": list(three)})
    with pytest.raises(AnswerTooLarge, match="1000 bytes"):
        now(play.client.list_tools())
    assert len(play.runs) == 2


def test_a_cursor_that_has_gone_stale() -> None:
    """The list is asked for from its beginning, once."""
    stale = Response(1, error={"code": -32602, "message": "unknown cursor"})
    pages = [page(tool("a"), nextCursor="1"), stale, page(tool("b"), nextCursor="2"), page(tool("c"))]
    play = Play(replies={"tools/list": pages})
    assert [one.name for one in now(play.client.list_tools())] == ["b", "c"]
    play = Play(replies={"tools/list": [page(nextCursor="1"), stale, page(nextCursor="1"), stale]})
    with pytest.raises(RemoteError):
        now(play.client.list_tools())


@pytest.mark.parametrize("result", [{}, {"tools": {}}, page(nextCursor=3)])
def test_what_is_no_list(result: Any) -> None:
    """It is a BadAnswer."""
    with pytest.raises(BadAnswer):
        now(Play(replies={"tools/list": result}).client.list_tools())


def test_a_definition_that_is_broken(warnings: list[str]) -> None:
    """It is left out with a warning, so that the others can be used."""
    play = Play(replies={"tools/list": page(tool("a"), {"name": "broken"}, 3)})
    assert [one.name for one in now(play.client.list_tools())] == ["a"]
    assert warnings == [
        "tools/list: 'broken' is left out: \"inputSchema\" is missing",
        "tools/list: something without a name is left out: it must be an object",
    ]


def test_the_deadline_of_a_list() -> None:
    """It is that of all its pages together."""
    play = Play(timeouts=Timeouts(total=10))
    listing = begun(play.client.list_tools())
    play.clock.advance(6)
    play.run.answer(page(nextCursor="1"))
    play.clock.advance(4)
    with pytest.raises(DeadlinePassed):
        outcome(listing)
    assert play.run.cancelled == ["it took too long"]


# --- what is kept


@pytest.mark.parametrize("lives", [(60_000, 5000), (5000, 60_000)])
def test_a_list_holds_for_its_time(lives: tuple[int, int]) -> None:
    """For the shortest time that any of its pages holds, and not a moment longer."""
    pages = [page(tool("a"), nextCursor="1", ttlMs=lives[0]), page(tool("b"), ttlMs=lives[1])]
    play = Play(replies={"tools/list": lambda out: pages[1 if out.params else 0]})
    first = now(play.client.list_tools())
    play.clock.advance(4.9)
    assert now(play.client.list_tools()) is first
    assert len(play.runs) == 2
    play.clock.advance(0.1)
    now(play.client.list_tools())
    assert len(play.runs) == 4


@pytest.mark.parametrize("hints", [{}, {"ttlMs": 0}, {"ttlMs": -5}, {"ttlMs": "60"}, {"ttlMs": True}])
def test_a_list_that_does_not_say_how_long_it_holds(hints: Any) -> None:
    """It is asked for each time."""
    play = Play(replies={"tools/list": page(**hints)})
    now(play.client.list_tools())
    now(play.client.list_tools())
    assert len(play.runs) == 2


def test_fresh() -> None:
    """The user may ask all the same."""
    play = Play(replies={"tools/list": page(ttlMs=60_000)})
    now(play.client.list_tools())
    now(play.client.list_tools(fresh=True))
    now(play.client.list_tools())
    assert len(play.runs) == 2


@pytest.mark.parametrize(
    ("notice", "asks"),
    [
        ("tools/list_changed", ["list_tools"]),
        ("prompts/list_changed", ["list_prompts"]),
        ("resources/list_changed", ["list_resources", "list_resource_templates"]),
        ("resources/updated", []),
    ],
)
def test_a_notice_ends_it(notice: str, asks: list[str]) -> None:
    """What a notice is about is asked for again, and nothing else; wherever the notice came."""
    play = Play(replies={method: {member: [], "ttlMs": 60_000} for method, member, _ in METHODS.values()})
    for ask in METHODS:
        now(getattr(play.client, ask)())
    play.tell(notice)
    play.runs.clear()
    for ask in METHODS:
        now(getattr(play.client, ask)())
    assert [run.outgoing.method for run in play.runs] == [METHODS[ask][0] for ask in asks]


def test_a_notice_while_the_list_is_on_its_way() -> None:
    """What was asked for before the notice is given to who asked, but not kept; who asks after it asks anew."""
    play = Play()
    before = begun(play.client.list_tools())
    play.tell("tools/list_changed")
    after = begun(play.client.list_tools())
    assert len(play.runs) == 2
    play.runs[1].answer(page(tool("new"), ttlMs=60_000))
    play.runs[0].answer(page(tool("old"), ttlMs=60_000))
    assert [one.name for one in outcome(before)] == ["old"]
    assert [one.name for one in outcome(after)] == ["new"]
    assert [one.name for one in now(play.client.list_tools())] == ["new"]


def test_several_who_want_the_same() -> None:
    """They share one request; it is cancelled when the last of them gives up, and not before."""
    play = Play()
    one, other = begun(play.client.list_tools()), begun(play.client.list_tools())
    assert len(play.runs) == 1
    one.cancel()
    with pytest.raises(CancelledError):
        outcome(one)
    assert play.run.cancelled == []
    other.cancel()
    with pytest.raises(CancelledError):
        outcome(other)
    assert play.run.cancelled == [None]
    third = begun(play.client.list_tools())
    assert len(play.runs) == 2
    play.run.answer(page())
    assert outcome(third) == ()


# --- headers


def test_headers_of_calls() -> None:
    """A call carries the headers that the tool's definition wants, as soon as that is known."""
    definition = tool(
        region=REGION,
        count={"type": "integer", "x-mcp-header": "Count"},
        dry={"type": "boolean", "x-mcp-header": "Dry"},
        deep={"type": "object", "properties": {"down": {"type": "string", "x-mcp-header": "Down"}}},
        plain={"type": "string"},
    )
    play = Play(replies={"tools/list": page(definition), "tools/call": text("")})
    arguments = {"region": "Zürich", "count": 3.0, "dry": True, "deep": {"down": ""}, "plain": "x"}
    now(play.client.call_tool("a", arguments))
    assert play.run.outgoing.mirrored == {}
    now(play.client.list_tools())
    now(play.client.call_tool("a", arguments))
    assert play.run.outgoing.mirrored == {
        "mcp-param-region": "=?base64?WsO8cmljaA==?=",
        "mcp-param-count": "3",
        "mcp-param-dry": "true",
        "mcp-param-down": "",
    }
    now(play.client.call_tool("a", {"region": None, "count": 2**53, "deep": 3}))
    assert play.run.outgoing.mirrored == {}
    now(play.client.call_tool("another", arguments))
    assert play.run.outgoing.mirrored == {}


@pytest.mark.parametrize(
    "options", [{"transport": "stdio"}, {"revision": V2025_11_25}, {"revision": V2025_11_25, "transport": "http+sse"}]
)
def test_no_headers_elsewhere(options: Any) -> None:
    """Only HTTP since 2026-07-28 has them, and only there an invalid annotation makes a tool invalid."""
    broken = tool("broken", x={"type": "number", "x-mcp-header": ""})
    play = Play(**options, replies={"tools/list": page(tool(region=REGION), broken), "tools/call": text("")})
    assert [one.name for one in now(play.client.list_tools())] == ["a", "broken"]
    now(play.client.call_tool("a", {"region": "x"}))
    assert play.run.outgoing.mirrored == {}


@pytest.mark.parametrize(
    "parameters",
    [
        {"x": {"type": "string", "x-mcp-header": ""}},
        {"x": {"type": "string", "x-mcp-header": {}}},
        {"x": {"type": "string", "x-mcp-header": None}},
        {"x": {"type": "number", "x-mcp-header": "X"}},
        {"x": {"type": "string", "x-mcp-header": "a b"}},
        {"x": {"type": "string", "x-mcp-header": "X"}, "y": {"type": "string", "x-mcp-header": "x"}},
        {"x": {"type": "array", "items": {"type": "string", "x-mcp-header": "X"}}},
    ],
)
def test_tools_with_invalid_headers(parameters: Any, warnings: list[str]) -> None:
    """They are left out, with a warning that names the tool and the reason; the others are there."""
    play = Play(replies={"tools/list": page(tool("bad", **parameters), tool("good"))})
    assert [one.name for one in now(play.client.list_tools())] == ["good"]
    assert len(warnings) == 1
    assert "'bad' is left out" in warnings[0]
    assert "x-mcp-header" in warnings[0]


def test_schemas_are_passed_on() -> None:
    """A schema comes to the user as it is, and what it refers to is not looked up."""
    schema = {"$schema": "x", "$ref": "https://evil.example/s", "$defs": {"a": {"$anchor": "b"}}, "x-odd": [1]}
    play = Play(replies={"tools/list": page({"name": "a", "inputSchema": schema})})
    assert now(play.client.list_tools())[0].input_schema == schema
    assert len(play.runs) == 1


MISMATCH = Response(1, error={"code": -32020, "message": "The header Mcp-Param-Region is missing"})


def test_headers_that_are_wrong() -> None:
    """One look at the list of tools as it is now, and one more try."""
    play = Play(replies={"tools/list": page(tool(region=REGION), ttlMs=60_000), "tools/call": [MISMATCH, text("ok")]})
    assert now(play.client.call_tool("a", {"region": "x"})).content == [Text("ok")]
    assert [run.outgoing.method for run in play.runs] == ["tools/call", "tools/list", "tools/call"]
    assert play.run.outgoing.mirrored == {"mcp-param-region": "x"}


def test_headers_that_stay_wrong() -> None:
    """The second refusal is the answer; and if the list is as it was, the first one."""
    play = Play(replies={"tools/list": page(tool(region=REGION)), "tools/call": [MISMATCH, MISMATCH]})
    with pytest.raises(RemoteError):
        now(play.client.call_tool("a", {"region": "x"}))
    assert len(play.sent("tools/call")) == 2
    play.replies["tools/call"] = [MISMATCH]
    with pytest.raises(RemoteError):
        now(play.client.call_tool("a", {"region": "x"}))
    assert len(play.sent("tools/call")) == 3
    assert len(play.sent("tools/list")) == 2


def test_no_second_look_elsewhere() -> None:
    """Where there are no headers the error is the answer."""
    play = Play(V2025_11_25, replies={"tools/call": MISMATCH})
    with pytest.raises(RemoteError):
        now(play.client.call_tool("a"))
    assert len(play.runs) == 1
