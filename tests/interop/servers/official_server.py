"""A server made with the official Python SDK of today: `official_server.py WITNESS stdio | http PORT | sse PORT`.

All servers of this directory have the same tools, prompts and resources, as far as what they are made with offers them.
What happens to calls of `wait` is written to the file WITNESS.
"""

import sys
from typing import Annotated

import anyio
from mcp.server.caching import CacheHint
from mcp.server.mcpserver import (
    Context,
    Elicit,
    ElicitationResult,
    Image,
    ListRoots,
    MCPServer,
    Resolve,
    Sample,
)
from mcp.server.mcpserver.exceptions import ToolError
from mcp_types import (
    Completion,
    CreateMessageResult,
    ListRootsResult,
    PromptReference,
    SamplingMessage,
    TextContent,
)
from pydantic import BaseModel
from store import Store

server = MCPServer(
    "official",
    version="1",
    instructions="Be kind.",
    log_level="ERROR",
    cache_hints={"tools/list": CacheHint(ttl_ms=3_600_000)},
)


def witness(what: str) -> None:
    """Tell what became of a call."""
    with open(sys.argv[1], "a", encoding="utf-8") as file:
        file.write(f"{what}\n")


@server.tool()
def add(a: int, b: int) -> dict[str, int]:
    """Add two numbers."""
    return {"sum": a + b}


@server.tool()
async def count(to: int, context: Context, interval: float = 0.0) -> str:
    """Count, and say so."""
    for step in range(1, to + 1):
        await context.report_progress(step, to, f"step {step}")
        await anyio.sleep(interval)
    return f"counted to {to}"


@server.tool()
async def chatter(context: Context) -> str:
    """Write to the log of the client."""
    await context.log("debug", "a whisper", logger_name="chat")
    await context.log("info", {"said": "Grüße"}, logger_name="chat")
    await context.log("error", "a shout", logger_name="chat")
    return "said all"


@server.tool()
async def wait(context: Context) -> str:
    """Wait for ever."""
    witness("began")
    await context.report_progress(0, None, "waiting")
    try:
        await anyio.sleep_forever()
    except anyio.get_cancelled_exc_class():
        witness("cancelled")
        raise


@server.tool()
async def interrupted(context: Context) -> str:
    """Count to four, and close the stream after two."""
    await context.report_progress(1, 4, "step 1")
    await context.report_progress(2, 4, "step 2")
    await context.close_sse_stream()
    await anyio.sleep(0.2)
    await context.report_progress(3, 4, "step 3")
    await context.report_progress(4, 4, "step 4")
    return "counted to 4"


@server.tool()
def fail() -> str:
    """Fail."""
    raise ToolError("on purpose")


@server.tool()
def media() -> list[str | Image]:
    """A text and a picture."""
    return ["a picture:", Image(data=b"\x89PNG not really", format="png")]


class Form(BaseModel):
    """What the user is asked for."""

    name: str
    age: int = 42


def _ask() -> Elicit[Form]:
    return Elicit("Who are you?", Form)


@server.tool()
async def ask(form: Annotated[ElicitationResult[Form], Resolve(_ask)]) -> str:
    """Ask the user who they are."""
    return f"{form.data.name}, {form.data.age}" if form.action == "accept" else form.action


def _think(question: str) -> Sample:
    return Sample([SamplingMessage(role="user", content=TextContent(type="text", text=question))], max_tokens=10)


@server.tool()
async def think(question: str, answer: Annotated[CreateMessageResult, Resolve(_think)]) -> str:
    """Ask the model."""
    return f"{answer.model}: {answer.content.text}"


def _roots() -> ListRoots:
    return ListRoots()


@server.tool()
async def where(roots: Annotated[ListRootsResult, Resolve(_roots)]) -> str:
    """Ask for the roots."""
    return " ".join(f"{root.uri}={root.name}" for root in roots.roots)


@server.tool()
async def touch(context: Context) -> str:
    """Say that the note changed."""
    await context.notify_resource_updated("memo://note")
    await context.session.send_resource_updated("memo://note")
    return "touched"


@server.tool()
async def grow(name: str, context: Context) -> str:
    """Have one tool more."""

    def grown() -> str:
        return "new"

    server.add_tool(grown, name=name)
    await context.notify_tools_changed()
    await context.session.send_tool_list_changed()
    return "grown"


@server.resource("memo://note", mime_type="text/plain")
def note() -> str:
    """A text."""
    return "Grüße, 世界"


@server.resource("memo://bytes", mime_type="application/octet-stream")
def some_bytes() -> bytes:
    """All bytes there are."""
    return bytes(range(256))


@server.resource("memo://page/{number}")
def page(number: str) -> str:
    """One of many."""
    return f"page {number}"


@server.prompt()
def greet(name: str) -> str:
    """Greet somebody."""
    return f"Say hello to {name}."


@server.completion()
async def complete(reference, argument, context):
    """Suggest names."""
    if isinstance(reference, PromptReference):
        return Completion(values=[name for name in ("Ada", "Alan", "Grace") if name.startswith(argument.value)])
    return None


if __name__ == "__main__":
    _, _, way, *rest = sys.argv
    if way == "stdio":
        server.run("stdio")
    elif way == "sse":
        server.run("sse", port=int(rest[0]))
    else:
        server.run("streamable-http", port=int(rest[0]), event_store=Store(witness), retry_interval=100)
