"""The official Python SDK (PyPI `mcp`) under uvicorn, with the tools of the benchmark.

    python python_sdk.py PORT [--json] [--tools COUNT]

One endpoint serves both eras. `--json` is its fastest configuration (stateless, answers as JSON); without it, it is as
it comes: sessions, answers as SSE. A request of the modern era never makes a session in either.
"""

# mypy: ignore-errors
# It runs in an environment of its own; its packages are not here.

import argparse
import os
import time

import anyio
import uvicorn
from mcp.server.mcpserver import Context, MCPServer

server = MCPServer("python-sdk", log_level="ERROR")


@server.tool(structured_output=False)
async def echo(text: str) -> str:
    """Say the text again."""
    return text


@server.tool(structured_output=False)
async def burst(count: int, ctx: Context) -> str:
    """Report progress `count` times, as fast as the reader takes it."""
    for number in range(1, count + 1):
        await ctx.report_progress(number, count)
    return "done"


@server.tool(structured_output=False)
async def tick(interval: float, count: int, ctx: Context) -> str:
    """Report progress every `interval` seconds, `count` times."""
    due = anyio.current_time()
    for number in range(1, count + 1):
        await ctx.report_progress(number, count)
        due = max(due + interval, anyio.current_time())
        await anyio.sleep_until(due)
    return "done"


@server.tool(structured_output=False)
async def hold(number: int, ctx: Context) -> str:
    """Report once, never end, and write down when the call is cancelled."""
    await ctx.report_progress(1)
    try:
        await anyio.sleep_forever()
    finally:
        with open(os.environ["BENCH_CANCELLED"], "a", encoding="ascii") as file:
            file.write(f"{number} {time.monotonic()}\n")


def search(query: str, limit: int = 10, language: str = "en") -> str:
    """Stand for a tool that is listed and never called."""
    return query


def main() -> None:
    """Serve until stopped."""
    parser = argparse.ArgumentParser()
    parser.add_argument("port", type=int)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--tools", type=int, default=0)
    options = parser.parse_args()
    for number in range(options.tools):
        about = f"Search collection number {number} and return what fits the query best."
        server.add_tool(search, name=f"search_{number:03}", description=about, structured_output=False)
    app = server.streamable_http_app(json_response=options.json, stateless_http=options.json)
    uvicorn.run(app, port=options.port, loop="uvloop", http="httptools", access_log=False, log_level="error")


if __name__ == "__main__":
    main()
