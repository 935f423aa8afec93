"""A tool that takes over the response as a Twisted push producer: it is paused and resumed with the reader."""

from twisted.internet.interfaces import IPushProducer
from zope.interface import implementer

from mcpserve import Stream, tool


@implementer(IPushProducer)
class Counter:
    """Counts ten times a second, while there is somebody to read it."""

    def __init__(self, stream: Stream, limit: int) -> None:
        self.stream = stream
        self.limit = limit
        self.count = 0
        self.resumeProducing()

    def resumeProducing(self) -> None:
        self.ticks = self.stream.every(0.1, self.tick)

    def pauseProducing(self) -> None:
        self.ticks.stop()

    def stopProducing(self) -> None:
        self.ticks.stop()

    def tick(self) -> None:
        self.count += 1
        self.stream.write(f"{self.count}")
        if self.count == self.limit:
            self.stream.finish(f"Counted to {self.limit}.")


@tool
def count(stream: Stream, limit: int = 50) -> None:
    """Count as fast as the reader reads, ten times a second at most."""
    stream.registerProducer(Counter(stream, limit), streaming=True)
