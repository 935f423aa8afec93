"""How the process of a command ends."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator

import pytest
from twisted.internet.defer import CancelledError, Deferred
from twisted.python.failure import Failure

from mcpserve.cli.running import PipeWatch, Running
from mcpserve.cli.surroundings import Job, Surroundings
from tests.cli.stand_in import ReactorClock, StandIn, Stream


class Process:
    """A job in what would be a process."""

    def __init__(self, job: Job, *, terminal: bool = False) -> None:
        self.clock, self.err, self.ended = ReactorClock(), Stream(terminal=terminal), list[int]()
        self.running = Running(self.clock, self.err, self.ended.append)
        around = Surroundings(
            reactor=self.clock,
            input=Stream(),
            out=Stream(),
            err=self.err,
            environment={},
            connect=StandIn().connect,  # type: ignore[arg-type]
            ending=self.running,
        )
        self.running.begin(job, around)

    def signal(self, number: int) -> None:
        """The system sends a signal."""
        self.running.on_signal(number, None)
        self.clock.advance(0)


async def waiting(around: Surroundings) -> int:
    """A job that never ends by itself."""
    await Deferred()
    return 0


async def patient(around: Surroundings) -> int:
    """A job that takes a second to end when it is cancelled."""
    try:
        await Deferred()
    except CancelledError:
        later: Deferred[None] = Deferred()
        around.reactor.callLater(1, later.callback, None)
        await later
        raise
    return 0


async def done(around: Surroundings) -> int:
    """A job that ends at once."""
    return 3


async def broken(around: Surroundings) -> int:
    """A job with a bug."""
    raise KeyError("bug")


async def unread(around: Surroundings) -> int:
    """A job whose words nobody reads."""
    raise BrokenPipeError


def test_the_status_is_that_of_the_job() -> None:
    """And the reactor stops."""
    process = Process(done)
    assert process.clock.stopped
    assert process.running.outcome() == 3


def test_a_bug_is_not_hidden() -> None:
    """It comes out as the exception that it is."""
    process = Process(broken)
    with pytest.raises(KeyError):
        process.running.outcome()


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_cancels(number: int, status: int) -> None:
    """With a word to the person."""
    process = Process(waiting)
    process.signal(number)
    assert process.running.outcome() == status
    assert "cancelling on the server" in process.err.text
    assert process.ended == []


def test_the_second_signal_ends_at_once() -> None:
    """Whatever the job is still doing; the cursor is there again."""
    process = Process(patient, terminal=True)
    process.signal(signal.SIGINT)
    assert not process.clock.stopped
    process.clock.advance(0.5)
    process.signal(signal.SIGINT)
    assert process.ended == [130]
    assert process.err.text.endswith("\x1b[?25h")


def test_two_signals_at_once_are_one() -> None:
    """`timeout` signals a process, and then its group."""
    process = Process(patient)
    process.signal(signal.SIGINT)
    process.signal(signal.SIGINT)
    assert process.ended == []
    process.clock.advance(1)
    assert process.running.outcome() == 130


def test_a_pipe_that_nobody_reads() -> None:
    """Ends without a word, by an exception or from outside."""
    assert Process(unread).running.outcome() == 141
    process = Process(waiting)
    process.running.cancel(141)
    process.running.cancel(1)
    assert not process.clock.stopped
    process.clock.advance(0)
    assert process.running.outcome() == 141
    assert process.err.text == ""


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    """The two ends of a pipe."""
    reading, writing = os.pipe()
    yield reading, writing
    for end in (reading, writing):
        os.close(end)


def test_a_pipe_is_watched(pipe: tuple[int, int]) -> None:
    """So that a command which says nothing hears that nobody listens."""
    process = Process(waiting)
    with os.fdopen(os.dup(pipe[1]), "w") as out:
        watch = PipeWatch(out, process.running)
        watch.watch(process.clock)
        assert process.clock.reader is watch
        assert watch.logPrefix() == "pipe"
        failure = watch.doRead()
        assert isinstance(failure, Failure)
        watch.connectionLost(failure)
    process.clock.advance(0)
    assert process.running.outcome() == 141


def test_a_file_is_not_watched() -> None:
    """There is nobody who could go away."""
    clock = ReactorClock()
    with open(os.devnull, "w") as out:
        PipeWatch(out, Process(waiting).running).watch(clock)
    assert not hasattr(clock, "reader")
