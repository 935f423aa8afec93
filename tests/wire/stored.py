"""A store in a real SQLite file, on the test's own clock: its thread is a turn of the reactor, or some seconds."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import attrs
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock, deferLater

from mcpserve.errors import StoreError
from mcpserve.stores.sqlite import Row, SqliteFile, Statement
from mcpserve.stores.sqlite_sessions import SCHEMA, SqliteSessions
from mcpserve.stores.writing import WriteLimits, Writer
from tests.wire.server import Limits, Server


class Disk:
    """A file that outlives servers, on a disk that may be slow or broken. Implements `stores.writing.File`.

    Attributes:
        seconds: How long everything takes.
        problem: What is wrong with it, if something is.
        writer: The writer of the server that runs now.
    """

    def __init__(self, path: Path, limits: WriteLimits | None = None) -> None:
        self.path = path
        self.seconds = 0.0
        self.problem: str | None = None
        self._limits = limits or WriteLimits()
        self._file = SqliteFile(path, [SCHEMA], patience=0.0)

    def journal(self, clock: Clock) -> SqliteSessions:
        """Open the file for a server."""
        self._file.open()
        self.writer = Writer(clock, lambda f: self._run(clock, f), self, self._limits)
        return SqliteSessions(self._file, self.writer)

    def kill(self) -> None:
        """The server is killed: what waits in its memory is gone."""
        self._file.close()

    def rows(self, table: str) -> int:
        """How many rows there are in a table."""
        return int(next(self._file.read(f"SELECT count(*) FROM {table}"))[0])

    @property
    def pages(self) -> int:
        """How large it is."""
        return int(next(self._file.read("PRAGMA page_count"))[0])

    def content(self) -> dict[str, int]:
        """How many rows there are in each."""
        return {table: self.rows(table) for table in ("sessions", "streams", "events")}

    # --- File

    def write(self, batch: Mapping[Statement, list[Row]]) -> None:
        """See `File`."""
        if self.problem is not None:
            raise StoreError(self.problem)
        self._file.write(batch)

    def tidy(self) -> None:
        """See `File`."""
        self._file.tidy()

    def close(self) -> None:
        """See `File`."""
        self._file.close()

    def _run(self, clock: Clock, f: Callable[[], Any]) -> Deferred[Any]:
        return deferLater(clock, self.seconds, f)


@attrs.define
class Kept:
    """Makes servers whose streams are written down, or not."""

    path: Path | None = None
    made: int = 0

    def server(self, *tools: object, limits: Limits | None = None) -> Server:
        """A server with these tools."""
        limits = limits or Limits()
        if self.path is None:
            return Server(*tools, limits=limits)
        self.made += 1
        return Server(*tools, limits=limits, journal=Disk(self.path / f"{self.made}.db").journal)
