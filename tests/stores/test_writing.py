"""The writer: batches, what waits for them, and what becomes of both when the file fails."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any

import attrs
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.logger import LogEvent, globalLogPublisher

from mcpserve.errors import StoreError
from mcpserve.stores.sqlite import Row, Statement
from mcpserve.stores.writing import Rows, State, WriteLimits, Writer
from tests.conftest import LoggedErrors

PUT = Statement(1, "put")
CLEAR = Statement(0, "clear")


@attrs.define(eq=False)
class File:
    """A file that notes what is written, in a thread that the test turns. Implements `stores.writing.File`."""

    path: str = "the.db"
    content: list[Row] = attrs.Factory(list)
    batches: list[int] = attrs.Factory(list)
    problem: str | None = None
    tidied: int = 0
    closed: bool = False
    jobs: list[tuple[Deferred[None], Callable[[], None]]] = attrs.Factory(list)

    def write(self, batch: Mapping[Statement, list[Row]]) -> None:
        """Note it."""
        if self.problem is not None:
            raise StoreError(self.problem)
        if CLEAR in batch:
            self.content.clear()
        self.content += batch.get(PUT, [])
        self.batches.append(sum(map(len, batch.values())))

    def tidy(self) -> None:
        """Note it."""
        if self.problem is not None:
            raise StoreError(self.problem)
        self.tidied += 1

    def close(self) -> None:
        """Note it."""
        self.closed = True

    def run(self, f: Callable[[], None]) -> Deferred[None]:
        """Take a job."""
        done: Deferred[None] = Deferred()
        self.jobs.append((done, f))
        return done

    def work(self) -> None:
        """Do the oldest job."""
        done, f = self.jobs.pop(0)
        try:
            f()
        except StoreError as error:
            done.errback(error)
        else:
            done.callback(None)


class Bench:
    """A writer with its file."""

    def __init__(self, **limits: Any) -> None:
        self.clock = Clock()
        self.file = File()
        self.writer = Writer(self.clock, self.file.run, self.file, WriteLimits(**limits))
        self.writer.on_rewrite(self._all)
        self.truth: list[Row] = []
        self.heard: list[int] = []

    def _all(self) -> Rows:
        yield CLEAR, ()
        yield from ((PUT, row) for row in self.truth)

    def put(self, number: int, *, size: int = 1) -> None:
        """Write a row, and note when that is done."""
        self.truth.append((number,))
        self.writer.add(PUT, (number,), size, partial(self.heard.append, number))

    def turn(self) -> None:
        """Let the reactor turn."""
        self.clock.advance(0)


@pytest.fixture
def bench() -> Bench:
    """With the usual limits."""
    return Bench()


@pytest.fixture
def lines() -> Iterator[list[LogEvent]]:
    """What is logged."""
    seen: list[LogEvent] = []

    def observe(event: LogEvent) -> None:
        if event.get("log_namespace") == "mcpserve.stores.writing":
            seen.append(event)

    globalLogPublisher.addObserver(observe)
    yield seen
    globalLogPublisher.removeObserver(observe)


# --- in step


def test_a_turn_is_a_batch(bench: Bench) -> None:
    """What is added in one turn is written together, and only then is anybody told."""
    for number in range(5):
        bench.put(number)
    assert bench.file.jobs == []
    bench.turn()
    assert bench.heard == []
    bench.file.work()
    assert (bench.file.batches, bench.heard) == ([5], [0, 1, 2, 3, 4])
    assert bench.clock.getDelayedCalls() == []


def test_what_comes_meanwhile(bench: Bench) -> None:
    """It waits for the next batch, which follows at once."""
    bench.put(0)
    bench.turn()
    for number in (1, 2, 3):
        bench.put(number)
        bench.turn()
    assert len(bench.file.jobs) == 1
    bench.file.work()
    assert bench.heard == [0]
    bench.file.work()
    assert (bench.file.batches, bench.heard) == ([1, 3], [0, 1, 2, 3])


def test_rows_that_nobody_waits_for(bench: Bench) -> None:
    """They are written all the same."""
    bench.writer.add(PUT, (1,))
    bench.turn()
    bench.file.work()
    assert bench.file.content == [(1,)]


def test_then(bench: Bench) -> None:
    """Called in order, after what was added before; at once if nothing waits."""
    bench.writer.then(partial(bench.heard.append, -1))
    assert bench.heard == [-1]
    bench.put(0)
    bench.writer.then(partial(bench.heard.append, -2))
    bench.turn()
    bench.put(1)
    bench.writer.then(partial(bench.heard.append, -3))
    bench.file.work()
    assert bench.heard == [-1, 0, -2]
    bench.file.work()
    assert bench.heard == [-1, 0, -2, 1, -3]


def test_somebody_who_adds_when_he_is_told(bench: Bench) -> None:
    """That is the next batch."""
    bench.writer.add(PUT, (1,), then=lambda: bench.put(2))
    bench.turn()
    bench.file.work()
    bench.turn()
    bench.file.work()
    assert bench.file.content == [(1,), (2,)]


def test_somebody_who_fails_when_he_is_told(bench: Bench, logged_errors: LoggedErrors) -> None:
    """The others are told all the same, and the log has it."""
    bench.put(0)
    bench.writer.then(lambda: 1 / 0)
    bench.put(1)
    bench.turn()
    bench.file.work()
    assert bench.heard == [0, 1]
    assert len(logged_errors.flush(ZeroDivisionError)) == 1


def test_tidy(bench: Bench) -> None:
    """In the same thread, when it has nothing else to do."""
    bench.writer.tidy()
    bench.put(0)
    bench.turn()
    assert len(bench.file.jobs) == 1
    bench.writer.tidy()
    bench.file.work()
    bench.file.work()
    assert (bench.file.tidied, bench.heard) == (1, [0])
    assert bench.file.jobs == []


# --- out of step


def test_a_batch_that_fails(bench: Bench, lines: list[LogEvent]) -> None:
    """Everybody is told, one line is logged, and then nothing waits for the file."""
    bench.file.problem = "no room"
    bench.put(0)
    bench.turn()
    bench.put(1)
    bench.file.work()
    assert bench.heard == [0, 1]
    bench.put(2)
    assert bench.heard == [0, 1, 2]
    assert [(line["log_level"].name, line["path"], line["problem"]) for line in lines] == [
        ("error", "the.db", "no room")
    ]
    assert bench.file.jobs == []


def test_it_is_tried_again(bench: Bench, lines: list[LogEvent]) -> None:
    """All is written anew, in one batch; what comes meanwhile follows, and nobody waits for it."""
    bench.file.problem = "no room"
    for number in range(3):
        bench.put(number)
    bench.turn()
    bench.file.work()
    bench.clock.advance(30)
    bench.file.work()
    assert len(lines) == 1, "that it fails again is not said again"
    bench.put(3)
    bench.file.problem = None
    bench.clock.advance(30)
    bench.put(4)
    assert bench.heard == [0, 1, 2, 3, 4]
    bench.file.work()
    assert bench.file.content == bench.truth[:-1]
    bench.file.work()
    assert bench.file.content == bench.truth
    assert bench.writer.state is State.IN_STEP
    assert [line["log_level"].name for line in lines] == ["error", "info"]
    bench.put(5)
    assert bench.heard[-1] == 4


def test_a_file_that_hangs(bench: Bench, lines: list[LogEvent]) -> None:
    """Nobody waits for longer than that; it is tried again when it has come back, and not before."""
    bench.put(0)
    bench.turn()
    bench.put(1)
    bench.clock.advance(9)
    assert bench.heard == []
    bench.clock.advance(1)
    assert bench.heard == [0, 1]
    assert "longer than 10 s" in lines[0]["problem"]
    bench.clock.pump([30.0] * 3)
    assert len(bench.file.jobs) == 1
    bench.put(2)
    bench.file.work()
    assert bench.writer.state is State.FALLEN
    bench.clock.advance(30)
    bench.file.work()
    assert bench.file.content == bench.truth
    assert bench.heard == [0, 1, 2]


def test_a_file_that_hangs_and_fails(bench: Bench) -> None:
    """Nobody is told twice."""
    bench.put(0)
    bench.turn()
    bench.clock.advance(10)
    bench.file.problem = "gone"
    bench.file.work()
    assert bench.heard == [0]
    bench.file.problem = None
    bench.clock.advance(30)
    bench.file.work()
    assert bench.file.content == bench.truth


@pytest.mark.parametrize("limits", [{"rows": 5}, {"size": 5}])
def test_more_than_may_wait(limits: dict[str, int], lines: list[LogEvent]) -> None:
    """What waits in memory is bounded; past that nobody waits, and all is written anew."""
    bench = Bench(**limits)
    bench.put(0)
    bench.turn()
    for number in range(1, 8):
        bench.put(number)
    assert bench.heard == list(range(8))
    assert "more waits for it" in lines[0]["problem"]
    bench.file.work()
    bench.clock.advance(30)
    bench.file.work()
    assert bench.file.content == bench.truth


def test_more_than_may_wait_while_all_is_written_anew() -> None:
    """It is tried once more."""
    bench = Bench(rows=3)
    bench.file.problem = "no room"
    bench.put(0)
    bench.turn()
    bench.file.work()
    bench.file.problem = None
    bench.clock.advance(30)
    for number in range(1, 9):
        bench.put(number)
    bench.file.work()
    assert bench.writer.state is State.FALLEN
    bench.clock.advance(30)
    bench.file.work()
    assert bench.file.content == bench.truth


def test_tidying_that_fails(bench: Bench) -> None:
    """It is a file that fails, too."""
    bench.file.problem = "gone"
    bench.writer.tidy()
    bench.file.work()
    assert bench.writer.state is State.FALLEN
    bench.writer.tidy()
    assert bench.file.jobs == []


# --- the end


def closing(bench: Bench) -> list[object]:
    """Close it; the list has an element when that is over."""
    over: list[object] = []
    Deferred.fromCoroutine(bench.writer.close()).addCallback(over.append)
    return over


def test_the_end(bench: Bench) -> None:
    """What waits is written first."""
    bench.put(0)
    bench.turn()
    bench.put(1)
    over = closing(bench)
    bench.file.work()
    bench.file.work()
    assert over == []
    bench.file.work()
    assert (len(over), bench.file.content, bench.file.closed) == (1, bench.truth, True)
    assert bench.clock.getDelayedCalls() == []


def test_the_end_of_one_that_does_nothing(bench: Bench) -> None:
    """It is closed at once."""
    over = closing(bench)
    bench.file.work()
    assert len(over) == 1
    assert bench.clock.getDelayedCalls() == []


@pytest.mark.parametrize("better", [True, False])
def test_the_end_of_one_that_has_failed(bench: Bench, better: bool) -> None:
    """It is tried once more, and no more."""
    bench.file.problem = "no room"
    bench.put(0)
    bench.turn()
    bench.file.work()
    bench.file.problem = None if better else "no room"
    over = closing(bench)
    bench.file.work()
    bench.turn()
    bench.file.work()
    assert (len(over), bench.file.closed) == (1, True)
    assert bench.file.content == (bench.truth if better else [])
    assert bench.clock.getDelayedCalls() == []


def test_the_end_of_one_that_hangs(bench: Bench) -> None:
    """The process does not wait for ever."""
    bench.put(0)
    bench.turn()
    over = closing(bench)
    bench.clock.advance(10)
    assert bench.heard == [0]
    bench.clock.advance(10)
    assert len(over) == 1
    bench.file.work()
    bench.file.work()
    assert bench.clock.getDelayedCalls() == []


class Writing(RuleBasedStateMachine):
    """A file that fails, hangs and comes back at any time.

    Everybody is told once and in order; in step nobody is told before his row is in the file; what is in the file is
    right, and when all is quiet it is complete.
    """

    def __init__(self) -> None:
        super().__init__()
        self.bench = Bench(rows=12)
        self.number = 0
        self.told = 0

    @rule(number=st.integers(1, 5))
    def put(self, number: int) -> None:
        """Rows are added."""
        for _ in range(number):
            self.bench.put(self.number)
            self.number += 1
        if self.bench.writer.state is not State.IN_STEP:
            self.told = self.number

    @rule()
    def turn(self) -> None:
        """The reactor turns."""
        self.bench.turn()

    @rule()
    def work(self) -> None:
        """The thread gets something done."""
        if self.bench.file.jobs:
            self.bench.file.work()

    @rule(problem=st.sampled_from([None, None, "no room"]))
    def fail(self, problem: str | None) -> None:
        """The disk is full, or has room again."""
        self.bench.file.problem = problem

    @rule(seconds=st.sampled_from([1.0, 6.0, 31.0]))
    def wait(self, seconds: float) -> None:
        """Time passes."""
        self.bench.clock.advance(seconds)

    @rule()
    def tidy(self) -> None:
        """The file is tidied."""
        self.bench.writer.tidy()

    @rule()
    def come_to_rest(self) -> None:
        """All is well for a while: then all is written, and nothing is left."""
        self.bench.file.problem = None
        for _ in range(8):
            while self.bench.file.jobs:
                self.bench.file.work()
            self.bench.clock.advance(30.0)
        assert self.bench.writer.state is State.IN_STEP
        assert self.bench.file.content == self.bench.truth
        assert self.bench.heard == [row[0] for row in self.bench.truth]
        assert self.bench.clock.getDelayedCalls() == []

    @invariant()
    def once_and_in_order(self) -> None:
        """Nobody is forgotten for good, told twice, or before those who came first."""
        assert self.bench.heard == list(range(len(self.bench.heard)))

    @invariant()
    def right(self) -> None:
        """The file holds the truth up to some moment."""
        content = self.bench.file.content
        assert content == self.bench.truth[: len(content)]

    @invariant()
    def not_before_it_is_written(self) -> None:
        """Who has added his row in step, and is told in step, finds it in the file."""
        if self.bench.writer.state is State.IN_STEP:
            assert len(self.bench.heard) <= max(self.told, len(self.bench.file.content))

    @invariant()
    def one_job(self) -> None:
        """The thread is given one thing at a time."""
        assert len(self.bench.file.jobs) <= 1


TestWriting = Writing.TestCase
TestWriting.settings = settings(max_examples=80, stateful_step_count=40, deadline=None)
