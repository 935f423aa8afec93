"""Directories that are looked at again and again."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from twisted.internet.defer import Deferred, fail
from twisted.logger import LogEvent, globalLogPublisher

from mcpserve import Directory, ToolError
from mcpserve.policy.callers import Caller
from mcpserve.policy.rules import read_access
from mcpserve.protocol.notices import RESOURCE, RESOURCES, Notice
from mcpserve.server.publisher import Publisher
from mcpserve.server.rescans import Rescans
from tests.server.desk import Desk


class Ears:
    """Keeps what it hears."""

    def __init__(self, heard: list[Notice]) -> None:
        self.hear = heard.append


class Watched:
    """A served directory that is looked at each second, and what is told of it."""

    def __init__(self, root: Path, watch: float = 1.0) -> None:
        self.root = root
        self.directory = Directory("docs://d", root, watch=watch)
        self.desk = Desk(self.directory)
        self.clock = self.desk.clock
        publisher = Publisher(lambda f: f())
        topics = [RESOURCES.topic, *((RESOURCE.name, f"docs://d/{name}") for name in ("a", "b", "c"))]
        publisher.listen(self, topics)
        self.told: list[tuple[str, str | None]] = []
        self.rescans = Rescans(self.desk.features.resources, self.desk.calls.runtime, publisher)
        self.rescans.start()

    def hear(self, notice: Notice) -> None:
        """See `Listener`."""
        self.told.append((notice.method.removeprefix("notifications/resources/"), notice.subject))

    def listed(self) -> list[str]:
        """The names of the files that resources/list has now."""
        return [one["name"] for one in self.desk.ask("resources/list").result["resources"]]

    def put(self, name: str, text: str) -> None:
        """Write a file."""
        (self.root / name).write_text(text)


@pytest.fixture
def watched(tmp_path: Path) -> Watched:
    """A directory with files a and b."""
    (tmp_path / "a").write_text("1")
    (tmp_path / "b").write_text("1")
    return Watched(tmp_path)


def test_nothing_new(watched: Watched) -> None:
    """Nothing is told, look after look."""
    watched.clock.pump([1.0] * 5)
    assert watched.told == []
    assert watched.listed() == ["a", "b"]


def test_who_is_told_of_new_files(tmp_path: Path) -> None:
    """Those who see one of them; whoever sees none does not learn that there is something."""
    rules = read_access({"resources": {"docs://d/b": {"groups": ["hr"]}}})
    desk = Desk(Directory("docs://d", tmp_path, watch=1.0), access=rules)
    notices: list[Notice] = []
    publisher = Publisher(lambda f: f())
    publisher.listen(Ears(notices), [RESOURCES.topic])
    Rescans(desk.features.resources, desk.calls.runtime, publisher).start()
    told = []
    for name in ("b", "a"):
        (tmp_path / name).write_text("1")
        desk.clock.advance(1)
        callers = [Caller(name="bob", groups=frozenset({"hr"})), Caller(name="ann"), Caller()]
        told.append([desk.features.tells(notices[-1], caller) for caller in callers])
    assert told == [[True, False, False], [True, True, True]]


def test_a_file_that_changes(watched: Watched) -> None:
    """Those who watch it are told, once; the list shows its new size."""
    watched.put("a", "12345")
    watched.clock.pump([1.0] * 3)
    assert watched.told == [("updated", "docs://d/a")]
    assert watched.desk.ask("resources/list").result["resources"][0]["size"] == 5


def test_a_file_of_the_same_size_and_time(watched: Watched) -> None:
    """One that took the place of another is another."""
    facts = (watched.root / "a").stat()
    watched.put("new", "2")
    os.utime(watched.root / "new", ns=(facts.st_atime_ns, facts.st_mtime_ns))
    (watched.root / "new").rename(watched.root / "a")
    watched.clock.advance(1)
    assert watched.told == [("updated", "docs://d/a")]


def test_files_that_come_and_go(watched: Watched) -> None:
    """The list is another, and whoever watched a file that is gone is told."""
    watched.put("c", "1")
    watched.clock.advance(1)
    assert watched.told == [("list_changed", None)]
    assert watched.listed() == ["a", "b", "c"]
    (watched.root / "a").unlink()
    watched.clock.advance(1)
    assert watched.told[1:] == [("updated", "docs://d/a"), ("list_changed", None)]
    assert watched.listed() == ["b", "c"]


def test_no_looks(tmp_path: Path) -> None:
    """Whoever wants none leaves nothing in the reactor."""
    watched = Watched(tmp_path, watch=0)
    assert watched.desk.nothing_left()


def test_the_end(watched: Watched) -> None:
    """Then nothing is left."""
    watched.clock.pump([1.0] * 3)
    watched.rescans.stop()
    assert watched.desk.nothing_left()


def test_a_look_that_takes_long(watched: Watched) -> None:
    """The next one waits for it; after the end it counts no more."""
    looks: list[Deferred[Any]] = []

    def run(f: Callable[[], Any]) -> Deferred[Any]:
        looks.append(Deferred())
        return looks[-1]

    watched.desk.threads.run = run  # type: ignore[method-assign]
    watched.clock.pump([1.0] * 5)
    assert len(looks) == 1
    looks[0].callback({})
    assert watched.listed() == []
    watched.clock.advance(1)
    assert len(looks) == 2
    watched.rescans.stop()
    assert looks[1].called
    assert watched.desk.nothing_left()


def test_another_library_meanwhile(watched: Watched) -> None:
    """What is no longer served is no longer looked at."""
    watched.desk.features.replace(type(watched.desk.features.catalogs)())
    watched.rescans.start()
    assert watched.desk.nothing_left()


def test_no_thread_is_free(watched: Watched) -> None:
    """The look is left out, and the next one sees as much."""

    def busy(f: Callable[[], Any]) -> Deferred[Any]:
        raise ToolError("The server is busy")

    run, watched.desk.threads.run = watched.desk.threads.run, busy  # type: ignore[method-assign]
    watched.put("c", "1")
    watched.clock.advance(1)
    assert watched.told == []
    watched.desk.threads.run = run  # type: ignore[method-assign]
    watched.clock.advance(1)
    assert watched.told == [("list_changed", None)]


def test_a_look_that_fails(watched: Watched) -> None:
    """The log says so, and the next look comes."""
    lines: list[LogEvent] = []
    run = watched.desk.threads.run
    watched.desk.threads.run = lambda f: fail(OSError("gone"))  # type: ignore[method-assign]
    observer = lines.append
    globalLogPublisher.addObserver(observer)
    watched.clock.advance(1)
    globalLogPublisher.removeObserver(observer)
    assert [line["reason"] for line in lines if line["log_namespace"] == "mcpserve.server.rescans"] == ["gone"]
    watched.desk.threads.run = run  # type: ignore[method-assign]
    watched.put("c", "1")
    watched.clock.advance(1)
    assert watched.told == [("list_changed", None)]
