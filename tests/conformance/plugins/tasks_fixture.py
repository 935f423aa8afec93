"""The tools with which the official conformance suite looks at the tasks extension.

The suite fixes the names and what each must do.
"""

from __future__ import annotations

import attrs

from mcpserve import Call, Elicit, ToolError, tool
from mcpserve.errors import InternalError


@attrs.frozen
class Confirmation:
    """A yes or a no."""

    confirm: bool


@attrs.frozen
class Signature:
    """A yes or a no, and who says it."""

    name: str
    confirm: bool


@attrs.frozen
class Name:
    """Who somebody is."""

    name: str


@tool
def greet(name: str) -> str:
    """Greet somebody; never a task."""
    return f"Hello, {name}!"


@tool(task="optional")
async def slow_compute(call: Call, seconds: float, label: str = "") -> str:
    """Take some seconds."""
    await call.sleep(seconds)
    return f"Computed {label} in {seconds:g} s."


@tool(task="required")
async def failing_job(call: Call) -> str:
    """Fail after a second, in a way that the model should read about."""
    await call.sleep(1)
    raise ToolError("The job failed.")


@tool(task="optional")
async def protocol_error_job(call: Call) -> str:
    """Fail after a while, with a JSON-RPC error."""
    await call.sleep(0.3)
    raise InternalError("The job broke.")


@tool(task="optional")
async def confirm_delete(call: Call, filename: str) -> str:
    """Ask before a file is deleted."""
    answer = await call.elicit(f"Delete {filename}?", Confirmation)
    return f"Deleted {filename}." if answer.accepted and answer.form.confirm else f"Kept {filename}."


@tool(task="optional")
async def multi_input(call: Call) -> str:
    """Ask two things at once."""
    answers = await call.ask(first=Elicit("Who signs first?", Signature), second=Elicit("Who is next?", Signature))
    return "Signed by " + " and ".join(answer.form.name for answer in answers.values())


@tool(task="required", defer_task=True)
async def test_tool_with_task(call: Call) -> str:
    """Ask for a name first, and work on a greeting as a task then."""
    answer = await call.elicit("What is your name?", Name, key="user_name")
    await call.start_task()
    await call.sleep(0.3)
    return f"Hello, {answer.form.name}!"
