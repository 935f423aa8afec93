"""A request on its way, between its user and the work behind it."""

from __future__ import annotations

from typing import Any

import pytest
from twisted.internet.defer import CancelledError, Deferred

from mcpserve.client.inflight import InFlight, Work
from mcpserve.errors import AnswerLost, AnswerTooLarge, ClientClosed
from mcpserve.protocol.jsonrpc import Notification, Response
from tests.client.scripted_web import StillWaiting, begun, now, outcome

ONE, TWO = Notification("one", {}), Notification("two", {})
LAST = Response(1, {})


class Watched(InFlight):
    """Keeps what it is told to withdraw."""

    def __init__(self, buffer: int = 100) -> None:
        super().__init__(buffer)
        self.withdrawn: list[str | None] = []

    def withdraw(self, reason: str | None) -> None:
        """Keep it."""
        self.withdrawn.append(reason)


def working(flight: InFlight, *messages: Notification | Response, then: Any = None) -> list[str]:
    """Begin work that delivers these messages and then awaits or raises; returns what it has come to."""
    log: list[str] = []

    async def work() -> None:
        try:
            for message in messages:
                await flight.deliver(message, 10)
                log.append("delivered")
            if isinstance(then, Exception):
                raise then
            if then is not None:
                await then
        except CancelledError:
            log.append("cancelled")
            raise

    flight.start(work(), lambda: log.append("ended"))
    return log


def test_messages_come_in_order_and_the_work_waits_for_its_reader() -> None:
    """The work goes on when what it delivered was taken; after the response there is nothing more."""
    flight = Watched()
    log = working(flight, ONE, TWO, LAST)
    assert flight.fresh is False
    assert log == []
    assert now(flight.receive()) is ONE
    assert log == ["delivered"]
    assert now(flight.receive()) is TWO
    assert log == ["delivered", "delivered", "delivered", "ended"]
    assert flight.over
    assert now(flight.receive()) is LAST
    with pytest.raises(ClientClosed):
        now(flight.receive())


def test_what_came_before_a_failure_is_given_before_it() -> None:
    """A failure does not swallow messages, and is raised to each who asks."""
    flight = Watched()
    working(flight, ONE, then=AnswerLost("x"))
    assert now(flight.receive()) is ONE
    for _ in range(2):
        with pytest.raises(AnswerLost):
            now(flight.receive())


def test_work_that_ends_without_a_response_does_not_hang_its_user() -> None:
    """That would be a mistake of ours, and is told."""
    flight = Watched()
    working(flight)
    with pytest.raises(RuntimeError):
        now(flight.receive())


def test_cancelling_withdraws_once_and_stops_the_work() -> None:
    """The server is told once, the work is cancelled, and who waits is told."""
    flight = Watched()
    log = working(flight, then=Deferred())
    waiting = begun(flight.receive())
    flight.cancel("why")
    flight.cancel("again")
    with pytest.raises(CancelledError):
        outcome(waiting)
    assert (flight.withdrawn, log) == (["why"], ["cancelled", "ended"])


def test_cancelling_from_within_the_work() -> None:
    """A user who cancels when a message is handed over runs inside of the work, which then ends by itself."""
    flight = Watched()
    waiting = begun(flight.receive())
    waiting.addCallback(lambda _: flight.cancel())
    log = working(flight, ONE, TWO, LAST)
    assert log == ["cancelled", "ended"]
    assert flight.withdrawn == [None]


def test_what_comes_from_elsewhere_does_not_wait() -> None:
    """It is kept up to the bound; past that the request ends, and the server is told."""
    flight = Watched(buffer=100)
    log = working(flight, then=Deferred())
    flight.push(ONE, 60)
    flight.push(TWO, 40)
    assert now(flight.receive()) is ONE
    flight.push(ONE, 60)
    flight.push(ONE, 1)
    with pytest.raises(AnswerTooLarge):
        now(flight.receive())
    assert log == ["cancelled", "ended"]
    assert len(flight.withdrawn) == 1
    flight.push(ONE, 1)


def test_a_large_message_for_who_waits_is_no_excess() -> None:
    """What is taken at once does not count."""
    flight = Watched(buffer=10)
    working(flight, then=Deferred())
    waiting = begun(flight.receive())
    flight.push(ONE, 1000)
    assert outcome(waiting) is ONE
    flight.cancel()


def test_a_response_from_elsewhere_ends_the_work() -> None:
    """There is nothing left to read for it, and nothing is withdrawn."""
    flight = Watched()
    log = working(flight, then=Deferred())
    flight.push(LAST, 10)
    assert log == ["cancelled", "ended"]
    assert now(flight.receive()) is LAST
    assert flight.withdrawn == []


def test_closing_ends_what_runs_and_what_lingers() -> None:
    """A request that runs is withdrawn and raises ClientClosed; one that lingers after its response just stops."""
    runs, lingers = Watched(), Watched()
    log = working(runs, then=Deferred())
    lingering = working(lingers, LAST, then=Deferred())
    for flight in (runs, lingers):
        flight.close()
    with pytest.raises(ClientClosed):
        now(runs.receive())
    assert now(lingers.receive()) is LAST
    assert log == ["cancelled", "ended"]
    assert lingering == ["delivered", "cancelled", "ended"]
    assert (len(runs.withdrawn), len(lingers.withdrawn)) == (1, 0)


def test_a_wait_that_is_given_up_is_no_cancellation() -> None:
    """The next who waits gets the message."""
    flight = Watched()
    done: Deferred[None] = Deferred()
    log = working(flight, then=done)
    waiting = begun(flight.receive())
    waiting.cancel()
    with pytest.raises(CancelledError):
        outcome(waiting)
    again = begun(flight.receive())
    with pytest.raises(StillWaiting):
        outcome(again)
    flight.push(ONE, 1)
    assert outcome(again) is ONE
    assert log == []
    flight.cancel()


def test_work_that_runs_can_not_be_cancelled_and_is_not_harmed() -> None:
    """Cancelling work from inside of itself does nothing; from outside it cancels what the work waits for."""
    works: list[Work] = []
    gate: Deferred[None] = Deferred()
    told: list[BaseException | None] = []

    async def work() -> None:
        await gate
        works[0].cancel()
        await Deferred()

    works.append(Work(work()))
    works[0].ended(told.append)
    gate.callback(None)
    assert told == []
    works[0].cancel()
    assert isinstance(told[0], CancelledError)
