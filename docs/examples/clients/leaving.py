"""Calls that are cancelled, and what their deadlines are: `python leaving.py URL`."""

import sys

from mcpserve.client import DeadlinePassed, Progress, Timeouts
from mcpserve.client.sync import Client


def until_tick(client, number):
    """Watch a call until it has come so far; leaving the loop cancels it on the server."""
    for event in client.stream_tool("ticker", {"interval": 0.05, "count": 100}):
        if isinstance(event, Progress) and event.value >= number:
            return event.message


def main(url):
    """Cancel by leaving, and by deadlines."""
    with Client(url, timeouts=Timeouts(connect=5, idle=30, total=60)) as client:
        print(until_tick(client, 3))
        try:
            client.call_tool("ticker", {"count": 100}, timeout=0.3)
        except DeadlinePassed as error:
            print(error.which, "-", error)


if __name__ == "__main__":
    main(sys.argv[1])
