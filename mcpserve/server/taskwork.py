"""The work on one task: what a running call has as its client once its request was answered with a task."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import orjson
from twisted.internet.interfaces import IReactorTime

from mcpserve.features.timing import Timer
from mcpserve.protocol.exchange import Exchange
from mcpserve.protocol.tasks import Task
from mcpserve.server.running import Running


class TaskWork:
    """Carries what a call says into its task. Implements `protocol.exchange.Carrier`.

    Args:
        task: The task at its beginning.
        request: The exchange of the request that began it.
        clock: What time it is.
        changed: Called after each change, with this and the task as it was before.

    Attributes:
        task: The task as it is now.
        exchange: Where the call says it.
        running: The call, while it works.
        timer: Ends the call when its time to live is over.
    """

    __slots__ = ("_changed", "_clock", "exchange", "running", "task", "timer")

    def __init__(
        self, task: Task, request: Exchange, clock: IReactorTime, changed: Callable[[TaskWork, Task], object]
    ) -> None:
        self.task = task
        self.exchange = Exchange(request.request, request.revision, self)
        self.running: Running | None = None
        self.timer: Timer | None = None
        self._clock = clock
        self._changed = changed

    # --- Carrier

    def notify(self, message: bytes, replaceable: bool) -> None:
        """The call reports progress."""
        self._become(self.task.reported(_sentence(orjson.loads(message)["params"]), self._clock.seconds()))

    def reply(self, message: bytes, status: int) -> None:
        """The call has ended.

        Spec: Task Execution Errors: "If the underlying request resulted in a JSON-RPC error, the task uses failed
        status and the error field MUST contain that JSON-RPC error"; "If the request completed with a result (even if
        isError: true for tool results), the task uses completed status and the result field MUST contain that result".
        """
        reply, now = orjson.loads(message), self._clock.seconds()
        if "error" in reply:
            error = reply["error"]
            self._become(self.task.failed(orjson.dumps(error), error["message"], now))
        else:
            self._become(self.task.completed(orjson.dumps(reply["result"]), now))

    def end(self) -> None:
        """The client has cancelled the task."""
        self._become(self.task.cancelled("Cancelled, as the client asked", self._clock.seconds()))

    # --- what the tasks do with it

    def take(self, answers: Mapping[str, Any]) -> Callable[[], object] | None:
        """Take answers of the client; those that nobody waits for are ignored.

        Returns:
            What lets the work go on, if it has all that it asked for.
        """
        return None

    def close(self) -> None:
        """The task has ended."""
        self.running = None
        if self.timer is not None:
            self.timer.cancel()
            self.timer = None

    def _become(self, task: Task) -> None:
        before, self.task = self.task, task
        if task is not before:
            self._changed(self, before)


def _sentence(params: Mapping[str, Any]) -> str:
    """What progress says, as a sentence."""
    message, total = params.get("message"), params.get("total")
    if message is not None:
        return str(message)
    return f"{params['progress']:g}" if total is None else f"{params['progress']:g} of {total:g}"
