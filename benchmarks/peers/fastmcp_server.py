"""FastMCP as it comes (sessions, answers as SSE) under uvicorn, with the tools of the benchmark.

python fastmcp_server.py PORT [--tools COUNT]
"""

# mypy: ignore-errors
# It runs in an environment of its own; its packages are not here.

import argparse
import os

os.environ["FASTMCP_LOG_ENABLED"] = "false"  # read when it is imported

import uvicorn
from fastmcp import Context, FastMCP

server = FastMCP("fastmcp")


@server.tool(output_schema=None)
async def echo(text: str) -> str:
    """Say the text again."""
    return text


@server.tool(output_schema=None)
async def burst(count: int, ctx: Context) -> str:
    """Report progress `count` times, as fast as the reader takes it."""
    for number in range(1, count + 1):
        await ctx.report_progress(number, count)
    return "done"


def search(query: str, limit: int = 10, language: str = "en") -> str:
    """Stand for a tool that is listed and never called."""
    return query


def main() -> None:
    """Serve until stopped."""
    parser = argparse.ArgumentParser()
    parser.add_argument("port", type=int)
    parser.add_argument("--tools", type=int, default=0)
    options = parser.parse_args()
    for number in range(options.tools):
        about = f"Search collection number {number} and return what fits the query best."
        server.tool(search, name=f"search_{number:03}", description=about, output_schema=None)
    uvicorn.run(
        server.http_app(), port=options.port, loop="uvloop", http="httptools", access_log=False, log_level="error"
    )


if __name__ == "__main__":
    main()
