"""What is served, apart from how it is reached: what clients hear of a reload, of plugins, and of the end."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from twisted.internet.defer import Deferred
from twisted.internet.testing import MemoryReactorClock

from mcpserve import publish
from mcpserve.policy.callers import Caller
from mcpserve.protocol.exchange import Exchange
from mcpserve.protocol.jsonrpc import Request
from mcpserve.protocol.metadata import RequestMetadata
from mcpserve.protocol.revisions import V2026_07_28
from mcpserve.service.offer import Offer, subscription_limits
from mcpserve.service.plugins import load
from mcpserve.service.settings import Settings
from tests.recording import RecordingCarrier

PLUGIN = """
from mcpserve import tool

@tool(description={text!r})
def {name}(number: {kind} = 0) -> str:
    return {answer!r}
"""
FILTER = {"toolsListChanged": True, "promptsListChanged": True, "resourcesListChanged": True}
UPDATED = "notifications/resources/updated"


class Reactor(MemoryReactorClock):  # type: ignore[misc]
    """One that can be called from threads."""

    def callFromThread(self, f: Callable[..., object], *args: object) -> None:
        """Call it in the next turn."""
        self.callLater(0, f, *args)


class House:
    """What is served from a directory of plugins, and a client that listens to it."""

    def __init__(self, folder: Path, **settings: Any) -> None:
        self.folder = folder
        self.reactor = Reactor()
        self.settings = Settings(plugins=(str(folder),), shipped=False, **settings)
        self.put()
        self.offer = Offer(self.reactor, self.settings, load(self.settings))
        self.client = RecordingCarrier()
        request = Request(1, "subscriptions/listen", {"notifications": FILTER})
        exchange = Exchange(request, V2026_07_28, self.client)
        self.offer.dispatcher.dispatch(exchange, RequestMetadata(revision=V2026_07_28), Caller())

    def put(self, name: str = "add", text: str = "Add.", kind: str = "int", answer: str = "a") -> None:
        """Write a plugin with one tool."""
        (self.folder / "plugin.py").write_text(PLUGIN.format(name=name, text=text, kind=kind, answer=answer))

    def heard(self) -> list[str]:
        """The methods that the client heard, behind the acknowledgement, and forget them."""
        self.reactor.advance(0)
        heard = [notice["method"] for notice in self.client.notices if "acknowledged" not in notice["method"]]
        self.client.notices.clear()
        return heard


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    """One that has started."""
    house = House(tmp_path)
    house.offer.start()
    yield house
    house.offer.stop()


@pytest.mark.parametrize(
    "change", [{"name": "subtract"}, {"text": "Add two."}, {"kind": "float"}, {"name": "add_", "answer": "b"}]
)
def test_a_reload_that_changes_the_list(house: House, change: Any) -> None:
    """It is told once: a tool that came or went, or says something else of itself."""
    house.put(**change)
    house.offer.reload()
    assert house.heard() == ["notifications/tools/list_changed"]
    house.offer.reload()
    assert house.heard() == []


@pytest.mark.parametrize("change", [{}, {"answer": "b"}])
def test_a_reload_that_changes_no_list(house: House, change: Any) -> None:
    """Nothing is told: what a tool does is not on the list."""
    house.put(**change)
    house.offer.reload()
    assert house.heard() == []


def test_a_reload_that_fails(house: House) -> None:
    """The old list stays, so there is nothing to tell."""
    (house.folder / "plugin.py").write_text("1 / 0")
    house.offer.reload()
    assert house.heard() == []


def test_the_order_of_the_list(house: House) -> None:
    """It is a part of what clients see."""
    one, two = (f"@tool\ndef {name}() -> str:\n    '''Do.'''\n\n" for name in ("one", "two"))
    for order in ((one, two), (two, one)):
        (house.folder / "plugin.py").write_text("from mcpserve import tool\n\n" + "".join(order))
        house.offer.reload()
        assert house.heard() == ["notifications/tools/list_changed"]


def test_plugins_are_heard_while_it_runs(tmp_path: Path) -> None:
    """From the start to the end, and not before or after."""
    house = House(tmp_path)
    publish.tools_changed()
    assert house.heard() == []
    house.offer.start()
    publish.tools_changed()
    assert house.heard() == ["notifications/tools/list_changed"]
    house.offer.stop()
    publish.tools_changed()
    assert house.heard() == []


def test_streams_end_when_it_winds_up(house: House) -> None:
    """At once, with a result, while calls may still run."""
    Deferred.fromCoroutine(house.offer.wind_up(10.0))
    assert house.client.replies[0]["result"]["resultType"] == "complete"
    publish.tools_changed()
    assert house.heard() == []
    house.reactor.pump([0.1] * 110)


def test_limits() -> None:
    """Each setting arrives where it counts."""
    limits = subscription_limits(Settings(max_listeners=3, max_watched=4))
    assert (limits.streams, limits.named) == (3, 4)
