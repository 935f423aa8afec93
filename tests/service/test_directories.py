"""Directories of plugins in a running server: watched in a real thread, loaded anew, let go of at the end."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import pytest_twisted
from twisted.internet.defer import Deferred

from mcpserve.protocol.notices import PROMPTS, RESOURCES, TOOLS, Notice
from mcpserve.service.offer import Offer
from mcpserve.service.plugins import load
from mcpserve.service.settings import Settings

PLUGIN = """
from mcpserve import Directory, prompt

files = Directory("docs://d", {root!r}, watch={watch})

@prompt
def {name}() -> str:
    "Ask."
    return "x"
"""


class House:
    """An offer with one directory, on the real reactor, and what is told of it."""

    def __init__(self, reactor: Any, folder: Path) -> None:
        self.plugins, self.root = folder / "plugins", folder / "root"
        self.plugins.mkdir()
        self.root.mkdir()
        self.put()
        self.settings = Settings(plugins=(str(self.plugins),), shipped=False)
        self.offer = Offer(reactor, self.settings, load(self.settings))
        self.told: list[Notice] = []
        self.waiting: Deferred[Notice] | None = None
        self.offer.publisher.listen(self, [key.topic for key in (TOOLS, PROMPTS, RESOURCES)])
        self.offer.start()

    def put(self, name: str = "ask", watch: float = 0.01, root: Path | None = None) -> None:
        """Write the plugin."""
        (self.plugins / "p.py").write_text(PLUGIN.format(root=str(root or self.root), watch=watch, name=name))

    def hear(self, notice: Notice) -> None:
        """See `Listener`."""
        self.told.append(notice)
        waiting, self.waiting = self.waiting, None
        if waiting is not None:
            waiting.callback(notice)

    def next(self) -> Deferred[Notice]:
        """The next thing that is told."""
        self.waiting = Deferred()
        return self.waiting

    def listed(self) -> list[str]:
        """The URIs that are listed now."""
        return [one.name for one in self.offer.features.resources.listed]


@pytest.fixture
def house(running_reactor: Any, tmp_path: Path) -> Iterator[House]:
    """It is stopped in the end; whatever stayed in the reactor would fail the test."""
    house = House(running_reactor, tmp_path)
    yield house
    house.offer.stop()


@pytest_twisted.ensureDeferred
async def test_a_file_that_comes(house: House) -> None:
    """It is listed, and told of, without anybody doing anything."""
    waiting = house.next()
    (house.root / "a.txt").write_text("a")
    assert (await waiting).topic == RESOURCES.topic
    assert house.listed() == ["docs://d/a.txt"]


@pytest_twisted.ensureDeferred
async def test_a_reload(house: House) -> None:
    """What is another then is told, and nothing else; the new directory is watched, the old one no more."""
    other = house.root.parent / "other"
    other.mkdir()
    house.put(name="ask_again", root=other)
    waiting = house.next()
    house.offer.reload()
    assert (await waiting).topic == PROMPTS.topic
    (house.root / "old.txt").write_text("old")
    waiting = house.next()
    (other / "new.txt").write_text("new")
    await waiting
    assert house.listed() == ["docs://d/new.txt"]
    assert [notice.topic for notice in house.told] == [PROMPTS.topic, RESOURCES.topic]
