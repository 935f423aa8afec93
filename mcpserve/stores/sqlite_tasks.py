"""Tasks in an SQLite file."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import orjson
from twisted.internet.defer import Deferred

from mcpserve.errors import StoreError
from mcpserve.protocol.tasks import Status, Task
from mcpserve.stores.sqlite import Row, SqliteFile, Statement
from mcpserve.stores.writing import Writer

SCHEMA = """\
CREATE TABLE tasks (
    id TEXT PRIMARY KEY,
    owner TEXT,
    created REAL NOT NULL,
    updated REAL NOT NULL,
    ttl_ms INTEGER NOT NULL,
    poll_ms INTEGER NOT NULL,
    status TEXT NOT NULL,
    message TEXT,
    inputs TEXT NOT NULL,
    outcome BLOB
) WITHOUT ROWID"""

WITH_TOOL = "ALTER TABLE tasks ADD COLUMN tool TEXT"
"""The second version."""

_ALL = Statement(3, "DELETE FROM tasks")
# A task is kept several times, perhaps in one batch: the rows of a statement are written in order, so the last counts.
_KEEP = Statement(13, "INSERT OR REPLACE INTO tasks VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)")
_FORGET = Statement(33, "DELETE FROM tasks WHERE id = ?")


class SqliteTasks:
    """Implements `stores.tasks.TaskStore`.

    Args:
        file: The file, to read it at the start.
        writer: Writes to the same file.
    """

    def __init__(self, file: SqliteFile, writer: Writer) -> None:
        self._file = file
        self._writer = writer
        self._kept: dict[str, Task] = {}
        writer.on_rewrite(self._rewritten)

    def keep(self, task: Task) -> Deferred[None]:
        """See `TaskStore.keep`. When the file can't be written, it fires at once, and the task is in memory only."""
        self._kept[task.id] = task
        done: Deferred[None] = Deferred()
        self._writer.add(_KEEP, _row(task), len(task.outcome or b""), lambda: done.callback(None))
        return done

    def forget(self, task_id: str) -> Deferred[None]:
        """See `TaskStore.forget`."""
        self._kept.pop(task_id, None)
        done: Deferred[None] = Deferred()
        self._writer.add(_FORGET, (task_id,), then=lambda: done.callback(None))
        return done

    def all_tasks(self) -> Sequence[Task]:
        """See `TaskStore.all_tasks`.

        Raises:
            StoreError: The file is damaged.
        """
        try:
            found = [_task(*row) for row in self._file.read("SELECT * FROM tasks ORDER BY created")]
        except (ValueError, TypeError) as error:
            raise StoreError(f"The store {self._file.path} is damaged ({error}); move it away") from error
        self._kept = {task.id: task for task in found}
        return found

    def _rewritten(self) -> Iterator[tuple[Statement, Row]]:
        yield _ALL, ()
        for task in self._kept.values():
            yield _KEEP, _row(task)


def _row(task: Task) -> Row:
    return (
        task.id,
        task.owner,
        task.created,
        task.updated,
        task.ttl_ms,
        task.poll_ms,
        task.status.value,
        task.message,
        orjson.dumps(dict(task.inputs)).decode("utf-8"),
        task.outcome,
        task.tool,
    )


def _task(
    id: str,
    owner: str | None,
    created: float,
    updated: float,
    ttl_ms: int,
    poll_ms: int,
    status: str,
    message: str | None,
    inputs: str,
    outcome: bytes | None,
    tool: str | None,
) -> Task:
    return Task(
        id=id,
        owner=owner,
        created=created,
        updated=updated,
        ttl_ms=ttl_ms,
        poll_ms=poll_ms,
        status=Status(status),
        message=message,
        inputs=orjson.loads(inputs),
        outcome=outcome,
        tool=tool,
    )
