"""The response that a tool takes over: a consumer that Twisted's producers can feed."""

from __future__ import annotations

from typing import Any

from twisted.internet.interfaces import IConsumer, IDelayedCall, IProducer
from zope.interface import implementer

from mcpserve.features.call import Call


@implementer(IConsumer)
class Stream(Call):
    """A response that a tool takes over, as a Twisted producer takes over its consumer.

    The tool returns None and goes on until it says `finish` or `fail`, or until the response closes. A push producer
    may be registered: it is paused and resumed with the reader, and told to stop, once, when the response closes.
    """

    __slots__ = ("_producer", "_written")

    def __init__(self, **facts: Any) -> None:
        super().__init__(**facts)
        self._producer: Any = None
        self._written = 0

    def finish(self, value: object = None) -> None:
        """End with a value that a tool may return. Does nothing when the call has ended."""
        if not self.closed:
            self._outcome.finish(value)

    def fail(self, error: BaseException) -> None:
        """End with an error: the text of a `ToolError` reaches the model. Does nothing when the call has ended."""
        if not self.closed:
            self._outcome.fail(error)

    def write(self, data: bytes | str) -> None:
        """Say one piece of content: a progress message, numbered by its place."""
        self._written += 1
        self.progress(self._written, message=data if isinstance(data, str) else data.decode("utf-8", "replace"))

    def registerProducer(self, producer: IProducer, streaming: bool) -> None:
        """Take a producer; see `IConsumer`.

        Args:
            producer: An IPushProducer when `streaming`, else an IPullProducer, which is asked once a turn while the
                reader keeps up.

        Raises:
            RuntimeError: There is one already.
        """
        if self._producer is not None:
            raise RuntimeError(f"{self._producer!r} is already registered")
        if self.closed:
            self._tell(producer.stopProducing)
            return
        self._producer = producer if streaming else _Pull(self, producer)
        if self.paused:
            self._guarded(self._producer.pauseProducing)
        elif not streaming:
            self._producer.resumeProducing()

    def unregisterProducer(self) -> None:
        """Let go of the producer, without a word to it."""
        producer, self._producer = self._producer, None
        if isinstance(producer, _Pull):
            producer.pauseProducing()

    def pause(self) -> None:
        """See `Call.pause`."""
        super().pause()
        if self._producer is not None:
            self._guarded(self._producer.pauseProducing)

    def resume(self) -> None:
        """See `Call.resume`."""
        super().resume()
        if self._producer is not None and not self.paused:
            self._guarded(self._producer.resumeProducing)

    def close(self) -> None:
        """See `Call.close`; then the producer, if there is one, is told to stop."""
        super().close()
        producer, self._producer = self._producer, None
        if producer is not None:
            self._tell(producer.stopProducing)


class _Pull:
    """A pull producer, made to look like a push producer: asked once in each turn of the reactor while not paused."""

    def __init__(self, stream: Stream, producer: Any) -> None:
        self._stream = stream
        self._producer = producer
        self._next: IDelayedCall | None = None

    def resumeProducing(self) -> None:
        # Not on the wheel: its granularity is much longer than a turn.
        if self._next is None:
            self._next = self._stream.clock.callLater(0, self._pull)

    def pauseProducing(self) -> None:
        if self._next is not None:
            self._next.cancel()
            self._next = None

    def stopProducing(self) -> None:
        self.pauseProducing()
        self._producer.stopProducing()

    def _pull(self) -> None:
        self._next = None
        self._stream._guarded(self._producer.resumeProducing)
        if not self._stream.paused and self._stream._producer is self:
            self.resumeProducing()
