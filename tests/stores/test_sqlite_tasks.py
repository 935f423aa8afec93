"""Tasks in a real SQLite file, written by a writer that a test turns."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import attrs
import pytest
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.task import Clock

from mcpserve import Call, tool
from mcpserve.errors import StoreError
from mcpserve.protocol.tasks import EXTENSION, Task
from mcpserve.stores.sqlite import SqliteFile, Statement
from mcpserve.stores.sqlite_tasks import SCHEMA, WITH_TOOL, SqliteTasks
from mcpserve.stores.writing import Writer
from tests.server.desk import Desk


def at_once(f: Callable[[], None]) -> Deferred[None]:
    """A thread that does at once what it is given."""
    return maybeDeferred(f)


class Shelf:
    """A store in a file."""

    def __init__(self, path: Path) -> None:
        self.clock = Clock()
        self.file = SqliteFile(path, [SCHEMA, WITH_TOOL])
        self.file.open()
        self.writer = Writer(self.clock, at_once, self.file)
        self.tasks = SqliteTasks(self.file, self.writer)

    def turn(self) -> None:
        """Let the reactor turn."""
        self.clock.advance(0)

    def again(self) -> Shelf:
        """What another process finds in the file."""
        self.file.close()
        return Shelf(self.file.path)


@pytest.fixture
def shelf(tmp_path: Path) -> Iterator[Shelf]:
    """An empty one."""
    shelf = Shelf(tmp_path / "store.db")
    yield shelf
    shelf.file.close()


def task(id: str, created: float = 100.0, owner: str | None = "alice") -> Task:
    """A task at its beginning."""
    return Task(id=id, owner=owner, created=created, updated=created, ttl_ms=1000, poll_ms=100)


EACH = [
    task("working", 1.0),
    task("told", 2.0).reported("half ü", 3.5),
    task("asks", 3.0).asking({"a": {"method": "roots/list"}, "b": {"method": "x", "params": {"ü": [1]}}}, 4.0),
    task("completed", 4.0).completed(b'{"content":[]}', 5.0),
    task("failed", 5.0, None).failed(b'{"code":-32603,"message":"m"}', "m", 6.0),
    task("cancelled", 6.0).cancelled("c", 7.0),
]


def test_each_state_comes_back(shelf: Shelf) -> None:
    """As it was, the oldest first."""
    for one in reversed(EACH):
        shelf.tasks.keep(one)
    shelf.turn()
    again = shelf.again()
    assert again.tasks.all_tasks() == EACH
    again.file.close()


def test_durable_when_it_says_so(shelf: Shelf) -> None:
    """Not in the turn in which it is kept, but when it is written."""
    done = shelf.tasks.keep(task("a"))
    assert (done.called, [*shelf.file.read("SELECT id FROM tasks")]) == (False, [])
    shelf.turn()
    assert (done.called, [*shelf.file.read("SELECT id FROM tasks")]) == (True, [("a",)])


def test_the_last_word_counts(shelf: Shelf) -> None:
    """Within a batch, and from one to the next."""
    began = task("a")
    asks = began.asking({"a": {"method": "roots/list"}}, 101.0)
    done = asks.completed(b"{}", 102.0)
    shelf.tasks.keep(began)
    shelf.tasks.keep(asks)
    shelf.turn()
    assert shelf.tasks.all_tasks() == [asks]
    shelf.tasks.keep(done)
    shelf.turn()
    assert shelf.tasks.all_tasks() == [done]


def test_forgotten(shelf: Shelf) -> None:
    """What is forgotten is gone, also what was kept in the same batch; what is not there can be forgotten."""
    shelf.tasks.keep(task("a"))
    shelf.turn()
    shelf.tasks.keep(task("b"))
    done = [shelf.tasks.forget(id) for id in ("a", "b", "c")]
    shelf.turn()
    assert all(one.called for one in done)
    assert shelf.tasks.all_tasks() == []


def test_nobody_waits_any_more(shelf: Shelf) -> None:
    """Who has given up waiting does not disturb the others."""
    shelf.tasks.keep(task("a")).addErrback(lambda failure: None).cancel()
    done = shelf.tasks.keep(task("b"))
    shelf.turn()
    assert done.called


def test_a_file_that_can_not_be_written(shelf: Shelf) -> None:
    """Tasks go on in memory, and nobody waits; when it can be written again, all is in it."""
    shelf.tasks.keep(task("a", 1.0))
    shelf.tasks.keep(task("b", 2.0))
    shelf.turn()
    shelf.file.close()
    waits = shelf.tasks.keep(task("c", 3.0))
    shelf.turn()
    at_once = shelf.tasks.keep(task("d", 4.0))
    shelf.tasks.forget("a")
    assert (waits.called, at_once.called) == (True, True)
    shelf.file.open()
    shelf.clock.advance(30)
    assert [kept.id for kept in shelf.tasks.all_tasks()] == ["b", "c", "d"]


def test_what_was_read_is_written_anew_too(shelf: Shelf) -> None:
    """All that is in the file comes from here."""
    shelf.tasks.keep(task("a"))
    shelf.turn()
    again = shelf.again()
    again.tasks.all_tasks()
    again.file.close()
    again.tasks.keep(task("b", 200.0))
    again.turn()
    again.file.open()
    again.clock.advance(30)
    assert [kept.id for kept in again.tasks.all_tasks()] == ["a", "b"]
    again.file.close()


@pytest.mark.parametrize("damage", ["status = 'lost'", "inputs = '{'"])
def test_a_damaged_file(shelf: Shelf, damage: str) -> None:
    """A sentence says so."""
    shelf.tasks.keep(task("a"))
    shelf.turn()
    shelf.file.write({Statement(0, f"UPDATE tasks SET {damage}"): [()]})
    with pytest.raises(StoreError, match="is damaged"):
        shelf.tasks.all_tasks()


@tool(task="required")
async def ask(call: Call) -> str:
    """Ask."""
    return (await call.elicit("Well?")).action


def test_a_server_with_a_file(shelf: Shelf) -> None:
    """The call is answered when the task is written; the next process knows what the first has left."""
    knows = {"extensions": {EXTENSION: {}}, "elicitation": {}}
    first = Desk(ask, store=shelf.tasks)
    asked = [first.ask("tools/call", {"name": "ask"}, capabilities=knows) for _ in range(2)]
    assert [one.carrier.replies for one in asked] == [[], []]
    shelf.turn()
    done, waits = (one.result["taskId"] for one in asked)
    answers = {"taskId": done, "inputResponses": {"elicit-1": {"action": "accept"}}}
    first.ask("tasks/update", answers, capabilities=knows)
    shelf.turn()
    again = shelf.again()
    second = Desk(ask, store=again.tasks)
    second.tasks.restore()
    again.turn()
    seen = [second.ask("tasks/get", {"taskId": id}, capabilities=knows).result["status"] for id in (done, waits)]
    assert seen == ["completed", "failed"]
    assert {kept.id: kept.status.value for kept in again.tasks.all_tasks()} == {done: "completed", waits: "failed"}
    again.file.close()


def test_a_file_of_the_version_before(tmp_path: Path) -> None:
    """Its tasks are there, though nobody knows which tool works on them; new ones know."""
    old = SqliteFile(tmp_path / "store.db", [SCHEMA])
    old.open()
    insert = Statement(13, "INSERT INTO tasks VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)")
    old.write({insert: [("t", "alice", 1.0, 1.0, 1000, 100, "working", None, "{}", None)]})
    old.close()
    shelf = Shelf(tmp_path / "store.db")
    assert [(kept.id, kept.tool) for kept in shelf.tasks.all_tasks()] == [("t", None)]
    shelf.tasks.keep(attrs.evolve(task("u", 2.0), tool="build"))
    shelf.turn()
    shelf = shelf.again()
    assert [(kept.id, kept.tool) for kept in shelf.tasks.all_tasks()] == [("t", None), ("u", "build")]
    shelf.file.close()
