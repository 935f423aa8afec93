"""The store of tasks in memory."""

from __future__ import annotations

from twisted.internet.defer import Deferred

from mcpserve.protocol.tasks import Task
from mcpserve.stores.tasks import MemoryTasks


def task(id: str, created: float = 0.0) -> Task:
    """A task at its beginning."""
    return Task(id=id, owner=None, created=created, updated=created, ttl_ms=1000, poll_ms=100)


def is_done(deferred: Deferred[None]) -> bool:
    """Whether it has fired with None."""
    results: list[None] = []
    deferred.addCallback(results.append)
    return results == [None]


def test_kept_at_once() -> None:
    """What is kept is there when the Deferred fires, which is at once."""
    store = MemoryTasks()
    assert is_done(store.keep(task("a")))
    assert store.all_tasks() == [task("a")]


def test_the_last_word_counts() -> None:
    """What is kept takes the place of what was kept of the same task."""
    store = MemoryTasks()
    store.keep(task("a"))
    store.keep(task("a").reported("half", 1.0))
    assert [kept.message for kept in store.all_tasks()] == ["half"]


def test_forgotten() -> None:
    """What is forgotten is gone; what is not there can be forgotten too."""
    store = MemoryTasks()
    store.keep(task("a"))
    assert is_done(store.forget("a"))
    assert is_done(store.forget("a"))
    assert store.all_tasks() == []


def test_the_oldest_first() -> None:
    """Whatever was kept last."""
    store = MemoryTasks()
    for one in (task("b", 2.0), task("a", 1.0), task("c", 3.0)):
        store.keep(one)
    store.keep(task("a", 1.0).reported("x", 9.0))
    assert [kept.id for kept in store.all_tasks()] == ["a", "b", "c"]
