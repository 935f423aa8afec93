"""Our client and the reference server from npm, `@modelcontextprotocol/server-everything`, over all its transports."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from twisted.internet import reactor as installed_reactor
from twisted.internet.task import deferLater

from mcpserve.client import (
    Change,
    DeadlinePassed,
    EmbeddedResource,
    FormQuestion,
    Image,
    LogMessage,
    Notice,
    PageQuestion,
    Progress,
    RemoteError,
    ResourceLink,
    Result,
    Root,
    Sampled,
    SamplingQuestion,
    Text,
)
from tests.interop.others import EVERYTHING, TRANSPORTS, Other

pytestmark = [
    pytest.mark.interop,
    pytest.mark.deadline(60),
    pytest.mark.parametrize("other", EVERYTHING, indirect=True, ids=str),
]

reactor: Any = installed_reactor
TEXT = "demo://resource/dynamic/text/{resourceId}"
WATCHED = "demo://resource/dynamic/text/1"
LONG = "trigger-long-running-operation"


def _texts(result: Result) -> str:
    assert not result.is_error, result
    return "\n".join(block.text for block in result.content if isinstance(block, Text))


async def _eventually(holds: Callable[[], bool]) -> None:
    for _ in range(200):
        if holds():
            return
        await deferLater(reactor, 0.05)
    raise AssertionError("not within 10 s")


async def test_what_it_has(other: Other) -> None:
    """Its era, name, instructions, tools, prompts, resources and templates."""
    async with other.client() as client:
        server = client.server
        assert (server.revision.name, server.transport) == ("2025-11-25", TRANSPORTS[other.way.transport])
        assert server.implementation is not None
        assert server.implementation.title == "Everything Reference Server"
        assert server.instructions is not None
        assert await client.ping() < 5
        assert {"echo", "get-sum", LONG} <= {tool.name for tool in await client.list_tools()}
        prompts = {prompt.name: prompt for prompt in await client.list_prompts()}
        assert [(one.name, one.required) for one in prompts["args-prompt"].arguments] == [
            ("city", True),
            ("state", False),
        ]
        assert len(await client.list_resources()) == 7
        assert TEXT in {one.uri for one in await client.list_resource_templates()}


async def test_all_kinds_of_content(other: Other) -> None:
    """Texts, structure, images, links, embedded resources and annotations come as they are."""
    async with other.client() as client:
        assert _texts(await client.call_tool("echo", {"message": "Grüße"})) == "Echo: Grüße"
        assert _texts(await client.call_tool("get-sum", {"a": 1, "b": 2})) == "The sum of 1 and 2 is 3."
        weather = await client.call_tool("get-structured-content", {"location": "Chicago"})
        assert weather.structured.keys() == {"temperature", "conditions", "humidity"}
        [image] = [one for one in (await client.call_tool("get-tiny-image")).content if isinstance(one, Image)]
        assert image.mime_type == "image/png"
        assert image.data.startswith(b"\x89PNG\r\n")
        links = await client.call_tool("get-resource-links", {"count": 2})
        assert len([one for one in links.content if isinstance(one, ResourceLink)]) == 2
        embedded = await client.call_tool("get-resource-reference", {"resourceType": "Text", "resourceId": 1})
        [resource] = [one for one in embedded.content if isinstance(one, EmbeddedResource)]
        assert resource.uri == WATCHED
        annotated = await client.call_tool("get-annotated-message", {"messageType": "error"})
        assert annotated.content[0].annotations.priority == 1  # type: ignore[union-attr]
        wrong = await client.call_tool("get-sum", {"a": "one"})
        assert wrong.is_error


async def test_resources_prompts_completions(other: Other) -> None:
    """Texts and bytes are read, prompts are filled in, completions know the other arguments."""
    async with other.client() as client:
        [text] = await client.read_resource(TEXT.format(resourceId=3))
        assert isinstance(text.contents, str)
        assert text.contents.startswith("Resource 3")
        [blob] = await client.read_resource("demo://resource/dynamic/blob/3")
        assert isinstance(blob.contents, bytes)
        with pytest.raises(RemoteError):
            await client.read_resource("demo://nothing")
        [question] = (await client.get_prompt("args-prompt", {"city": "Rome"})).messages
        assert question.content == Text("What's weather in Rome?")
        _, resource = (await client.get_prompt("resource-prompt", {"resourceType": "Blob", "resourceId": "2"})).messages
        assert isinstance(resource.content, EmbeddedResource)
        known = {"department": "Engineering"}
        assert (await client.complete("prompt", "completable-prompt", "name", "A", context=known)).values == ["Alice"]
        assert (await client.complete("resource", TEXT, "resourceId", "12")).values == ["12"]


async def test_progress_and_leaving_it(other: Other) -> None:
    """Steps come in order; after a loop that is left, and after a timeout, nothing more comes, and the rest works."""
    notices: list[Notice] = []
    async with other.client(on_notice=notices.append) as client:
        *steps, result = [event async for event in client.stream_tool(LONG, {"duration": 0.5, "steps": 10})]
        assert steps == [Progress(step, 10) for step in range(1, 11)]
        assert "completed" in _texts(result)
        async for event in client.stream_tool(LONG, {"duration": 0.6, "steps": 6}):
            assert event == Progress(1, 6)
            break
        with pytest.raises(DeadlinePassed):
            await client.call_tool(LONG, {"duration": 60, "steps": 60}, timeout=0.3)
        *steps, result = [event async for event in client.stream_tool(LONG, {"duration": 0.8, "steps": 2})]
        assert steps == [Progress(1, 2), Progress(2, 2)]
    assert not [notice for notice in notices if getattr(notice, "method", "") == "notifications/progress"]


async def test_it_asks(other: Other) -> None:
    """Forms with their defaults, pages, the model, and the roots, which it asks for on its own account."""
    asked: list[object] = []

    def form(question: FormQuestion) -> dict[str, Any]:
        asked.append(question)
        return {"name": "Ada"}

    def page(question: PageQuestion) -> Any:
        asked.append(question)
        return "accept"

    def think(question: SamplingQuestion) -> Sampled:
        asked.append(question)
        return Sampled(content=(Text("Because."),), model="none")

    notices: list[Notice] = []
    roots = [Root("file:///srv", "srv")]
    async with other.client(elicit=form, visit=page, sample=think, roots=roots, on_notice=notices.append) as client:
        filled_in = _texts(await client.call_tool("trigger-elicitation-request"))
        assert "Name: Ada" in filled_in
        assert "Favorite Integer: 42" in filled_in
        url = "https://example.org/page"
        assert "completed" in _texts(await client.call_tool("trigger-url-elicitation", {"url": url}))
        assert "Because." in _texts(await client.call_tool("trigger-sampling-request", {"prompt": "Why?"}))
        assert "file:///srv" in _texts(await client.call_tool("get-roots-list"))
        await _eventually(lambda: any(isinstance(one, LogMessage) and "Roots" in str(one.data) for one in notices))
    visited = [question.url for question in asked if isinstance(question, PageQuestion)]
    assert visited == [url]
    assert [type(question) for question in asked] == [FormQuestion, PageQuestion, SamplingQuestion]


async def test_a_page_that_must_be_visited_first(other: Other) -> None:
    """A call that fails until a page was visited is an error that says which page, and the next one goes through."""
    arguments = {"url": "https://example.org/first", "elicitationId": f"id-{other.way}", "errorPath": True}
    async with other.client(visit=lambda question: "accept") as client:
        with pytest.raises(RemoteError) as caught:
            await client.call_tool("trigger-url-elicitation", arguments)
        assert caught.value.code == -32042
        assert caught.value.data["elicitations"][0]["url"].startswith("https://")
        assert "completed" in _texts(await client.call_tool("trigger-url-elicitation", arguments))


async def test_it_tells_of_changes(other: Other) -> None:
    """A resource that is watched, and no other; and the log, at the level that was chosen."""
    notices: list[Notice] = []
    async with other.client(on_notice=notices.append, log_level="debug") as client:
        async with client.listen(uris=[WATCHED]) as changes:
            await client.call_tool("toggle-subscriber-updates")
            change = await changes.__anext__()
            await client.call_tool("toggle-subscriber-updates")
        assert change == Change("notifications/resources/updated", WATCHED)
        await client.call_tool("toggle-simulated-logging")
        await _eventually(lambda: any(isinstance(one, LogMessage) and "essage" in str(one.data) for one in notices))
        await client.call_tool("toggle-simulated-logging")
