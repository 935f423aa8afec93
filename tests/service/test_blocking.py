"""What holds the reactor up is found, and named; with a reactor of the test's own."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from queue import Queue
from types import FrameType
from typing import Any

import pytest
from twisted.logger import LogEvent, globalLogPublisher

from mcpserve.features.catalog import Catalogs
from mcpserve.service.blocking import Watcher, suspect
from mcpserve.service.plugins import load
from mcpserve.service.settings import Settings

PLUGIN = """
import sys
from functools import wraps
from mcpserve import prompt, resource, tool

frames = []

def helper():
    frames.append(sys._getframe())

def wrapped(function):
    @wraps(function)
    def wrapper(*args):
        return function(*args)
    return wrapper

@tool
def direct() -> str:
    "Look from within."
    helper()
    return ""

@tool
def deferred() -> str:
    "Give away a function within."
    def later():
        helper()
    return later

@tool
@wrapped
def dressed() -> str:
    "Be wrapped."
    helper()
    return ""

@prompt
def menu() -> str:
    "A prompt."
    helper()
    return ""

@resource("notes://today")
def today() -> str:
    "A resource."
    helper()
    return ""
"""
DEADLINE = 20.0


@pytest.fixture
def catalogs(tmp_path: Path) -> Catalogs:
    """What the plugin serves."""
    (tmp_path / "plugin.py").write_text(PLUGIN)
    return load(Settings(plugins=(str(tmp_path),), shipped=False))


@pytest.mark.parametrize(
    ("find", "named"),
    [
        (lambda c: c.tools.get("direct").function(), "the tool direct"),
        (lambda c: c.tools.get("deferred").function()(), "the tool deferred"),
        (lambda c: c.tools.get("dressed").function(), "the tool dressed"),
        (lambda c: c.prompts.get("menu").function(), "the prompt menu"),
        (lambda c: c.library.find("notes://today")[0].function(), "the resource notes://today"),
    ],
)
def test_suspects(catalogs: Catalogs, find: Callable[[Any], object], named: str) -> None:
    """Whose function is in the stack, or a function within it, whatever is called from there."""
    find(catalogs)
    frames = catalogs.tools.get("direct").function.__globals__["frames"]  # type: ignore[union-attr]
    assert suspect(catalogs, frames[-1]) == named


def test_a_plugin_without_a_name(catalogs: Catalogs) -> None:
    """What runs in its file for no tool is named by its function, and what is nobody's is something."""
    tool = catalogs.tools.get("direct")
    assert tool is not None
    spread = tool.function.__globals__
    spread["helper"]()
    assert suspect(catalogs, spread["frames"][-1]).startswith("helper in ")
    assert suspect(catalogs, sys._getframe()) == "something"
    assert suspect(catalogs, None) == "something"


class Turning:
    """A reactor that turns when the test lets it."""

    def __init__(self) -> None:
        self.waiting: Queue[tuple[Callable[..., object], tuple[Any, ...]]] = Queue()

    def callFromThread(self, f: Callable[..., object], *args: Any) -> None:
        """See `IReactorFromThreads`."""
        self.waiting.put((f, args))

    def turn(self) -> None:
        """Do what waits, or what comes soon."""
        f, args = self.waiting.get(timeout=DEADLINE)
        f(*args)


@pytest.fixture
def lines() -> Iterator[Queue[LogEvent]]:
    """What is logged about it."""
    seen: Queue[LogEvent] = Queue()

    def observe(event: LogEvent) -> None:
        if event.get("log_namespace") == "mcpserve.service.blocking":
            seen.put(event)

    globalLogPublisher.addObserver(observe)
    yield seen
    globalLogPublisher.removeObserver(observe)


def test_a_reactor_that_is_blocked(lines: Queue[LogEvent]) -> None:
    """It is told while it lasts, with what it is at, and once more when it is over."""
    reactor, waits = Turning(), []

    def name(frame: FrameType) -> str:
        return "the tool crunch"

    watcher = Watcher(reactor, 0.02, name, waits.append, thread=threading.get_ident())
    watcher.start()
    try:
        told = lines.get(timeout=DEADLINE)
        assert (
            told["log_format"].format(**told).startswith("The tool crunch has blocked the reactor for more than 0.02 s")
        )
        assert "test_blocking.py" in told["stack"]
        reactor.turn()
        assert lines.get(timeout=DEADLINE)["seconds"] >= 0.02
    finally:
        watcher.stop()
    assert waits[0] >= 0.02


def test_a_reactor_that_turns(lines: Queue[LogEvent]) -> None:
    """Nothing is told of it, but how long its turns take."""
    reactor, waits = Turning(), []
    watcher = Watcher(reactor, 0.0, lambda frame: "nobody", waits.append)
    watcher.after = 0.0
    watcher.start()
    try:
        reactor.turn()
        assert len(waits) == 1
    finally:
        watcher.stop()
    assert lines.empty()


def test_the_end(lines: Queue[LogEvent]) -> None:
    """A reactor that has ended is not blocked."""
    reactor = Turning()
    before = threading.active_count()
    watcher = Watcher(reactor, 0.05, lambda frame: "nobody")
    watcher.start()
    reactor.waiting.get(timeout=DEADLINE)
    watcher.stop()
    for thread in threading.enumerate():
        if thread.name == "blocked":
            thread.join(DEADLINE)
    assert threading.active_count() <= before
    assert lines.empty()
