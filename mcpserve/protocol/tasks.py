"""A task: work that outlives the request that began it, as a state table without I/O.

    state            reported     asking             answered         ended                  cancelled
    working          (stays)      → input_required   (stays)          → completed, failed    → cancelled
    input_required   (stays)      (stays)            → working when   → completed, failed    → cancelled
                                                     none is left
    completed        (stays, unchanged, whatever comes)
    failed           (stays, unchanged, whatever comes)
    cancelled        (stays, unchanged, whatever comes)

A task is a value: each transition gives a new one, or the same one when nothing changes. A terminal state is final, so
that there are never two results.

Spec: extension io.modelcontextprotocol/tasks.
"""

from __future__ import annotations

import enum
from collections.abc import Collection, Mapping
from datetime import UTC, datetime
from typing import Any

import attrs
import orjson

from mcpserve.errors import MissingCapability
from mcpserve.protocol.metadata import RequestMetadata
from mcpserve.protocol.notices import FilterKey

EXTENSION = "io.modelcontextprotocol/tasks"
TASK_IDS = FilterKey(name="taskIds", capability="extensions", flag=None, many=True)
"""The member of the filter of `subscriptions/listen`. Spec: Task Status Notifications."""


class Status(enum.Enum):
    """Where a task stands; see the table above."""

    WORKING = "working"
    INPUT_REQUIRED = "input_required"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def terminal(self) -> bool:
        """True when the task stays like this."""
        return self in _TERMINAL


_TERMINAL = frozenset({Status.COMPLETED, Status.FAILED, Status.CANCELLED})


@attrs.frozen(kw_only=True)
class Task:
    """A task at one moment.

    Args:
        id: Its name, which nobody can guess.
        owner: The name of the caller who may see it; None when it was somebody who was not asked to say so.
        created: When it began, in seconds since 1970.
        updated: When it last changed, likewise.
        ttl_ms: Milliseconds from its beginning after which it may be forgotten.
        poll_ms: Milliseconds that a client should wait between two looks at it.
        status: Where it stands.
        message: A sentence about that.
        inputs: What is asked of the client and was not answered yet: requests as they stand on the wire, by key.
        outcome: What it ended with as JSON: the result when it is completed, the error when it has failed.
        tool: The tool that works on it, where that is known.
    """

    id: str
    owner: str | None
    created: float
    updated: float
    ttl_ms: int
    poll_ms: int
    status: Status = Status.WORKING
    message: str | None = None
    inputs: Mapping[str, Any] = attrs.field(factory=dict)
    outcome: bytes | None = attrs.field(default=None, repr=False)
    tool: str | None = None

    @property
    def ended(self) -> bool:
        """True when nothing of it changes any more."""
        return self.status.terminal

    @property
    def expires(self) -> float:
        """From when on it may be forgotten, in seconds since 1970."""
        return self.created + self.ttl_ms / 1000

    def reported(self, message: str, now: float) -> Task:
        """The work has come further."""
        return self if self.ended else attrs.evolve(self, message=message, updated=now)

    def asking(self, requests: Mapping[str, Any], now: float) -> Task:
        """The work needs something of the client. The keys must be new in the life of the task.

        Spec: Task Update Requests: "Each request key in inputRequests MUST be unique over the lifetime of a single
        task."
        """
        if self.ended or not requests:
            return self
        inputs = {**self.inputs, **requests}
        return attrs.evolve(self, status=Status.INPUT_REQUIRED, inputs=inputs, updated=now)

    def answered(self, keys: Collection[str], now: float) -> Task:
        """The client has answered, or the work asks no more.

        Spec: Task Update Requests: with a part of the answers "the task remains in input_required until the remaining
        responses arrive".
        """
        left = {key: request for key, request in self.inputs.items() if key not in keys}
        if self.ended or len(left) == len(self.inputs):
            return self
        status = Status.INPUT_REQUIRED if left else Status.WORKING
        return attrs.evolve(self, status=status, inputs=left, updated=now)

    def completed(self, result: bytes, now: float) -> Task:
        """The work has ended with a result, be it one that says it went wrong."""
        return self._end(Status.COMPLETED, None, result, now)

    def failed(self, error: bytes, message: str, now: float) -> Task:
        """The work has ended with a JSON-RPC error.

        Spec: Task Execution Errors: "The tasks/get response SHOULD include a statusMessage field with diagnostic
        information about the failure, and MUST include the error field".
        """
        return self._end(Status.FAILED, message, error, now)

    def cancelled(self, message: str, now: float) -> Task:
        """The work was stopped before it ended."""
        return self._end(Status.CANCELLED, message, None, now)

    def _end(self, status: Status, message: str | None, outcome: bytes | None, now: float) -> Task:
        """Its time to live begins anew, so that there is time to fetch what it ended with however long it worked."""
        if self.ended:
            return self
        ttl_ms = max(0, round((now - self.created) * 1000)) + self.ttl_ms
        return attrs.evolve(
            self, status=status, message=message, outcome=outcome, inputs={}, updated=now, ttl_ms=ttl_ms
        )


def declared(metadata: RequestMetadata) -> bool:
    """Tell whether a request says that its client knows tasks. Only 2026-07-28 has them."""
    extensions = metadata.capabilities.get("extensions")
    return metadata.revision.modern and isinstance(extensions, dict) and isinstance(extensions.get(EXTENSION), dict)


def require(metadata: RequestMetadata) -> None:
    """Refuse a request of a client that does not know tasks.

    Raises:
        MissingCapability: "Servers MUST return this error for non-declaring clients issuing tasks/get, tasks/update,
            and tasks/cancel requests", and where it can't do without a task.
    """
    if not declared(metadata):
        raise MissingCapability({"extensions": {EXTENSION: {}}})


# --- how a task looks on the wire


def task_shape(task: Task) -> dict[str, Any]:
    """`Task`: what every answer says of it, and `CreateTaskResult` nothing more."""
    shape = {
        "taskId": task.id,
        "status": task.status.value,
        "createdAt": _iso(task.created),
        "lastUpdatedAt": _iso(task.updated),
        "ttlMs": task.ttl_ms,
        "pollIntervalMs": task.poll_ms,
    }
    return shape if task.message is None else {**shape, "statusMessage": task.message}


def detailed(task: Task) -> dict[str, Any]:
    """`DetailedTask`: with what is asked, or what came of it. Spec: Task Polling, Response."""
    shape: dict[str, Any] = task_shape(task)
    if task.status is Status.INPUT_REQUIRED:
        shape["inputRequests"] = dict(task.inputs)
    elif task.outcome is not None:
        shape["result" if task.status is Status.COMPLETED else "error"] = orjson.Fragment(task.outcome)
    return shape


def _iso(seconds: float) -> str:
    moment = datetime.fromtimestamp(seconds, UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
