"""Drives the official Python client: `official_client.py TARGET ERA PLAN`, run with the interpreter that has `mcp`.

TARGET is the URL of a server over Streamable HTTP, or, if it ends with `/sse`, over HTTP with SSE; or a JSON object
with the command of one over stdio. PLAN is a JSON list of calls: `{"tool", "arguments", "abort_after"}`; with
`abort_after` the call is cancelled after so many progress notifications. The outcome goes to standard output as JSON,
in the same shape as from the other clients.
"""

import json
import sys
from typing import Any

import anyio
from mcp import Client, StdioServerParameters
from mcp.client.sse import sse_client

ERAS = {"legacy": "legacy", "modern": "2026-07-28", "auto": "auto"}


def server(target: str) -> Any:
    """What the client connects to."""
    if target.startswith("{"):
        return StdioServerParameters(**json.loads(target))
    return sse_client(target) if target.endswith("/sse") else target


async def call(client: Client, step: dict[str, Any]) -> dict[str, Any]:
    """Make one call of the plan."""
    progress: list[list[Any]] = []
    outcome: dict[str, Any] = {"progress": progress, "aborted": False}
    with anyio.CancelScope() as scope:

        async def on_progress(value: float, total: float | None, message: str | None) -> None:
            progress.append([value, total, message])
            if len(progress) == step.get("abort_after"):
                scope.cancel()

        result = await client.call_tool(step["tool"], step.get("arguments", {}), progress_callback=on_progress)
        outcome.update(
            text=[block.text for block in result.content if block.type == "text"],
            structured=result.structured_content,
            is_error=bool(result.is_error),
        )
    outcome["aborted"] = scope.cancelled_caught
    return outcome


async def main(target: str, era: str, plan: list[dict[str, Any]]) -> None:
    """List the tools and make the calls, one after the other."""
    async with Client(server(target), mode=ERAS[era]) as client:
        tools = (await client.list_tools()).tools
        calls = [await call(client, step) for step in plan]
        version = client.protocol_version
    print(json.dumps({"version": version, "tools": [tool.name for tool in tools], "calls": calls}))


if __name__ == "__main__":
    anyio.run(main, sys.argv[1], sys.argv[2], json.loads(sys.argv[3]))
