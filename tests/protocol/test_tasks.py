"""A task on paper: its states, who knows tasks, and how it looks on the wire."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import orjson
import pytest

from mcpserve.errors import MissingCapability
from mcpserve.protocol import tasks
from mcpserve.protocol.metadata import RequestMetadata
from mcpserve.protocol.revisions import LEGACY, V2026_07_28
from mcpserve.protocol.tasks import EXTENSION, Status, Task, declared, detailed, require, task_shape

KNOWS = {"extensions": {EXTENSION: {}}}
ASKED = {"method": "roots/list"}

Transition = Callable[[Task], Task]


def task() -> Task:
    """A task of ten seconds that began at 100."""
    return Task(id="t", owner=None, created=100.0, updated=100.0, ttl_ms=10_000, poll_ms=500)


TRANSITIONS: dict[str, Transition] = {
    "reported": lambda t: t.reported("half", 103.5),
    "asking": lambda t: t.asking({"b": ASKED}, 103.5),
    "answered": lambda t: t.answered(["a"], 103.5),
    "completed": lambda t: t.completed(b"{}", 103.5),
    "failed": lambda t: t.failed(b"{}", "broken", 103.5),
    "cancelled": lambda t: t.cancelled("by the client", 103.5),
}


@pytest.mark.parametrize(
    ("transition", "status"),
    [
        ("reported", Status.WORKING),
        ("asking", Status.INPUT_REQUIRED),
        ("answered", Status.WORKING),
        ("completed", Status.COMPLETED),
        ("failed", Status.FAILED),
        ("cancelled", Status.CANCELLED),
    ],
)
def test_from_working(transition: str, status: Status) -> None:
    """Work goes on, waits, or ends."""
    assert TRANSITIONS[transition](task()).status is status


@pytest.mark.parametrize(
    ("transition", "status", "left"),
    [
        ("reported", Status.INPUT_REQUIRED, {"a"}),
        ("asking", Status.INPUT_REQUIRED, {"a", "b"}),
        ("answered", Status.WORKING, set()),
        ("completed", Status.COMPLETED, set()),
        ("failed", Status.FAILED, set()),
        ("cancelled", Status.CANCELLED, set()),
    ],
)
def test_from_input_required(transition: str, status: Status, left: set[str]) -> None:
    """What was asked stays until it is answered, or the task has ended."""
    after = TRANSITIONS[transition](task().asking({"a": ASKED}, 101))
    assert (after.status, set(after.inputs)) == (status, left)


@pytest.mark.parametrize("end", ["completed", "failed", "cancelled"])
@pytest.mark.parametrize("transition", TRANSITIONS)
def test_terminal_is_final(end: str, transition: str) -> None:
    """Whatever comes, it is the same task as before."""
    ended = TRANSITIONS[end](task().asking({"a": ASKED}, 101))
    assert TRANSITIONS[transition](ended) is ended


def test_part_of_the_answers() -> None:
    """The task waits for the rest; only what is outstanding is left."""
    waiting = task().asking({"a": ASKED, "b": ASKED}, 101).answered(["a", "c"], 102)
    assert (waiting.status, set(waiting.inputs)) == (Status.INPUT_REQUIRED, {"b"})


def test_unknown_keys_change_nothing() -> None:
    """Nor does asking nothing."""
    waiting = task().asking({"a": ASKED}, 101)
    assert waiting.answered(["b"], 102) is waiting
    assert waiting.asking({}, 102) is waiting


@pytest.mark.parametrize("transition", [name for name in TRANSITIONS if name != "answered"])
def test_a_change_has_its_time(transition: str) -> None:
    """`updated` is when it happened; `created` stays."""
    after = TRANSITIONS[transition](task())
    assert (after.created, after.updated) == (100.0, 103.5)


def test_time_to_live_while_it_works() -> None:
    """It counts from the beginning."""
    assert task().reported("x", 109).expires == 110.0


@pytest.mark.parametrize("end", ["completed", "failed", "cancelled"])
def test_time_to_live_after_the_end(end: str) -> None:
    """It counts anew, and is still told from the beginning."""
    ended = TRANSITIONS[end](task())
    assert (ended.ttl_ms, ended.expires) == (13_500, 113.5)


def test_a_clock_that_went_back() -> None:
    """The time to live is never less than it was."""
    assert task().completed(b"{}", 50).ttl_ms == 10_000


# --- who knows tasks


def metadata(capabilities: Any, revision: Any = V2026_07_28) -> RequestMetadata:
    """The metadata of a client with these capabilities."""
    return RequestMetadata(revision=revision, capabilities=capabilities)


def test_declared() -> None:
    """The extension stands among the extensions, with its settings, of which there are none."""
    assert declared(metadata(KNOWS))
    assert declared(metadata({"extensions": {EXTENSION: {"later": 1}, "other": {}}}))


@pytest.mark.parametrize(
    "capabilities",
    [
        *({"extensions": value} for value in (None, {}, [EXTENSION], {EXTENSION: None}, {EXTENSION: True})),
        *({}, {"tasks": {}}, {EXTENSION: {}}, {"experimental": {EXTENSION: {}}}),
    ],
)
def test_not_declared(capabilities: Any) -> None:
    """Anything else is no declaration, and the error says what would be one."""
    assert not declared(metadata(capabilities))
    with pytest.raises(MissingCapability) as caught:
        require(metadata(capabilities))
    assert caught.value.data == {"requiredCapabilities": KNOWS}


@pytest.mark.parametrize("revision", LEGACY.values())
def test_only_modern_clients_know_tasks(revision: Any) -> None:
    """A session can't declare it."""
    assert not declared(metadata(KNOWS, revision))


# --- on the wire


def test_a_task_that_works() -> None:
    """Its members are flat, times are ISO 8601, durations whole milliseconds; what it has not is left out."""
    assert detailed(task()) == {
        "taskId": "t",
        "status": "working",
        "createdAt": "1970-01-01T00:01:40.000Z",
        "lastUpdatedAt": "1970-01-01T00:01:40.000Z",
        "ttlMs": 10_000,
        "pollIntervalMs": 500,
    }


def test_a_message() -> None:
    """What was reported last."""
    assert detailed(task().reported("half", 100.25))["statusMessage"] == "half"
    assert detailed(task().reported("half", 100.25))["lastUpdatedAt"] == "1970-01-01T00:01:40.250Z"


def test_what_is_asked() -> None:
    """All that is outstanding, by key."""
    assert detailed(task().asking({"a": ASKED}, 101))["inputRequests"] == {"a": ASKED}


@pytest.mark.parametrize(
    ("ended", "member", "other"),
    [
        (task().completed(b'{"content":[]}', 101), "result", "error"),
        (task().failed(b'{"code":-32603}', "broken", 101), "error", "result"),
    ],
)
def test_what_came_of_it(ended: Task, member: str, other: str) -> None:
    """A result or an error, never both, and nothing that is asked."""
    shape = orjson.loads(orjson.dumps(detailed(ended)))
    assert shape[member] == orjson.loads(ended.outcome or b"")
    assert not {other, "inputRequests"} & set(shape)


def test_a_cancelled_task_has_neither() -> None:
    """Nor does the failed one lack a message."""
    assert not {"result", "error"} & set(detailed(task().cancelled("c", 101)))
    assert detailed(task().failed(b"{}", "broken", 101))["statusMessage"] == "broken"


def test_the_answer_that_creates_it_has_nothing_of_these() -> None:
    """Spec: `CreateTaskResult` is `Result & Task`."""
    shape = task_shape(task().asking({"a": ASKED}, 101))
    assert "inputRequests" not in shape
    assert set(shape) <= {"taskId", "status", "statusMessage", "createdAt", "lastUpdatedAt", "ttlMs", "pollIntervalMs"}


def test_the_filter_key() -> None:
    """It names many, and belongs to the extensions without a flag of its own."""
    assert (tasks.TASK_IDS.name, tasks.TASK_IDS.many, tasks.TASK_IDS.flag) == ("taskIds", True, None)
