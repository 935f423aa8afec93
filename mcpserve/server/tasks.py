"""The tasks extension: calls that outlive their request, and the methods tasks/get, tasks/update and tasks/cancel.

A tools/call of a client that knows tasks, of a tool that is willing, is answered with a task: first the task is kept,
then the request is answered, then the work goes on with the task as its client. Its progress becomes the task's
message, its reply the task's outcome, its questions the task's inputs. What becomes of the first request does not
matter any more.

    the work ends                 completed with its result, also with one that says what went wrong; failed on an error
    tasks/cancel                  the work is cancelled, as in every other ending
    its time to live is over      the work is cancelled, failed
    the server stops              failed
    the server starts again       what worked then is failed

What has ended is kept until its time to live is over, or until there is no more room for others.

Spec: extension io.modelcontextprotocol/tasks.
"""

from __future__ import annotations

import secrets
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import attrs
import orjson
from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from mcpserve.errors import InternalError, InvalidParams, Refusal, ToolError
from mcpserve.features.call import Cause, Runtime
from mcpserve.features.tool import Tool
from mcpserve.policy.callers import Caller
from mcpserve.protocol import tasks, wire
from mcpserve.protocol.exchange import Exchange
from mcpserve.protocol.metadata import RequestMetadata
from mcpserve.protocol.notices import notice
from mcpserve.protocol.revisions import V2026_07_28, Revision
from mcpserve.protocol.tasks import EXTENSION, TASK_IDS, Task
from mcpserve.server.dispatch import Method
from mcpserve.server.publisher import Publisher
from mcpserve.server.running import Running
from mcpserve.server.taskwork import TaskWork
from mcpserve.stores.tasks import MemoryTasks, TaskStore

_log = Logger()


@attrs.frozen(kw_only=True)
class TaskLimits:
    """How much is kept of tasks.

    Args:
        ttl: Seconds that a task may work, and then those that its outcome is kept.
        poll: Seconds that a client is told to wait between two looks.
        count: Tasks, in total.
        of_caller: Tasks of one caller who has a name.
        size: Bytes of all outcomes.
    """

    ttl: float = 3600.0
    poll: float = 1.0
    count: int = 1000
    of_caller: int = 100
    size: int = 64 * 1024 * 1024


class Tasks:
    """The tasks of a server. Implements `Feature`.

    Args:
        envelope: What the revision adds to a result.
        runtime: What calls run on.
        limits: How much is kept.
        store: Where tasks are kept beside here.
        publisher: Where each change of a task is told to who listens.
        new_id: Makes the id of a task, which nobody can guess. Spec: Security Considerations: "Servers MUST generate
            them with sufficient entropy that a third party cannot enumerate or guess them."

    Attributes:
        may_use: Tells whether a caller may use the tool of this name, as when it calls the tool. May raise Refusal.
    """

    def __init__(
        self,
        envelope: wire.Envelope,
        runtime: Runtime,
        limits: TaskLimits = TaskLimits(),
        *,
        store: TaskStore | None = None,
        publisher: Publisher | None = None,
        new_id: Callable[[], str] = lambda: secrets.token_urlsafe(24),
    ) -> None:
        self.limits = limits
        self.may_use: Callable[[str, Caller, Revision], bool] = lambda name, caller, revision: True
        self._envelope = envelope
        self._runtime = runtime
        self._store = MemoryTasks() if store is None else store
        self._publisher = publisher
        self._new_id = new_id
        self._works: dict[str, TaskWork] = {}
        self._ended: dict[str, Task] = {}
        self._of_caller: Counter[str | None] = Counter()
        self._size = 0
        self.methods: Mapping[str, Method] = {
            "tasks/get": Method(run=self.get, named="taskId", modern_only=True),
            "tasks/update": Method(run=self.update, named="taskId", modern_only=True),
            "tasks/cancel": Method(run=self.cancel, named="taskId", modern_only=True),
        }

    def __len__(self) -> int:
        return len(self._works) + len(self._ended)

    @property
    def at_work(self) -> int:
        """Those that have not ended."""
        return len(self._works)

    def capabilities(self, revision: Revision) -> dict[str, Any]:
        """What is declared of tasks."""
        return {"extensions": {EXTENSION: {}}} if revision.modern else {}

    # --- the methods

    def get(self, exchange: Exchange, metadata: RequestMetadata, caller: Caller) -> None:
        """tasks/get. Spec: Task Polling."""
        shape = tasks.detailed(self._found(exchange, metadata, caller))
        exchange.succeed(self._envelope.complete(shape, exchange.revision))

    def update(self, exchange: Exchange, metadata: RequestMetadata, caller: Caller) -> None:
        """tasks/update. Spec: Task Update Requests.

        The acknowledgement goes first: the answers let code of the author go on, which may take its time.
        """
        task = self._found(exchange, metadata, caller)
        answers = exchange.request.params.get("inputResponses")
        if not isinstance(answers, dict):
            raise InvalidParams("params.inputResponses must be an object")
        work = self._works.get(task.id)
        go_on = work.take(answers) if work is not None else None
        self._acknowledge(exchange)
        if go_on is not None:
            go_on()

    def cancel(self, exchange: Exchange, metadata: RequestMetadata, caller: Caller) -> None:
        """tasks/cancel. Spec: Task Cancellation; of a task that has ended it changes nothing."""
        task = self._found(exchange, metadata, caller)
        self._acknowledge(exchange)
        work = self._works.get(task.id)
        if work is not None and work.running is not None:
            work.running.exchange.withdraw()

    def _found(self, exchange: Exchange, metadata: RequestMetadata, caller: Caller) -> Task:
        tasks.require(metadata)
        task = self.find(exchange.request.params["taskId"], caller)
        if task is None or not self._may_see(task, caller, exchange.revision):
            # "Invalid or nonexistent taskId: -32602"; one of another caller is no different from one that is not there
            raise InvalidParams("Unknown task: there is none with this id, or it has expired")
        return task

    def _may_see(self, task: Task, caller: Caller, revision: Revision) -> bool:
        """The credential that a caller shows now may be another than the one it has called with."""
        return task.tool is None or self.may_use(task.tool, caller, revision)

    def _acknowledge(self, exchange: Exchange) -> None:
        """Spec: Task Cancellation: "the server MUST acknowledge the request with an empty result"."""
        exchange.succeed(self._envelope.complete({}, exchange.revision))

    # --- what there is

    def find(self, task_id: str, caller: Caller) -> Task | None:
        """A task as it is now, if there is one with this id and the caller may see it.

        Spec: Security Considerations: "Servers MUST perform authentication and authorization checks on each
        task-related request".
        """
        self._forget_expired()
        task = self._now(task_id)
        return task if task is not None and task.owner == caller.name else None

    def _now(self, task_id: str) -> Task | None:
        work = self._works.get(task_id)
        return self._ended.get(task_id) if work is None else work.task

    def admit(self, task_ids: Sequence[str], metadata: RequestMetadata, caller: Caller) -> Sequence[str]:
        """Choose of these tasks those that a caller may listen to. It is told of each at once, as it may have changed
        before anybody listened.

        Raises:
            MissingCapability: The client does not know tasks.
        """
        tasks.require(metadata)
        found = [task for task_id in task_ids if (task := self.find(task_id, caller)) and self._may_hear(task, caller)]
        if found:
            self._runtime.clock.callLater(0, self._tell_again, [task.id for task in found])
        return [task.id for task in found]

    def _may_hear(self, task: Task, caller: Caller) -> bool:
        try:
            return self._may_see(task, caller, V2026_07_28)
        except Refusal:
            return False

    def restore(self) -> None:
        """Take over what the store has kept. What was at work when the process ended has failed."""
        now = self._runtime.clock.seconds()
        for kept in self._store.all_tasks():
            if kept.ended and kept.expires <= now:
                self._forget_kept(kept)
                continue
            task = kept
            if not kept.ended:
                task = self._failed(kept, "The server was restarted while the task was at work; call again")
                self._keep(task)
            self._of_caller[task.owner] += 1
            self._retain(task)
        self._ended = dict(sorted(self._ended.items(), key=lambda item: item[1].expires))

    def end_parked(self) -> None:
        """The server stops, and takes no more answers: what waits for one ends now."""
        for work in list(self._works.values()):
            if work.task.inputs and work.running is not None:
                work.running.cancel(Cause.SHUTDOWN)

    # --- from a call to a task

    def offer(self, tool: Tool, metadata: RequestMetadata, caller: Caller) -> TaskOffer | None:
        """The task that a call of this tool may become, if it may.

        Raises:
            MissingCapability: The tool can't do without one, and the client does not know tasks.
        """
        if tool.options.task == "never":
            return None
        if not tasks.declared(metadata):
            if tool.options.task == "required":
                tasks.require(metadata)
            return None
        return TaskOffer(self, metadata, caller, at_once=not tool.options.defer_task)

    async def begin(self, running: Running, metadata: RequestMetadata, caller: Caller) -> None:
        """Make a task of a running call.

        Spec: Task Creation: "A server MUST NOT return CreateTaskResult until the task is durably created".

        Raises:
            ToolError: There is no room for one more task.
        """
        task = self._new_task(caller, running.served.name)
        work = self._works[task.id] = TaskWork(task, self._runtime.clock, self._changed)
        self._of_caller[task.owner] += 1
        try:
            await self._store.keep(task)
        except BaseException:
            self._drop(task)
            raise
        if running.ended:
            self._drop(task)
            return
        work.running = running
        work.timer = self._runtime.wheel.call_later(self.limits.ttl, running.cancel, Cause.EXPIRED)
        # "notifications/progress and notifications/message ... are not supported on tasks": the one is the message of
        # the task, the other is not sent.
        request = running.move(work, attrs.evolve(metadata, progress_token=task.id, log_level=None))
        # "Servers MUST set resultType to "task" when returning a CreateTaskResult"
        created = self._envelope.complete(tasks.task_shape(task), request.revision)
        request.succeed({**created, "resultType": "task"})

    def _new_task(self, caller: Caller, tool: str) -> Task:
        self._forget_expired()
        self._make_room(caller.name)
        now = self._runtime.clock.seconds()
        return Task(
            id=self._new_id(),
            owner=caller.name,
            created=now,
            updated=now,
            ttl_ms=_ms(self.limits.ttl),
            poll_ms=_ms(self.limits.poll),
            tool=tool,
        )

    def _make_room(self, owner: str | None) -> None:
        """What has ended gives way, the oldest first; what works does not."""
        if owner is not None and self._of_caller[owner] >= self.limits.of_caller:
            oldest = next((task for task in self._ended.values() if task.owner == owner), None)
            self._give_way(oldest, f"You have {self.limits.of_caller} tasks at work. Try again later.")
        if len(self) >= self.limits.count:
            oldest = next(iter(self._ended.values()), None)
            self._give_way(oldest, f"The server is busy: {len(self)} tasks are at work. Try again later.")

    def _give_way(self, oldest: Task | None, otherwise: str) -> None:
        if oldest is None:
            raise ToolError(otherwise)
        self._forget(oldest)

    # --- from a task to what is kept of it

    def _changed(self, work: TaskWork, before: Task) -> None:
        """A task has changed. Its message alone is not kept: what works now has failed after a restart anyway."""
        task = work.task
        if task.status is not before.status or task.inputs != before.inputs:
            self._keep(task)
        if task.ended:
            del self._works[task.id]
            work.close()
            self._retain(task)
        self._tell(task)

    def _tell(self, task: Task) -> None:
        """Tell who listens of a task as it is now.

        Spec: Task Status Notifications: "identical to what tasks/get would have returned at that moment".
        """
        if self._publisher is not None and self._publisher.heard((TASK_IDS.name, task.id)):
            params = tasks.detailed(task)
            self._publisher.publish(notice("notifications/tasks", TASK_IDS, task.id, params))

    def _tell_again(self, task_ids: Sequence[str]) -> None:
        for task_id in task_ids:
            task = self._now(task_id)
            if task is not None:
                self._tell(task)

    def _retain(self, task: Task) -> None:
        self._ended[task.id] = task
        self._size += _size(task)
        while self._size > self.limits.size and len(self._ended) > 1:
            self._forget(next(iter(self._ended.values())))

    def _forget_expired(self) -> None:
        """What has ended expires in the order in which it ended."""
        now = self._runtime.clock.seconds()
        while self._ended:
            task = next(iter(self._ended.values()))
            if task.expires > now:
                return
            self._forget(task)

    def _forget(self, task: Task) -> None:
        del self._ended[task.id]
        self._size -= _size(task)
        self._release(task)
        self._forget_kept(task)

    def _drop(self, task: Task) -> None:
        """The client never heard of the task."""
        del self._works[task.id]
        self._release(task)
        self._forget_kept(task)

    def _release(self, task: Task) -> None:
        self._of_caller[task.owner] -= 1
        if not self._of_caller[task.owner]:
            del self._of_caller[task.owner]

    def _keep(self, task: Task) -> None:
        self._store.keep(task).addErrback(self._not_kept, task)

    def _forget_kept(self, task: Task) -> None:
        self._store.forget(task.id).addErrback(self._not_kept, task)

    def _not_kept(self, failure: Failure, task: Task) -> None:
        _log.failure("Task of {owner} not kept as {status}", failure, owner=task.owner, status=task.status.value)

    def _failed(self, task: Task, why: str) -> Task:
        error = orjson.dumps({"code": InternalError.code, "message": why})
        return task.failed(error, why, self._runtime.clock.seconds())


@attrs.frozen
class TaskOffer:
    """The task that a call may become.

    Args:
        tasks: Where it is kept.
        metadata: The metadata of the request.
        caller: Who calls.
        at_once: True when the work begins as a task, False when its author says when.
    """

    tasks: Tasks
    metadata: RequestMetadata
    caller: Caller
    at_once: bool = attrs.field(kw_only=True)

    def begin(self, running: Running) -> Deferred[None]:
        """Make the task.

        Fires: when the request was answered with it.
        Cancel: the task never was.
        """
        return Deferred.fromCoroutine(self.tasks.begin(running, self.metadata, self.caller))


def _ms(seconds: float) -> int:
    return max(1, round(seconds * 1000))


def _size(task: Task) -> int:
    return len(task.outcome or b"")
