"""One SQLite file: opened with care, and written in batches. It knows neither Twisted nor what is kept in it.

All of it blocks. It is opened and read before the server listens, and written from a thread of its own
(`stores.writing`). The file is for one server at a time: it is locked for as long as it is open, which spares the
shared memory beside it too.

What is committed survives the end of the process at any moment. With `synchronous = NORMAL` nothing waits for the disk
itself, so that a failure of the machine may take the last moments with it, but nothing of what is older.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import attrs

from mcpserve.errors import StoreError

APPLICATION = 0x4D435053
"""`PRAGMA application_id`: MCPS."""

_LOG_PAGES = 4000
"""Pages in SQLite's log, about, before they go into the file: 16 MB."""

_VACUUM_PAGES = 1000
"""Pages that are given back to the file system at a time, at the most."""

_MOST_ROWS = 64
"""Rows in one statement, at the most: a power of two. SQLite may be built to take as few as 999 values."""

Row = Sequence[Any]


@attrs.frozen(eq=False, repr=False)
class Statement:
    """What is written, with a row of values for each time. In a batch those of a lower rank come first.

    As nothing is given a key twice, what adds has a low rank and what removes a high one: the order among them does
    not matter, and all rows of a statement can be written at once.

    Args:
        rank: Its place in a batch.
        sql: The statement for one row; with `each` its beginning.
        each: The part that is repeated for each row, with a comma between, if one statement can write many rows.
        tail: The end of it.
    """

    rank: int
    sql: str
    each: str = ""
    tail: str = ""

    def of(self, rows: int) -> str:
        """The statement for so many rows at once."""
        return self.sql + ", ".join([self.each] * rows) + self.tail


class SqliteFile:
    """An SQLite database.

    Args:
        path: The file; it is made if it is not there.
        migrations: SQL scripts that bring the schema from each version to the next; the first makes it.
        patience: Seconds to wait for another process that is about to end.
    """

    def __init__(self, path: Path, migrations: Sequence[str], patience: float = 1.0) -> None:
        self.path = path
        self._migrations = migrations
        self._patience = patience
        self._connection: sqlite3.Connection | None = None

    def open(self) -> None:
        """Open the file, and bring its schema up to date.

        Raises:
            StoreError: It can't be opened, is in use, is damaged, or is something else. The message is a sentence.
        """
        try:
            self._make_private()
            self._connection = sqlite3.connect(
                self.path, timeout=self._patience, isolation_level=None, check_same_thread=False
            )
            self._prepare()
        except (OSError, sqlite3.Error) as error:
            self.close()
            raise StoreError(f"The store {self.path} {_problem(error)}") from error
        except StoreError:
            self.close()
            raise

    def close(self) -> None:
        """Close the file. What was written is in it, and in it alone."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    def read(self, sql: str, *values: Any) -> Iterator[Any]:
        """Read rows.

        Raises:
            StoreError: It can't be read. The message is a sentence.
        """
        try:
            yield from self._open.execute(sql, values)
        except sqlite3.Error as error:
            raise StoreError(f"The store {self.path} {_problem(error)}") from error

    def write(self, batch: Mapping[Statement, Sequence[Row]]) -> None:
        """Write all of it, or nothing.

        Raises:
            StoreError: It can't be written. The message is what is wrong with the file.
        """
        connection = self._open
        try:
            connection.execute("BEGIN IMMEDIATE")
            for statement in sorted(batch, key=lambda statement: statement.rank):
                if statement.each:
                    _write_many(connection, statement, batch[statement])
                else:
                    connection.executemany(statement.sql, batch[statement])
            connection.execute("COMMIT")
        except BaseException as error:
            # Also what a row holds may be wrong: a transaction that stays open would keep all others from beginning.
            self._roll_back()
            if isinstance(error, sqlite3.Error):
                raise StoreError(_problem(error)) from error
            raise

    def tidy(self) -> None:
        """Give space back that is not needed any more, if it is more than half of the file.

        Raises:
            StoreError: It can't be done. The message is what is wrong with the file.
        """
        try:
            free, pages = (self._pragma(name) for name in ("freelist_count", "page_count"))
            if free > pages // 2:
                # a script, as a single statement is left after its first page
                self._open.executescript(f"PRAGMA incremental_vacuum({_VACUUM_PAGES})")
        except sqlite3.Error as error:
            raise StoreError(_problem(error)) from error

    @property
    def _open(self) -> sqlite3.Connection:
        if self._connection is None:
            raise StoreError("is closed")
        return self._connection

    def _make_private(self) -> None:
        """What tools answer is nobody else's business; files that SQLite puts beside it get the same mode."""
        os.close(os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
        if os.stat(self.path).st_mode & 0o077:
            os.chmod(self.path, 0o600)

    def _prepare(self) -> None:
        connection = self._open
        connection.execute("PRAGMA locking_mode = EXCLUSIVE")
        version, application = self._pragma("user_version"), self._pragma("application_id")
        empty = not self._pragma("schema_version")
        if not empty and application != APPLICATION:
            raise StoreError(f"The store {self.path} is a database of something else; name another file")
        if version > len(self._migrations):
            raise StoreError(
                f"The store {self.path} was written by a newer mcpserve (schema {version}, this one knows "
                f"{len(self._migrations)}); name another file"
            )
        if empty:
            # this can't be changed when there is something in the file
            connection.execute("PRAGMA auto_vacuum = INCREMENTAL")
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = NORMAL")
        # what was written goes from the log into the file after so much, and then something waits for the disk
        connection.execute(f"PRAGMA wal_autocheckpoint = {_LOG_PAGES}")
        connection.execute(f"PRAGMA journal_size_limit = {_LOG_PAGES * 4096}")
        self._migrate(version)

    def _migrate(self, version: int) -> None:
        """Write in any case: that takes the lock, and shows whether it can be done."""
        connection = self._open
        connection.execute("BEGIN IMMEDIATE")
        for script in self._migrations[version:]:
            for sql in script.split(";\n\n"):
                connection.execute(sql)
        connection.execute(f"PRAGMA application_id = {APPLICATION}")
        connection.execute(f"PRAGMA user_version = {len(self._migrations)}")
        connection.execute("COMMIT")

    def _pragma(self, name: str) -> int:
        value: int = self._open.execute(f"PRAGMA {name}").fetchone()[0]
        return value

    def _roll_back(self) -> None:
        if self._connection is not None and self._connection.in_transaction:
            self._connection.execute("ROLLBACK")


def _write_many(connection: sqlite3.Connection, statement: Statement, rows: Sequence[Row]) -> None:
    """Write many rows with few statements, of sizes that come again, so that they need not be compiled again.

    Python's lock is given up and taken back once for each statement; for each row that would be a matter of
    milliseconds while the reactor is busy.
    """
    done, size = 0, _MOST_ROWS
    while done < len(rows):
        while size > len(rows) - done:
            size //= 2
        connection.execute(statement.of(size), [value for row in rows[done : done + size] for value in row])
        done += size


_CORRUPT = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})


def _problem(error: Exception) -> str:
    """What is wrong, as the rest of a sentence that begins with the file."""
    if isinstance(error, OSError):
        return f"can't be opened: {error.strerror or error}"
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return "is in use by another process; a store is for one server"
    if code in _CORRUPT:
        return f"is damaged, or no SQLite database ({error}); move it away to begin with an empty one"
    return f"can't be used: {error}"
