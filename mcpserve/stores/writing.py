"""Writes to a file that blocks without ever waiting for it: in batches, in one thread, in order.

    state       add(row)                              leaves it when
    in step     the row waits for the next batch,     a batch fails or takes too long, or too much waits: → fallen
                its `then` for the batch's end
    fallen      the row is dropped, `then` is called  after some time, if the thread is back: → rewriting
    rewriting   the row waits, `then` is called       all was written anew: → in step; or not: → fallen

What happens in one turn of the reactor, or while the thread writes, leaves together as one transaction. So there are
few transactions when much happens, and a row alone waits for nothing but the disk.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Iterable, Mapping
from typing import Protocol

import attrs
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from mcpserve.stores.sqlite import Row, Statement

_log = Logger()

Rows = Iterable[tuple[Statement, Row]]


class File(Protocol):
    """What is written to; all of it blocks.

    Attributes:
        path: Its name.
    """

    @property
    def path(self) -> object:
        """Its name."""

    def write(self, batch: Mapping[Statement, list[Row]]) -> None:
        """Write all of it, or nothing and raise StoreError."""

    def tidy(self) -> None:
        """Give space back."""

    def close(self) -> None:
        """Close it."""


class Run(Protocol):
    """Runs a function in the one thread of the file, after those that it was given before."""

    def __call__(self, f: Callable[[], None]) -> Deferred[None]:
        """Fires: in the reactor's thread, when `f` has returned or raised."""


@attrs.frozen(kw_only=True)
class WriteLimits:
    """How much may wait for the disk.

    Args:
        rows: Rows that wait.
        size: Bytes in them.
        patience: Seconds that a batch may take.
        retry: Seconds after which it is tried again when it has failed.
    """

    rows: int = 50_000
    size: int = 64 * 1024 * 1024
    patience: float = 10.0
    retry: float = 30.0


class State(enum.Enum):
    """How the file and what it should hold go together; see the table above."""

    IN_STEP = "in step"
    FALLEN = "fallen"
    REWRITING = "rewriting"


@attrs.define(eq=False)
class Batch:
    """What is written together."""

    rows: dict[Statement, list[Row]] = attrs.field(factory=dict)
    thens: list[Callable[[], object]] = attrs.field(factory=list)
    count: int = 0
    size: int = 0

    def __bool__(self) -> bool:
        return bool(self.count or self.thens)

    def add(self, statement: Statement, row: Row) -> None:
        """Add a row."""
        rows = self.rows.get(statement)
        if rows is None:
            self.rows[statement] = [row]
        else:
            rows.append(row)
        self.count += 1


class Writer:
    """Writes rows to a file, soon and in batches.

    Args:
        clock: The reactor, or a `task.Clock`; owned by the caller.
        run: Runs a function in the thread of the file.
        file: The file, open.
        limits: How much may wait for it.
    """

    def __init__(self, clock: IReactorTime, run: Run, file: File, limits: WriteLimits = WriteLimits()) -> None:
        self.state = State.IN_STEP
        self._clock = clock
        self._run = run
        self._file = file
        self._limits = limits
        self._waiting = Batch()
        self._writing: Batch | None = None
        self._busy = False
        self._timers: dict[str, IDelayedCall] = {}
        self._rewrites: list[Callable[[], Rows]] = []
        self._idle: list[Deferred[None]] = []

    def on_rewrite(self, rows: Callable[[], Rows]) -> None:
        """Say what is to be written when all has to be written anew; it begins with what removes the old."""
        self._rewrites.append(rows)

    def add(self, statement: Statement, row: Row, size: int = 0, then: Callable[[], object] | None = None) -> None:
        """Write a row, soon.

        Args:
            statement: What to do with it.
            row: Its values.
            size: Bytes in it, about, where they count.
            then: Called when it is written, or when that is given up; rows before it come first.
        """
        if self.state is not State.FALLEN:
            waiting = self._waiting
            waiting.add(statement, row)
            waiting.size += size
            if waiting.count > self._limits.rows or waiting.size > self._limits.size:
                self._fall(f"more waits for it than {self._limits.rows} rows or {self._limits.size} bytes")
            else:
                self._soon()
        if then is not None:
            self.then(then)

    def then(self, then: Callable[[], object]) -> None:
        """Call `then` when all that was added is written, or when that is given up; at once if nothing waits."""
        if self.state is not State.IN_STEP or not (self._waiting or self._writing):
            _call(then)
        else:
            self._waiting.thens.append(then)
            self._soon()

    def tidy(self) -> None:
        """Have the file give space back."""
        if self.state is State.IN_STEP and not self._busy:
            self._work(self._file.tidy)

    async def close(self) -> None:
        """Write what waits, or all anew if need be, and close the file. If the disk does not answer, that is given up.

        Nothing may be added any more.
        """
        if self.state is State.FALLEN:
            self._rewrite()
        await self.written()
        self._stop("retry")
        self.state = State.FALLEN
        closed = self._run(self._file.close).addErrback(lambda failure: None)
        await closed.addTimeout(self._limits.patience, self._clock, lambda *_: None)

    # --- in step

    def _soon(self) -> None:
        if not self._busy and "hand over" not in self._timers:
            self._timers["hand over"] = self._clock.callLater(0, self._hand_over)

    def _hand_over(self) -> None:
        self._stop("hand over")
        if self._busy:  # the file is being tidied; what waits is handed over after that
            return
        batch, self._waiting = self._waiting, Batch()
        self._writing = batch
        self._work(lambda: self._file.write(batch.rows))

    def _work(self, work: Callable[[], None]) -> None:
        self._busy = True
        self._timers["patience"] = self._clock.callLater(self._limits.patience, self._late)
        self._run(work).addCallbacks(self._done, self._failed)

    def _done(self, result: object) -> None:
        self._busy = False
        self._stop("patience")
        batch, self._writing = self._writing, None
        if self.state is State.REWRITING:
            self.state = State.IN_STEP
            _log.info("The store {path} is written again", path=str(self._file.path))
        if batch is not None:
            for then in batch.thens:
                _call(then)
        if self._waiting and not self._busy:
            self._hand_over()
        self._tell_idle()

    # --- out of step

    def _failed(self, failure: Failure) -> None:
        self._busy = False
        self._stop("patience")
        self._fall(failure.getErrorMessage())

    def _late(self) -> None:
        self._timers.pop("patience", None)
        self._fall(f"it takes longer than {self._limits.patience:g} s")

    def _fall(self, problem: str) -> None:
        """Go on without the file: nobody waits for it, and what it should hold is written later."""
        if self.state is State.IN_STEP:
            _log.error(
                "The store {path} can't be written: {problem}. Sessions and streams go on in memory; what they say now "
                "is lost if the server ends before the store can be written again.",
                path=str(self._file.path),
                problem=problem,
            )
        self.state = State.FALLEN
        batches, self._writing, self._waiting = (self._writing, self._waiting), None, Batch()
        self._stop("hand over")
        self._stop("retry")
        self._timers["retry"] = self._clock.callLater(self._limits.retry, self._rewrite)
        for batch in batches:
            for then in batch.thens if batch is not None else ():
                _call(then)
        self._tell_idle()

    def _rewrite(self) -> None:
        """Write all anew, if the thread has come back from what it did."""
        self._stop("retry")
        if self._busy:
            self._timers["retry"] = self._clock.callLater(self._limits.retry, self._rewrite)
            return
        self.state = State.REWRITING
        batch = Batch()
        for rows in self._rewrites:
            for statement, row in rows():
                batch.add(statement, row)
        self._work(lambda: self._file.write(batch.rows))

    async def written(self) -> None:
        """Wait until nothing waits any more, be it written or given up."""
        while self._waiting or self._writing or self.state is State.REWRITING:
            self._soon()
            idle: Deferred[None] = Deferred()
            self._idle.append(idle)
            await idle

    def _tell_idle(self) -> None:
        idle, self._idle = self._idle, []
        for waiter in idle:
            waiter.callback(None)

    def _stop(self, timer: str) -> None:
        delayed = self._timers.pop(timer, None)
        if delayed is not None and delayed.active():
            delayed.cancel()


def _call(then: Callable[[], object]) -> None:
    try:
        then()
    except Exception:
        _log.failure("What waited for the store failed")
