"""Where sessions, streams and tasks are kept: in memory, or in a file that outlives the process."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Protocol

from mcpserve.stores import sqlite_sessions, sqlite_tasks
from mcpserve.stores.sessions import Journal
from mcpserve.stores.sqlite import SqliteFile
from mcpserve.stores.sqlite_sessions import SqliteSessions
from mcpserve.stores.sqlite_tasks import SqliteTasks
from mcpserve.stores.tasks import MemoryTasks, TaskStore
from mcpserve.stores.thread import FileThread
from mcpserve.stores.writing import State, Writer

MEMORY = "memory"
SQLITE = "sqlite:"

MIGRATIONS = (";\n\n".join([sqlite_sessions.SCHEMA, sqlite_tasks.SCHEMA]), sqlite_tasks.WITH_TOOL)
"""What makes the schema, and then what brings each version to the next."""


class Storage(Protocol):
    """Where things are kept.

    Attributes:
        sessions: Where sessions and streams are written down, if they are.
        tasks: Where tasks are kept.
    """

    sessions: Journal | None
    tasks: TaskStore

    @property
    def in_step(self) -> bool:
        """False while something that is to be kept is not where it belongs, as on a full disk."""

    def open(self) -> None:
        """Make it ready. May block: nothing is served yet.

        Raises:
            StoreError: It can't be used.
        """

    async def written(self) -> None:
        """Wait until all that was kept is where it belongs."""

    async def close(self) -> None:
        """Nothing more is kept."""


class MemoryStorage:
    """Keeps everything for as long as the process lives. Implements `Storage`."""

    def __init__(self) -> None:
        self.sessions: Journal | None = None
        self.tasks: TaskStore = MemoryTasks()

    @property
    def in_step(self) -> bool:
        """See `Storage.in_step`."""
        return True

    def open(self) -> None:
        """See `Storage.open`."""

    async def written(self) -> None:
        """See `Storage.written`."""

    async def close(self) -> None:
        """See `Storage.close`."""


class SqliteStorage:
    """Keeps everything in one SQLite file. Implements `Storage`.

    Args:
        reactor: What the server runs on.
        path: The file.
    """

    def __init__(self, reactor: Any, path: Path) -> None:
        self._file = SqliteFile(path, MIGRATIONS)
        self._thread = FileThread(reactor)
        self._writer = Writer(reactor, self._thread, self._file)
        self.sessions: Journal | None = SqliteSessions(self._file, self._writer)
        self.tasks: TaskStore = SqliteTasks(self._file, self._writer)

    @property
    def in_step(self) -> bool:
        """See `Storage.in_step`."""
        return self._writer.state is State.IN_STEP

    def open(self) -> None:
        """See `Storage.open`."""
        self._file.open()

    async def written(self) -> None:
        """See `Storage.written`."""
        await self._writer.written()

    async def close(self) -> None:
        """See `Storage.close`."""
        await self._writer.close()
        self._thread.stop()


def storage(reactor: Any, setting: str) -> Storage:
    """The storage that an operator has set: "memory", or "sqlite:" and the name of a file."""
    if setting == MEMORY:
        return MemoryStorage()
    return SqliteStorage(reactor, Path(setting.removeprefix(SQLITE)))
