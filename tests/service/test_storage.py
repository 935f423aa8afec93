"""Where things are kept, put together: with the real reactor, a real thread, a real file."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
from twisted.internet import reactor

from mcpserve.errors import StoreError
from mcpserve.protocol.tasks import Task
from mcpserve.service.storage import MemoryStorage, SqliteStorage, storage
from mcpserve.stores.sessions import StoredSession

SESSION = StoredSession(
    key=1,
    id="a",
    owner=None,
    revision="2025-11-25",
    client_info={"name": "n", "version": "1"},
    capabilities={},
    state={},
    created=1.0,
    last_used=2.0,
    streams=[],
)
TASK = Task(id="t", owner=None, created=1.0, updated=1.0, ttl_ms=1000, poll_ms=100)


async def test_memory() -> None:
    """Nothing is opened, nothing is waited for, and no thread is made."""
    before = threading.active_count()
    kept = storage(reactor, "memory")
    kept.open()
    assert isinstance(kept, MemoryStorage)
    assert kept.sessions is None
    await kept.tasks.keep(TASK)
    await kept.written()
    await kept.close()
    assert threading.active_count() == before


async def test_sqlite(tmp_path: Path) -> None:
    """Sessions and tasks share a file; when all is said to be written, it is."""
    setting = f"sqlite:{tmp_path / 'store.db'}"
    first = storage(reactor, setting)
    first.open()
    assert first.sessions is not None
    assert (list(first.sessions.load()), first.tasks.all_tasks()) == ([], [])
    first.sessions.open_session(SESSION)
    await first.tasks.keep(TASK)
    await first.written()
    await first.close()

    second = storage(reactor, setting)
    second.open()
    assert second.sessions is not None
    assert (list(second.sessions.load()), second.tasks.all_tasks()) == ([SESSION], [TASK])
    await second.close()


async def test_the_end_writes_what_waits(tmp_path: Path) -> None:
    """And leaves no thread."""
    before = threading.active_count()
    path = tmp_path / "store.db"
    first = SqliteStorage(reactor, path)
    first.open()
    assert first.sessions is not None
    list(first.sessions.load())
    first.sessions.open_session(SESSION)
    await first.close()
    assert threading.active_count() == before
    second = SqliteStorage(reactor, path)
    second.open()
    assert second.sessions is not None
    assert list(second.sessions.load()) == [SESSION]
    await second.close()


def test_a_file_that_is_no_use(tmp_path: Path) -> None:
    """A sentence, before anything is served."""
    with pytest.raises(StoreError, match="No such file or directory"):
        storage(reactor, f"sqlite:{tmp_path / 'none' / 'store.db'}").open()
