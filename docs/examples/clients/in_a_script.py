"""The client in a plain script: `python in_a_script.py URL`."""

import sys

from mcpserve.client import Progress
from mcpserve.client.sync import Client


def main(url):
    """Call tools."""
    with Client(url) as client:
        print(", ".join(tool.name for tool in client.list_tools()))
        print(client.call_tool("add", {"a": 1, "b": 2}).structured)
        for event in client.stream_tool("countdown", {"start": 3, "interval": 0.1}):
            print(event.message if isinstance(event, Progress) else event.content[0].text)


if __name__ == "__main__":
    main(sys.argv[1])
