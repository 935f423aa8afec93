"""A ceiling: a bare `twisted.web` resource that answers without looking at anything but the tool's name.

    python bare_twisted.py PORT

It takes the name from `Mcp-Name`, the count of a burst from the body, makes the events once and writes them one by one:
what it reaches is what the HTTP server below can do. Streams tick from a wheel of shared timers.
"""

# mypy: ignore-errors
# A program of the other side, kept as short as it can be.

import re
import sys
from functools import cache

from twisted.internet import reactor
from twisted.internet.task import LoopingCall
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET, Request, Site

RESULT = (
    b'{"jsonrpc":"2.0","id":100000,"result":{"content":[{"type":"text","text":"hello, world"}],'
    b'"resultType":"complete"}}'
)
INTERVAL, SLOTS = 0.1, 20


def event(number: int) -> bytes:
    """One progress notification as an SSE event."""
    return (
        b'data: {"jsonrpc":"2.0","method":"notifications/progress","params":{"progressToken":100000,"progress":%d,'
        b'"total":1000000}}\n\n' % number
    )


@cache
def burst(count: int) -> list[bytes]:
    """The events of a burst and its result."""
    return [*(event(number) for number in range(1, count + 1)), b"data: " + RESULT + b"\n\n"]


class Wheel:
    """Ticks every stream once per interval, one slot of streams at a time."""

    def __init__(self) -> None:
        self.slots: list[set[Request]] = [set() for _ in range(SLOTS)]
        self.turn = 0
        LoopingCall(self.tick).start(INTERVAL / SLOTS)

    def add(self, request: Request) -> None:
        """Tick the stream until its connection is lost."""
        slot = min(self.slots, key=len)
        slot.add(request)
        request.notifyFinish().addErrback(lambda _: slot.discard(request))

    def tick(self) -> None:
        """Write the next event to the streams of one slot."""
        self.turn += 1
        data = event(self.turn)
        for request in self.slots[self.turn % SLOTS]:
            request.write(data)


class Canned(Resource):
    """Answers each tool of the benchmark in the cheapest way there is."""

    isLeaf = True

    def __init__(self, wheel: Wheel) -> None:
        super().__init__()
        self.wheel = wheel

    def render_POST(self, request: Request) -> bytes | int:
        """Answer by the name of the tool."""
        tool = request.getHeader(b"mcp-name")
        if tool == b"echo":
            request.setHeader(b"content-type", b"application/json")
            return RESULT
        request.setHeader(b"content-type", b"text/event-stream")
        if tool == b"burst":
            count = re.search(rb'"count":(\d+)', request.content.read())
            for data in burst(int(count[1])):
                request.write(data)
            request.finish()
        else:
            request.write(event(0))
            self.wheel.add(request)
        return NOT_DONE_YET


site = Site(Canned(Wheel()))
site.log = lambda request: None
reactor.listenTCP(int(sys.argv[1]), site, backlog=4096, interface="127.0.0.1")
reactor.run()
