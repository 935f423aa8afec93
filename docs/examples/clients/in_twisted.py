"""The client in a Twisted program: `python in_twisted.py URL`."""

import sys

from twisted.internet.defer import Deferred
from twisted.internet.task import react

from mcpserve.client import Client, Progress, Result


async def main(reactor, url):
    """Call two tools."""
    async with Client(url) as client:
        result = await client.call_tool("add", {"a": 1, "b": 2})
        print(result.structured)
        async for event in client.stream_tool("countdown", {"start": 3, "interval": 0.1}):
            if isinstance(event, Progress):
                print(event.message)
            elif isinstance(event, Result):
                print(event.content[0].text)


if __name__ == "__main__":
    react(lambda reactor, url: Deferred.fromCoroutine(main(reactor, url)), sys.argv[1:])
