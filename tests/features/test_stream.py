"""The response stream that a tool takes over, as the consumer of a producer."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
from twisted.internet.interfaces import IConsumer
from twisted.python.failure import Failure
from zope.interface.verify import verifyClass

from mcpserve import Stream
from tests.held import hold


class Producer:
    """Writes down what it is told; does something on each word if it is given that."""

    def __init__(self, **reactions: Callable[[], object]) -> None:
        self.told: list[str] = []
        self.reactions = reactions

    def _hear(self, word: str) -> None:
        self.told.append(word)
        self.reactions.get(word, lambda: None)()

    def pauseProducing(self) -> None:
        """See IPushProducer."""
        self._hear("pause")

    def resumeProducing(self) -> None:
        """See IPushProducer."""
        self._hear("resume")

    def stopProducing(self) -> None:
        """See IPushProducer."""
        self._hear("stop")


def _break() -> None:
    raise ZeroDivisionError


def test_a_stream_is_a_consumer() -> None:
    """It has the methods of the interface that it claims."""
    assert verifyClass(IConsumer, Stream)


def test_write() -> None:
    """Each piece is a message, numbered; bytes that are no UTF-8 are shown with the replacement character."""
    held = hold()
    held.stream.write("a")
    held.stream.write(b"b\xff")
    held.stream.progress(10)
    held.stream.write("c")
    assert [(p.value, p.message) for p in held.call.progress if p.message] == [
        (1, "a"),
        (2, "b\ufffd"),
        (math.nextafter(10, 11), "c"),
    ]


def test_a_push_producer() -> None:
    """Paused and resumed with the reader, and stopped once when the response closes."""
    held, producer = hold(), Producer()
    held.stream.registerProducer(producer, True)
    held.call.stall()
    held.call.stall()
    held.call.resume()
    held.call.resume()
    held.call.drop()
    held.call.drop()
    assert producer.told == ["pause", "resume", "stop"]


def test_a_producer_that_comes_to_a_slow_reader() -> None:
    """It is paused at once."""
    held, producer = hold(), Producer()
    held.call.stall()
    held.stream.registerProducer(producer, True)
    assert producer.told == ["pause"]


def test_a_producer_that_comes_too_late() -> None:
    """It is stopped at once."""
    held, producer = hold(), Producer()
    held.call.drop()
    held.stream.registerProducer(producer, True)
    assert producer.told == ["stop"]


def test_one_producer_at_a_time() -> None:
    """A second one is refused; after unregistering there is room, and the first hears nothing more."""
    held, first, second = hold(), Producer(), Producer()
    held.stream.registerProducer(first, True)
    with pytest.raises(RuntimeError):
        held.stream.registerProducer(second, True)
    held.stream.unregisterProducer()
    held.stream.registerProducer(second, True)
    held.call.drop()
    assert (first.told, second.told) == ([], ["stop"])


def test_a_pull_producer_is_asked_once_a_turn() -> None:
    """It is asked as long as it is there; a turn of a reactor is much shorter than the wheel's granularity."""
    held = hold()

    def give() -> None:
        held.stream.write("piece")
        if len(held.call.progress) == 3:
            held.stream.unregisterProducer()

    producer = Producer(resume=give)
    held.stream.registerProducer(producer, False)
    assert producer.told == []
    held.runner.clock.advance(0)
    assert producer.told == ["resume"] * 3
    assert held.runner.clock.getDelayedCalls() == []


def test_a_pull_producer_waits_for_the_reader() -> None:
    """Paused it is not asked; a pause and a resume while it is asked do not make it faster."""
    held = hold()

    def give() -> None:
        held.stream.write("piece")
        assert held.runner.clock.getDelayedCalls() == []
        held.call.stall()
        if len(producer.told) == 1:
            held.call.resume()

    producer = Producer(resume=give)
    held.stream.registerProducer(producer, False)
    held.runner.clock.advance(1)
    assert producer.told == ["resume"] * 2
    held.runner.clock.advance(1)
    assert producer.told == ["resume"] * 2
    held.call.resume()
    held.runner.clock.advance(1)
    assert producer.told == ["resume"] * 3
    held.call.drop()
    assert producer.told == [*["resume"] * 3, "stop"]
    assert held.runner.leftovers() == []


@pytest.mark.parametrize("word", ["pause", "resume"])
def test_a_producer_that_fails(word: str, flush_logged_errors: Callable[..., list[Failure]]) -> None:
    """Its call fails; nothing of it reaches the connection, which other calls may share."""
    held, producer = hold(), Producer(**{word: _break})
    held.stream.registerProducer(producer, True)
    held.call.stall()
    held.call.resume()
    assert held.call.result.is_error
    assert "under id" in held.call.text
    assert held.runner.leftovers() == []
    assert producer.told[-1] == "stop"


def test_a_pull_producer_that_fails() -> None:
    """So does one that is asked."""
    held = hold()
    held.stream.registerProducer(Producer(resume=_break), False)
    held.runner.clock.advance(0)
    assert held.call.result.is_error
    assert held.runner.leftovers() == []


@pytest.mark.parametrize("streaming", [True, False])
def test_a_producer_that_fails_to_stop(streaming: bool, flush_logged_errors: Callable[..., list[Failure]]) -> None:
    """The call ends all the same: its place is given back and its reply stands."""
    held = hold()
    held.stream.registerProducer(Producer(stop=_break), streaming)
    held.stream.finish("x")
    assert held.call.text == "x"
    assert held.runner.leftovers() == []
    assert len(flush_logged_errors(ZeroDivisionError)) == 1
