"""Tools for a server under attack: some to be abused, and one to look inside."""

from __future__ import annotations

from typing import Annotated

from twisted.internet import reactor

from mcpserve import Arg, Call, tool

CATASTROPHE = r"^(([a-z])+.)+[A-Z]([a-z])+$"
"""A pattern that takes a backtracking engine for ever on a long run of small letters."""


@tool
def vitals() -> dict[str, int]:
    """How many delayed calls the reactor has."""
    return {"delayed_calls": len(reactor.getDelayedCalls())}  # type: ignore[attr-defined]


@tool
async def firehose(call: Call, size: int = 4096) -> str:
    """Send messages for ever, as fast as they are read."""
    step = 0
    while True:
        step += 1
        await call.progress(step, message="x" * size)
        await call.sleep(0.001)


@tool
async def story(call: Call) -> str:
    """Tell a short story: a few messages, and an end."""
    for step in range(5):
        await call.progress(step, total=5, message=f"part {step}")
        await call.sleep(0.001)
    return "the end"


@tool
def picky(text: Annotated[str, Arg(pattern=CATASTROPHE)]) -> str:
    """Take a text of a certain form."""
    return text


NESTED = {
    "type": "object",
    "properties": {"node": {"$ref": "#/$defs/node"}},
    "required": ["node"],
    "$defs": {
        "node": {
            "anyOf": [
                {"type": "object", "properties": {"next": {"$ref": "#/$defs/node"}}, "required": ["next"]},
                {"type": "object", "properties": {"next": {"$ref": "#/$defs/node"}}, "required": ["next", "left"]},
                {"type": "object", "properties": {"next": {"$ref": "#/$defs/node"}}, "required": ["next", "right"]},
            ]
        }
    },
}


@tool(input_schema=NESTED)
def nested(node: dict[str, object]) -> str:
    """Take a tree, whose schema branches at each of its nodes."""
    return str(len(node))
