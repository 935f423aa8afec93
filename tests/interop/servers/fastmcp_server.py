"""The same server as `official_server.py`, made with FastMCP; it has no tools that ask for models or roots."""

import sys

import anyio
from fastmcp import Context, FastMCP
from fastmcp.exceptions import ToolError
from fastmcp.utilities.types import Image
from mcp_types import (
    ElicitRequest,
    ElicitRequestFormParams,
    InputRequiredResult,
    PromptReference,
    ResourceUpdatedNotification,
    ResourceUpdatedNotificationParams,
    ToolListChangedNotification,
)
from pydantic import BaseModel

server = FastMCP("fast", version="1", instructions="Be kind.")


def witness(what: str) -> None:
    """Tell what became of a call."""
    with open(sys.argv[1], "a", encoding="utf-8") as file:
        file.write(f"{what}\n")


@server.tool
def add(a: int, b: int) -> dict[str, int]:
    """Add two numbers."""
    return {"sum": a + b}


@server.tool
async def count(to: int, context: Context, interval: float = 0.0) -> str:
    """Count, and say so."""
    for step in range(1, to + 1):
        await context.report_progress(step, to, f"step {step}")
        await anyio.sleep(interval)
    return f"counted to {to}"


@server.tool
async def chatter(context: Context) -> str:
    """Write to the log of the client."""
    await context.debug("a whisper", logger_name="chat")
    await context.info("Grüße", logger_name="chat")
    await context.error("a shout", logger_name="chat")
    return "said all"


@server.tool
async def wait(context: Context) -> str:
    """Wait for ever."""
    witness("began")
    await context.report_progress(0, None, "waiting")
    try:
        await anyio.sleep_forever()
    except anyio.get_cancelled_exc_class():
        witness("cancelled")
        raise


@server.tool
def fail() -> str:
    """Fail."""
    raise ToolError("on purpose")


@server.tool
def media() -> list[str | Image]:
    """A text and a picture."""
    return ["a picture:", Image(data=b"\x89PNG not really", format="png")]


class Form(BaseModel):
    """What the user is asked for."""

    name: str
    age: int = 42


@server.tool
async def ask(context: Context) -> str | InputRequiredResult:
    """Ask the user who they are: during the call, or since 2026-07-28 with its result."""
    if context.request_context.protocol_version < "2026-07-28":
        form = await context.elicit("Who are you?", Form)
        return f"{form.data.name}, {form.data.age}" if form.action == "accept" else form.action
    if context.input_responses is None:
        params = ElicitRequestFormParams(message="Who are you?", requested_schema=Form.model_json_schema())
        return InputRequiredResult(input_requests={"who": ElicitRequest(params=params)})
    answer = context.input_responses["who"]
    return f"{answer.content['name']}, {answer.content['age']}" if answer.action == "accept" else answer.action


@server.tool
async def touch(context: Context) -> str:
    """Say that the note changed."""
    params = ResourceUpdatedNotificationParams(uri="memo://note")
    await context.send_notification(ResourceUpdatedNotification(params=params))
    return "touched"


@server.tool
async def grow(name: str, context: Context) -> str:
    """Have one tool more."""

    @server.tool(name=name)
    def grown() -> str:
        return "new"

    await context.send_notification(ToolListChangedNotification())
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


@server.prompt
def greet(name: str) -> str:
    """Greet somebody."""
    return f"Say hello to {name}."


@server.completion
async def complete(reference, argument, context):
    """Suggest names."""
    if isinstance(reference, PromptReference):
        return [name for name in ("Ada", "Alan", "Grace") if name.startswith(argument.value)]
    return None


if __name__ == "__main__":
    _, _, way, *rest = sys.argv
    options = {"port": int(rest[0]), "log_level": "error"} if rest else {}
    server.run(way, show_banner=False, **options)
