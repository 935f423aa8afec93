"""The same server as `official_server.py`, made with the line 1.x of the official Python SDK."""

import sys

import anyio
from mcp.server.fastmcp import Context, FastMCP, Image
from mcp.server.fastmcp.exceptions import ToolError
from mcp.types import Completion, PromptReference, SamplingMessage, TextContent
from pydantic import AnyUrl, BaseModel
from store import Store

_, _, way, *rest = sys.argv
settings = {"port": int(rest[0])} if rest else {}
watching = set()


def witness(what: str) -> None:
    """Tell what became of a call."""
    with open(sys.argv[1], "a", encoding="utf-8") as file:
        file.write(f"{what}\n")


server = FastMCP(
    "old", instructions="Be kind.", log_level="ERROR", event_store=Store(witness), retry_interval=100, **settings
)


class Subscribing(type(server._mcp_server)):
    """The SDK says that it has no subscriptions even if it has them."""

    def get_capabilities(self, *arguments):
        capabilities = super().get_capabilities(*arguments)
        capabilities.resources.subscribe = True
        return capabilities


server._mcp_server.__class__ = Subscribing


@server._mcp_server.subscribe_resource()
async def subscribe(uri: AnyUrl) -> None:
    """Watch a resource."""
    watching.add(str(uri))


@server._mcp_server.unsubscribe_resource()
async def unsubscribe(uri: AnyUrl) -> None:
    """Watch it no more."""
    watching.discard(str(uri))


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
    await context.session.send_log_message("info", {"said": "Grüße"}, "chat", context.request_id)
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
def media() -> list:
    """A text and a picture."""
    return ["a picture:", Image(data=b"\x89PNG not really", format="png")]


class Form(BaseModel):
    """What the user is asked for."""

    name: str
    age: int = 42


@server.tool()
async def ask(context: Context) -> str:
    """Ask the user who they are."""
    form = await context.elicit("Who are you?", Form)
    return f"{form.data.name}, {form.data.age}" if form.action == "accept" else form.action


@server.tool()
async def think(question: str, context: Context) -> str:
    """Ask the model."""
    message = SamplingMessage(role="user", content=TextContent(type="text", text=question))
    answer = await context.session.create_message([message], max_tokens=10, related_request_id=context.request_id)
    return f"{answer.model}: {answer.content.text}"


@server.tool()
async def where(context: Context) -> str:
    """Ask for the roots; the SDK asks on the stream that belongs to no call."""
    roots = await context.session.list_roots()
    return " ".join(f"{root.uri}={root.name}" for root in roots.roots)


@server.tool()
async def touch(context: Context) -> str:
    """Say that the note changed, to who watches it."""
    if "memo://note" in watching:
        await context.session.send_resource_updated(AnyUrl("memo://note"))
    return "touched"


@server.tool()
async def grow(name: str, context: Context) -> str:
    """Have one tool more."""

    def grown() -> str:
        return "new"

    server.add_tool(grown, name=name)
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
    server.run({"stdio": "stdio", "sse": "sse", "http": "streamable-http"}[way])
