"""The client in an asyncio program: `python in_asyncio.py URL`."""

import asyncio
import sys

from mcpserve.client import Progress
from mcpserve.client.aio import AsyncClient


async def main(url):
    """Call tools, at once and one after the other."""
    async with AsyncClient(url) as client:
        three, seven = await asyncio.gather(
            client.call_tool("add", {"a": 1, "b": 2}),
            client.call_tool("add", {"a": 3, "b": 4}),
        )
        print(three.structured, seven.structured)
        async for event in client.stream_tool("countdown", {"start": 3, "interval": 0.1}):
            print(event.message if isinstance(event, Progress) else event.content[0].text)
        try:
            async with asyncio.timeout(0.3):
                await client.call_tool("ticker", {"count": 100})
        except TimeoutError:
            print("cancelled on the server, too")


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
