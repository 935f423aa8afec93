"""The official Python client (`mcp` from PyPI), pointed at the server: `python client.py URL`."""

import sys

import anyio
from mcp import Client


async def show(value: float, total: float | None, message: str | None) -> None:
    """Print one step."""
    print(f"{value:g} of {total:g}: {message}")


async def main(url: str) -> None:
    """Call a tool, and print its progress and its result."""
    async with Client(url) as client:
        tools = (await client.list_tools()).tools
        print(", ".join(tool.name for tool in tools))
        result = await client.call_tool("ticker", {"interval": 0.1, "count": 3}, progress_callback=show)
        print(result.content[0].text)


if __name__ == "__main__":
    anyio.run(main, sys.argv[1])
