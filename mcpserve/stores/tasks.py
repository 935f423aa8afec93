"""Tasks kept beyond the request that began them, and where the store is a durable one, beyond the process."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from twisted.internet.defer import Deferred, succeed

from mcpserve.protocol.tasks import Task


class TaskStore(Protocol):
    """Where tasks are kept. What it is told in order, it keeps in order.

    The server holds the tasks that it serves itself; it reads the store only when it starts.
    """

    def keep(self, task: Task) -> Deferred[None]:
        """Keep a task as it is now, in the place of what was kept of it before.

        Fires: when it is durable, as far as the store goes.
        """

    def forget(self, task_id: str) -> Deferred[None]:
        """Keep a task no longer. Unknown ids are ignored.

        Fires: when it is gone.
        """

    def all_tasks(self) -> Sequence[Task]:
        """Find what is kept, the oldest first. Called once, before anything is served, so that it may block."""


class MemoryTasks:
    """Keeps tasks for as long as the process runs, and is done with everything at once. Implements `TaskStore`."""

    def __init__(self) -> None:
        self._tasks: dict[str, Task] = {}

    def keep(self, task: Task) -> Deferred[None]:
        """See `TaskStore.keep`."""
        self._tasks[task.id] = task
        return succeed(None)

    def forget(self, task_id: str) -> Deferred[None]:
        """See `TaskStore.forget`."""
        self._tasks.pop(task_id, None)
        return succeed(None)

    def all_tasks(self) -> Sequence[Task]:
        """See `TaskStore.all_tasks`."""
        return sorted(self._tasks.values(), key=lambda task: task.created)
