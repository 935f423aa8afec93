"""Our client uses servers of others: all that they offer, over all their transports, in all their eras."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any

import pytest
from twisted.internet import reactor as installed_reactor
from twisted.internet.defer import CancelledError, Deferred, gatherResults
from twisted.internet.task import deferLater

from mcpserve.client import (
    BadAnswer,
    Change,
    DeadlinePassed,
    Elicited,
    FormQuestion,
    Image,
    LogMessage,
    Progress,
    RemoteError,
    Result,
    Root,
    Sampled,
    SamplingQuestion,
    Text,
    ToolStream,
)
from tests.interop.others import MODERN, TRANSPORTS, WAYS, Other, Way

pytestmark = [pytest.mark.interop, pytest.mark.deadline(60)]

each_way = pytest.mark.parametrize("other", WAYS, indirect=True, ids=str)
reactor: Any = installed_reactor
NAMES = {"official": "official", "old": "old", "fastmcp": "fast"}
GREETING = "Grüße, 世界"


def _with(known: Callable[[Way], bool]) -> pytest.MarkDecorator:
    """The ways of those that offer something."""
    return pytest.mark.parametrize("other", [way for way in WAYS if known(way)], indirect=True, ids=str)


def _text(result: Result) -> str:
    assert not result.is_error, result
    [block] = result.content
    assert isinstance(block, Text)
    return block.text


async def _all(stream: ToolStream) -> list[Any]:
    return [event async for event in stream]


async def _eventually(holds: Callable[[], bool]) -> None:
    for _ in range(200):
        if holds():
            return
        await deferLater(reactor, 0.05)
    raise AssertionError("not within 10 s")


def _steps(events: Sequence[Any]) -> list[tuple[float, float | None, str | None]]:
    return [(event.value, event.total, event.message) for event in events if isinstance(event, Progress)]


@each_way
async def test_what_it_is_and_has(other: Other) -> None:
    """The client finds the era by itself, and lists what there is, of each kind."""
    async with other.client() as client:
        server = client.server
        assert (server.revision.name, server.transport) == (other.way.revision, TRANSPORTS[other.way.transport])
        assert server.implementation is not None
        assert server.implementation.name == NAMES[other.way.server]
        assert server.instructions == "Be kind."
        assert (await client.discover()).capabilities == server.capabilities
        assert await client.ping() < 5
        tools = {tool.name: tool for tool in await client.list_tools()}
        assert {"add", "count", "chatter", "wait", "fail", "media", "ask"} <= tools.keys()
        assert tools["add"].description == "Add two numbers."
        assert tools["add"].input_schema["required"] == ["a", "b"]
        assert {one.uri for one in await client.list_resources()} == {"memo://note", "memo://bytes"}
        assert [one.uri for one in await client.list_resource_templates()] == ["memo://page/{number}"]
        [prompt] = await client.list_prompts()
        assert (prompt.name, [argument.name for argument in prompt.arguments]) == ("greet", ["name"])


@each_way
async def test_its_tools_answer(other: Other) -> None:
    """Text, structure, pictures, and what a tool says of its own failure; a wrong method is a remote error."""
    async with other.client() as client:
        added = await client.call_tool("add", {"a": 1, "b": 2})
        assert added.structured in ({"sum": 3}, {"result": {"sum": 3}})
        picture = (await client.call_tool("media")).content
        assert [block.text for block in picture if isinstance(block, Text)] == ["a picture:"]
        assert [(one.data, one.mime_type) for one in picture if isinstance(one, Image)] == [
            (b"\x89PNG not really", "image/png")
        ]
        failed = await client.call_tool("fail")
        assert failed.is_error
        assert isinstance(failed.content[0], Text)
        assert failed.content[0].text.endswith("on purpose")
        with pytest.raises(RemoteError):
            await client.request("no/such/method")


@each_way
async def test_its_resources_and_prompts(other: Other) -> None:
    """Texts, bytes, templates, prompts and completions come as they are; what is missing is an error."""
    async with other.client() as client:
        assert [one.contents for one in await client.read_resource("memo://note")] == [GREETING]
        assert [one.contents for one in await client.read_resource("memo://bytes")] == [bytes(range(256))]
        assert [one.contents for one in await client.read_resource("memo://page/7")] == ["page 7"]
        with pytest.raises(RemoteError):
            await client.read_resource("memo://nothing")
        [message] = (await client.get_prompt("greet", {"name": "Bob"})).messages
        assert (message.role, message.content) == ("user", Text("Say hello to Bob."))
        with pytest.raises(RemoteError):
            await client.get_prompt("nobody")
        assert (await client.complete("prompt", "greet", "name", "A")).values == ["Ada", "Alan"]


@each_way
async def test_progress_comes_in_order(other: Other) -> None:
    """Each step once, in order, before the result; and many calls at once each get their own."""
    async with other.client() as client:
        *events, result = await _all(client.stream_tool("count", {"to": 100}))
        assert _steps(events) == [(step, 100, f"step {step}") for step in range(1, 101)]
        assert _text(result) == "counted to 100"
        heard: list[Progress] = []
        assert _text(await client.call_tool("count", {"to": 3}, on_progress=heard.append)) == "counted to 3"
        assert [event.value for event in heard] == [1, 2, 3]
        streams = [Deferred.fromCoroutine(_all(client.stream_tool("count", {"to": to}))) for to in range(1, 13)]
        for to, events in enumerate(await gatherResults(streams), 1):
            assert _steps(events) == [(step, to, f"step {step}") for step in range(1, to + 1)]
            assert _text(events[-1]) == f"counted to {to}"


@each_way
async def test_progress_comes_as_it_is_made(other: Other) -> None:
    """The first step is there long before the result."""
    async with other.client() as client:
        arrivals = [reactor.seconds() async for _ in client.stream_tool("count", {"to": 4, "interval": 0.15})]
    assert arrivals[-1] - arrivals[0] > 0.4
    assert arrivals[1] - arrivals[0] > 0.1


@each_way
async def test_log_messages_come_in_order(other: Other) -> None:
    """Those that are severe enough come with the call, also from a server that knows no levels."""
    async with other.client(log_level="info") as client:
        *messages, result = await _all(client.stream_tool("chatter"))
        assert [(message.level, message.logger) for message in messages] == [("info", "chat"), ("error", "chat")]
        assert "Grüße" in repr(messages[0].data)
        assert _text(result) == "said all"
        await client.set_log_level("error")
        heard: list[LogMessage] = []
        await client.call_tool("chatter", on_log=heard.append)
        assert [message.level for message in heard] == ["error"]


@each_way
async def test_it_asks_the_user(other: Other) -> None:
    """A form is filled in, with its defaults, or declined: during the call, or with its result."""
    answers: list[Elicited] = [{"name": "Ada"}, {"name": "Alan", "age": 7}, "decline", "cancel"]
    asked: list[FormQuestion] = []

    def answer(question: FormQuestion) -> Elicited:
        asked.append(question)
        return answers[len(asked) - 1]

    async with other.client(elicit=answer) as client:
        said = [_text(await client.call_tool("ask")) for _ in answers]
    assert said == ["Ada, 42", "Alan, 7", "decline", "cancel"]
    assert {question.message for question in asked} == {"Who are you?"}
    assert len(asked) == len(answers)


@_with(lambda way: way.server != "fastmcp")
async def test_it_asks_the_model_and_for_roots(other: Other) -> None:
    """Sampling and roots are answered; those who ask on the session's own stream are heard, too."""

    def think(question: SamplingQuestion) -> Sampled:
        [message] = question.messages
        return Sampled(content=(Text(f"{message.content[0].text}? {question.max_tokens}"),), model="none")  # type: ignore[union-attr]

    async with other.client(sample=think, roots=[Root("file:///srv", "srv")]) as client:
        assert _text(await client.call_tool("think", {"question": "why"})) == "none: why? 10"
        assert _text(await client.call_tool("where")) == "file:///srv=srv"


@each_way
async def test_what_is_not_declared_is_not_asked(other: Other) -> None:
    """A client without a handler gets an error, the server's or, of one that asks all the same, its own."""
    async with other.client() as client:
        try:
            result = await client.call_tool("ask")
        except (RemoteError, BadAnswer):
            return
        assert result.is_error


@each_way
async def test_cancellation_reaches_it(other: Other) -> None:
    """Leaving the loop, a timeout, and cancelling what is awaited each stop the call on their side."""
    async with other.client() as client:
        async for event in client.stream_tool("wait"):
            assert isinstance(event, Progress)
            break
        await _eventually(lambda: other.told() == ["began", "cancelled"])
        with pytest.raises(DeadlinePassed):
            await client.call_tool("wait", timeout=0.5)
        await _eventually(lambda: other.told() == ["began", "cancelled"] * 2)
        call = Deferred.fromCoroutine(client.call_tool("wait"))
        await _eventually(lambda: other.told()[4:] == ["began"])
        call.cancel()
        with pytest.raises(CancelledError):
            await call
        await _eventually(lambda: other.told() == ["began", "cancelled"] * 3)
        assert _text(await client.call_tool("count", {"to": 1})) == "counted to 1"


@each_way
async def test_closing_the_client_stops_its_calls(other: Other) -> None:
    """What runs when the client is closed is cancelled on their side, and the client is gone soon."""
    client = await other.client().open()
    call = Deferred.fromCoroutine(client.call_tool("wait"))
    call.addErrback(lambda failure: None)
    await _eventually(lambda: other.told() == ["began"])
    began = reactor.seconds()
    await client.close()
    assert reactor.seconds() - began < 6
    await call
    await _eventually(lambda: other.told() == ["began", "cancelled"])


async def _changes(changes: AsyncIterator[Change], wanted: int) -> list[Change]:
    heard = []
    async for change in changes:
        heard.append(change)
        if len(heard) == wanted:
            break
    return heard


@_with(lambda way: (way.server, way.revision) != ("fastmcp", MODERN))
async def test_it_tells_of_changes(other: Other) -> None:
    """Who listens hears of a resource and of a new tool; a list that would still hold is asked for anew then."""
    name = f"grown-{other.way}"
    async with other.client() as client:
        assert name not in {tool.name for tool in await client.list_tools()}
        async with client.listen(tools=True, uris=["memo://note"]) as changes:
            await client.call_tool("touch")
            await client.call_tool("grow", {"name": name})
            touched, grown = await _changes(changes, 2)
        assert (touched.method, touched.uri) == ("notifications/resources/updated", "memo://note")
        assert grown.method == "notifications/tools/list_changed"
        assert name in {tool.name for tool in await client.list_tools()}


@_with(lambda way: (way.server, way.revision) == ("fastmcp", MODERN))
async def test_who_offers_no_subscription_says_so(other: Other) -> None:
    """A modern server without `subscriptions/listen` answers with its error, and the client goes on."""
    async with other.client() as client:
        with pytest.raises(RemoteError, match="Method not found"):
            await client.listen(tools=True).__aenter__()
        assert await client.list_tools()


@_with(lambda way: way.server != "fastmcp" and way.transport == "http" and way.revision == "2025-11-25")
async def test_an_interrupted_stream_is_resumed(other: Other) -> None:
    """The server closes the stream of a call half-way: the rest comes on another, each step once, in order."""
    async with other.client() as client:
        *events, result = await _all(client.stream_tool("interrupted"))
    assert [event.value for event in events] == [1, 2, 3, 4]
    assert _text(result) == "counted to 4"
    assert other.told() == ["resumed"]
