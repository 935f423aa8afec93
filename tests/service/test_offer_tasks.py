"""Tasks and the life of the process: settings, the end, and the beginning."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import attrs
import pytest
from twisted.internet.defer import Deferred
from twisted.internet.testing import MemoryReactorClock

from mcpserve import Call, tool
from mcpserve.features.discovery import collect
from mcpserve.policy.callers import Caller
from mcpserve.protocol.metadata import RequestMetadata
from mcpserve.protocol.revisions import V2026_07_28
from mcpserve.protocol.tasks import EXTENSION
from mcpserve.service.offer import Offer, task_limits
from mcpserve.service.settings import Settings
from tests.recording import exchange_of

KNOWS = {"extensions": {EXTENSION: {}}, "elicitation": {}}


class Reactor(MemoryReactorClock):  # type: ignore[misc]
    """One that can be called from threads."""

    def callFromThread(self, f: Callable[..., object], *args: object) -> None:
        """Call it in the next turn."""
        self.callLater(0, f, *args)


@tool(task="required")
async def work(call: Call, seconds: float) -> str:
    """Take some time."""
    await call.sleep(seconds)
    return "done"


@tool(task="required")
async def ask(call: Call) -> str:
    """Ask."""
    return (await call.elicit("Well?")).action


@attrs.frozen
class House:
    """What is served, and the reactor that it is served in."""

    offer: Offer
    reactor: Reactor

    def ask(self, method: str, **params: Any) -> dict[str, Any]:
        """Send a request, and get its result."""
        exchange, carrier = exchange_of(method, params)
        metadata = RequestMetadata(revision=V2026_07_28, capabilities=KNOWS)
        self.offer.dispatcher.dispatch(exchange, metadata, Caller())
        result: dict[str, Any] = carrier.replies[0]["result"]
        return result

    def begin(self, name: str, **arguments: Any) -> str:
        """Begin a task."""
        return str(self.ask("tools/call", name=name, arguments=arguments)["taskId"])

    def status(self, task_id: str) -> str:
        """Where a task stands."""
        return str(self.ask("tasks/get", taskId=task_id)["status"])


@pytest.fixture
def house() -> Iterator[House]:
    """One that has started."""
    reactor = Reactor()
    house = House(Offer(reactor, Settings(), collect([work, ask], "test")), reactor)
    house.offer.start()
    yield house
    house.offer.stop()


def test_the_end(house: House) -> None:
    """Tasks have their time to end, but for those that wait for an answer; what is left then has failed."""
    quick, slow, waits = house.begin("work", seconds=1), house.begin("work", seconds=60), house.begin("ask")
    over = Deferred.fromCoroutine(house.offer.wind_up(5.0))
    assert [house.status(one) for one in (quick, slow, waits)] == ["working", "working", "failed"]
    house.reactor.pump([0.1] * 60)
    assert over.called
    assert [house.status(one) for one in (quick, slow, waits)] == ["completed", "failed", "failed"]
    assert house.ask("tasks/get", taskId=slow)["error"]["message"] == "The server is shutting down; call again"


def test_only_tasks_that_wait_do_not_hold_up_the_end(house: House) -> None:
    """Nobody waits for an answer that can't come."""
    house.begin("ask")
    over = Deferred.fromCoroutine(house.offer.wind_up(5.0))
    assert over.called


def test_limits() -> None:
    """Each setting arrives where it counts."""
    limits = task_limits(Settings(task_ttl=1.5, task_poll=2.5, max_tasks=3, max_tasks_of_caller=4))
    assert (limits.ttl, limits.poll, limits.count, limits.of_caller) == (1.5, 2.5, 3, 4)
