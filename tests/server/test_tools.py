"""tools/list and tools/call."""

from __future__ import annotations

import base64
import functools
from collections.abc import Callable
from typing import Annotated, Any

import orjson
import pytest
from twisted.internet.defer import Deferred

from mcpserve import Arg, Call, Stream, ToolError, tool
from mcpserve.errors import InvalidParams
from mcpserve.features.call import Cause
from mcpserve.features.catalog import Catalog
from mcpserve.features.tool import build
from mcpserve.protocol.revisions import V2025_03_26, V2025_11_25
from tests.server.desk import Desk


@tool
def add(a: float, b: float) -> float:
    """Add two numbers."""
    return a + b


@tool
def shout(text: Annotated[str, Arg("What", header="Text")] = "hey") -> str:
    """Shout."""
    return text.upper()


@tool
def hold(stream: Stream) -> None:
    """Never end."""


@tool(max_concurrent=2)
async def scarce(call: Call, how: str = "wait") -> str:
    """Only two at once."""
    if how == "raise":
        raise ValueError
    if how == "wait":
        await call.sleep(5)
    return how


# --- tools/list


def test_the_list() -> None:
    """All tools in their order, with caching hints in the modern revision only."""
    desk = Desk(shout, add)
    result = desk.ask("tools/list").result
    assert [t["name"] for t in result["tools"]] == ["shout", "add"]
    assert (result["ttlMs"], result["cacheScope"], result["resultType"]) == (60_000, "public", "complete")
    assert "nextCursor" not in result
    legacy = desk.ask("tools/list", revision=V2025_11_25).result
    assert legacy == {"tools": result["tools"]}


def test_pages_of_the_list() -> None:
    """Each page names the next; the pages together are the list, in both eras."""
    desk = Desk(shout, add, hold, page_size=1)
    for revision in (V2025_11_25, None):
        names, params = [], {}
        for _ in range(3):
            result = desk.ask("tools/list", params, *([revision] if revision else [])).result
            names += [t["name"] for t in result["tools"]]
            params = {"cursor": result.get("nextCursor")}
        assert names == ["shout", "add", "hold"]
        assert params == {"cursor": None}


@pytest.mark.parametrize("cursor", ["x", 5, True, [], {}])
def test_bad_cursors(cursor: Any) -> None:
    """They are the params' fault."""
    assert Desk(add).ask("tools/list", {"cursor": cursor}).error[0] == -32602


def test_pages_that_nobody_comes_to_are_not_kept() -> None:
    """Each tool has a cursor; only those that end a page are worth the memory."""
    desk = Desk(shout, add, hold, scarce, page_size=2)
    desk.ask("tools/list")
    for name in (b"shout", b"add", b"hold", b"scarce"):
        cursor = base64.urlsafe_b64encode(name).decode().rstrip("=")
        assert "tools" in desk.ask("tools/list", {"cursor": cursor}).result
    assert len([page for page in desk.tools.catalog.encoded.values() if page is not None]) == 2


def test_an_encoded_list_is_kept_until_the_catalogue_changes() -> None:
    """It is encoded once, and anew for another catalogue."""
    desk = Desk(add)
    desk.ask("tools/list")
    kept = dict(desk.tools.catalog.encoded)
    desk.ask("tools/list")
    assert len(kept) == 1
    assert all(desk.tools.catalog.encoded[key] is page for key, page in kept.items())
    desk.tools.catalog = Catalog([build(shout, "new.py")])
    assert [t["name"] for t in desk.ask("tools/list").result["tools"]] == ["shout"]
    assert desk.tools.catalog.get("add") is None


def test_each_revision_has_its_own_list() -> None:
    """What one revision can't carry is missing in its list only, whoever asked first."""
    desk = Desk(add)
    for revision, carried in ((V2025_03_26, False), (V2025_11_25, True), (V2025_03_26, False)):
        (definition,) = desk.ask("tools/list", revision=revision).result["tools"]
        assert ("outputSchema" in definition) == carried


def test_running_calls_keep_their_tool() -> None:
    """A tool that is gone from the catalogue goes on where it runs, and is unknown for new calls."""
    desk = Desk(scarce)
    asked = desk.call("scarce")
    desk.tools.catalog = Catalog()
    assert desk.call("scarce").error == (-32602, "Unknown tool: scarce")
    desk.clock.advance(5)
    assert asked.text == "wait"
    assert desk.nothing_left()


# --- tools/call


@pytest.mark.parametrize("arguments", [{"a": 1, "b": 2.5}, {"b": 2.5, "a": 1}])
def test_a_call(arguments: dict[str, Any]) -> None:
    """Arguments by name, the result structured and as text."""
    result = Desk(add).call("add", **arguments).result
    assert result["structuredContent"] == {"result": 3.5}
    assert orjson.loads(result["content"][0]["text"]) == 3.5
    assert result["resultType"] == "complete"


@pytest.mark.parametrize("params", [{"name": "shout"}, {"name": "shout", "arguments": None}])
def test_no_arguments(params: dict[str, Any]) -> None:
    """They may be missing, which is the same as none."""
    assert Desk(shout).ask("tools/call", params).text == "HEY"


def test_a_legacy_call() -> None:
    """It has nothing in its result that the revision does not know."""
    result = Desk(add).ask("tools/call", {"name": "add", "arguments": {"a": 1, "b": 1}}, V2025_03_26).result
    assert result == {"content": [{"type": "text", "text": "2.0"}]}


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"name": "nope"}, "Unknown tool: nope"),
        ({"name": "n" * 500}, "Unknown tool: " + "n" * 128),
        ({"name": "add", "arguments": []}, "arguments must be an object"),
        ({"name": "add", "arguments": "a=1"}, "arguments must be an object"),
        ({"name": 5}, "params.name must be a string"),
        ({}, "params.name must be a string"),
    ],
)
def test_params_that_do_not_fit(params: dict[str, Any], message: str) -> None:
    """They are protocol errors, as no tool was reached."""
    assert Desk(add).ask("tools/call", params).error == (-32602, message)


def test_arguments_that_do_not_fit() -> None:
    """They are a result that the model can mend, which names what is wrong; the tool is not called."""
    called: list[int] = []

    @tool
    def t(n: int, m: int) -> None:
        """Count."""
        called.append(n)

    asked = Desk(t).call("t", n="x")
    assert asked.result["isError"] is True
    assert asked.text.startswith("Invalid arguments: ")
    assert '"m" is a required property' in asked.text
    assert "n:" in asked.text
    assert called == []


@pytest.mark.parametrize(
    ("arguments", "headers", "fits"),
    [
        ({"text": "a"}, {"mcp-param-text": "a"}, True),
        ({}, {}, True),
        ({"text": "a"}, {}, False),
        ({"text": "a"}, {"mcp-param-text": "b"}, False),
        ({}, {"mcp-param-text": "a"}, False),
        ({"text": "a"}, None, True),
    ],
)
def test_mirrored_arguments(arguments: dict[str, Any], headers: dict[str, str] | None, fits: bool) -> None:
    """Headers must say what the body says, where the transport has headers."""
    mirrored = None if headers is None else {"mcp-name": "shout", **headers}
    asked = Desk(shout).ask("tools/call", {"name": "shout", "arguments": arguments}, mirrored=mirrored)
    if fits:
        assert "isError" not in asked.result
    else:
        assert asked.error[0] == -32020


# --- the short way of a plain tool


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (ToolError("No."), "No."),
        (ValueError("secret"), "The tool failed; the server's log has the reason under id "),
        (SystemExit("secret"), "The tool failed; the server's log has the reason under id "),
        (ToolError("\ud800"), "The tool failed; the server's log has the reason under id "),
    ],
)
def test_a_plain_tool_that_raises(error: BaseException, text: str) -> None:
    """The same as for any other."""

    @tool
    def t() -> None:
        """Raise."""
        raise error

    desk = Desk(t)
    asked = desk.call("t")
    assert asked.result["isError"] is True
    assert asked.text.startswith(text)
    assert "secret" not in asked.text
    assert desk.nothing_left()


@pytest.mark.parametrize("value", [object(), "\ud800", float("inf")])
def test_a_plain_tool_that_returns_nonsense(value: Any) -> None:
    """It has failed as if it had raised."""

    @tool
    def t() -> Any:
        """Return."""
        return value

    asked = Desk(t).call("t")
    assert asked.result["isError"] is True
    assert "under id" in asked.text


def test_a_plain_tool_that_raises_a_protocol_error() -> None:
    """It is an error of the request."""

    @tool
    def t() -> None:
        """Raise."""
        raise InvalidParams("wrong", {"k": 1})

    assert Desk(t).call("t").carrier.replies[0]["error"] == {"code": -32602, "message": "wrong", "data": {"k": 1}}


@pytest.mark.parametrize("kind", ["deferred", "wrapped"])
def test_a_plain_function_that_gives_something_to_wait_for(kind: str) -> None:
    """A Deferred, or the coroutine of a function that hides behind a decorator."""
    waiting: Deferred[str] = Deferred()

    async def inner() -> str:
        return await waiting

    @functools.wraps(inner)
    def outer() -> Any:
        return inner() if kind == "wrapped" else waiting

    desk = Desk(tool(name="t")(outer))
    asked = desk.call("t")
    assert len(desk.calls.running) == 1
    waiting.callback("late")
    assert asked.text == "late"
    assert desk.nothing_left()


# --- how many at once

ENDINGS: dict[str, Callable[[Desk, Any], object]] = {
    "returns": lambda desk, asked: desk.clock.advance(5),
    "lost": lambda desk, asked: asked.exchange.lost(),
    "withdrawn": lambda desk, asked: asked.exchange.withdraw(),
    "overrun": lambda desk, asked: asked.exchange.overrun(),
    "shutdown": lambda desk, asked: desk.stop(),
}


@pytest.mark.parametrize("ending", ENDINGS)
def test_a_limit_of_concurrent_calls(ending: str) -> None:
    """More are answered at once; the place is given back in every ending."""
    desk = Desk(scarce, shout)
    first, _second, third = desk.call("scarce"), desk.call("scarce"), desk.call("scarce")
    assert third.result["isError"] is True
    assert third.text == "scarce is busy: 2 calls are running already. Try again later."
    assert desk.call("shout").text == "HEY"
    ENDINGS[ending](desk, first)
    desk.clock.advance(0)
    assert desk.call("scarce").exchange.live
    desk.stop()
    desk.clock.advance(0)
    assert desk.nothing_left()
    assert desk.tools._runner._counts == {}


@pytest.mark.parametrize("how", ["raise", "return"])
def test_calls_that_end_at_once_hold_no_place(how: str) -> None:
    """A failure and a quick value give it back as well."""
    desk = Desk(scarce)
    for _ in range(5):
        assert "busy" not in desk.call("scarce", how=how).text
    assert desk.nothing_left()


def test_a_limit_of_all_calls() -> None:
    """It holds for all tools together; what is answered at once does not count."""
    desk = Desk(hold, scarce, shout, most_calls=2)
    desk.call("hold")
    desk.call("scarce")
    for name in ("hold", "scarce"):
        assert desk.call(name).error[0] == 503
    assert desk.call("shout").text == "HEY"
    desk.stop()
    assert desk.nothing_left()


@pytest.mark.parametrize("kind", ["deferred", "coroutine"])
def test_no_place_for_what_a_plain_function_began(kind: str) -> None:
    """What it gave back is cancelled, or never begun."""
    seen: list[str] = []

    async def late() -> None:
        seen.append("began")

    def begin() -> Any:
        """Begin."""
        return late() if kind == "coroutine" else Deferred(lambda _: seen.append("cancelled"))

    desk = Desk(hold, tool(begin), most_calls=1)
    desk.call("hold")
    assert desk.call("begin").error[0] == 503
    assert seen == (["cancelled"] if kind == "deferred" else [])
    desk.stop()


def test_cancel_all() -> None:
    """All that runs is cancelled, and nothing else happens when nothing does."""
    desk = Desk(hold)
    calls = [desk.call("hold") for _ in range(3)]
    desk.calls.cancel_all(Cause.SHUTDOWN)
    assert [asked.error[0] for asked in calls] == [-32603] * 3
    desk.calls.cancel_all(Cause.SHUTDOWN)
    assert desk.nothing_left()
