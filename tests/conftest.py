"""The hygiene of the tests: what Twisted lets pass in silence fails here.

A test fails when it logs a failure that it did not expect, when it leaves a delayed call, a socket or another
selectable behind, or when its Deferred does not fire in time. `tests/test_hygiene.py` shows each of these failing.
"""

from __future__ import annotations

import functools
import gc
from collections.abc import Callable, Iterator
from typing import Any

import attrs
import pytest
import pytest_twisted
from hypothesis import HealthCheck, settings
from twisted.internet.defer import Deferred, ensureDeferred
from twisted.internet.task import deferLater
from twisted.logger import LogEvent, LogLevel, globalLogPublisher
from twisted.python.failure import Failure

DEADLINE = 20.0
"""How long a test's Deferred may take, in seconds, unless it is marked with another `deadline`."""

SETTLING_TURNS = 50
"""How many times the reactor may turn after a test, 10 ms each, for closed sockets to go."""

# A machine that stalls for two seconds while Hypothesis makes examples says nothing about the code.
settings.register_profile("patient", suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("patient")

SEVERE = (LogLevel.error, LogLevel.critical)


@attrs.define
class LoggedErrors:
    """The failures that were logged as errors during one test."""

    events: list[LogEvent] = attrs.Factory(list)

    def __call__(self, event: LogEvent) -> None:
        # Only what carries a failure: a plain error line is something that the code meant to say.
        if "log_failure" in event and event.get("log_level") in SEVERE:
            self.events.append(event)

    def flush(self, *types: type[BaseException]) -> list[Failure]:
        """Take out the logged failures of these types (all of them, if none is named): they were expected."""
        gc.collect()
        found = [event for event in self.events if _matches(event, types)]
        self.events = [event for event in self.events if event not in found]
        return [event["log_failure"] for event in found]

    def describe(self) -> str:
        """What was logged, for the report."""
        return "\n".join(_describe(event) for event in self.events)


def _matches(event: LogEvent, types: tuple[type[BaseException], ...]) -> bool:
    return not types or event["log_failure"].check(*types) is not None


def _describe(event: LogEvent) -> str:
    return f"{event.get('log_namespace')}: {event.get('log_format')}\n{event['log_failure'].getTraceback()}"


def _current_reactor() -> Any:
    # Importing the reactor module installs one, so it waits until pytest-twisted has installed the chosen one.
    from twisted.internet import reactor  # noqa: PLC0415

    return reactor


def _selectables(reactor: Any) -> set[Any]:
    return {*reactor.getReaders(), *reactor.getWriters()}


def _left_behind(reactor: Any, calls: set[Any], selectables: set[Any]) -> list[Any]:
    late_calls = [call for call in reactor.getDelayedCalls() if call not in calls]
    return late_calls + [one for one in _selectables(reactor) if one not in selectables]


def _discard(reactor: Any, leftover: Any) -> None:
    """Keep one test's leftovers from failing the next one."""
    if hasattr(leftover, "cancel"):
        leftover.cancel()
    else:
        reactor.removeReader(leftover)
        reactor.removeWriter(leftover)


def _settle(reactor: Any, calls: set[Any], selectables: set[Any]) -> list[Any]:
    """Turn the reactor until nothing is left, or patience ends; a closed socket needs a turn or two to go."""
    for _ in range(SETTLING_TURNS):
        if not _left_behind(reactor, calls, selectables):
            break
        pytest_twisted.blockon(deferLater(reactor, 0.01))
    return _left_behind(reactor, calls, selectables)


@pytest.fixture(scope="session", autouse=True)
def running_reactor(twisted_greenlet: object) -> Any:
    """The reactor, started, so that what it opens for itself is there before the first test."""
    reactor = _current_reactor()
    pytest_twisted.blockon(deferLater(reactor, 0))
    return reactor


@pytest.fixture(autouse=True)
def logged_errors() -> Iterator[LoggedErrors]:
    """Fails the test if a failure was logged that it did not flush."""
    logged = LoggedErrors()
    globalLogPublisher.addObserver(logged)
    yield logged
    # A Deferred that failed with nobody looking says so when it is collected: now, not during a later test.
    gc.collect()
    # What is left lives on; set aside, it costs the collection after the next test nothing.
    gc.freeze()
    globalLogPublisher.removeObserver(logged)
    if logged.events:
        pytest.fail(f"the test logged unexpected failures:\n{logged.describe()}", pytrace=False)


@pytest.fixture
def flush_logged_errors(logged_errors: LoggedErrors) -> Callable[..., list[Failure]]:
    """Call it with the types of the failures that the test expects in the log; it returns them and forgives them."""
    return logged_errors.flush


@pytest.fixture(autouse=True)
def clean_reactor(running_reactor: Any, logged_errors: LoggedErrors) -> Iterator[None]:
    """Fails the test if it leaves delayed calls, sockets or other selectables in the reactor."""
    reactor = running_reactor
    calls, selectables = set(reactor.getDelayedCalls()), _selectables(reactor)
    yield
    leftovers = _settle(reactor, calls, selectables)
    for leftover in leftovers:
        _discard(reactor, leftover)
    if leftovers:
        pytest.fail(f"the test left these in the reactor: {[str(one) for one in leftovers]}", pytrace=False)


def _within(seconds: float, test: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(test)
    def limited(*args: Any, **kwargs: Any) -> Any:
        outcome = test(*args, **kwargs)
        if hasattr(outcome, "__await__") and not isinstance(outcome, Deferred):
            outcome = ensureDeferred(outcome)
        if isinstance(outcome, Deferred):
            outcome.addTimeout(seconds, _current_reactor())
        return outcome

    return limited


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Give every test's Deferred a deadline; pytest-twisted would wait for ever."""
    for item in items:
        # Hypothesis hands its own inner function to pytest-twisted; its examples have a deadline already.
        if isinstance(item, pytest.Function) and not hasattr(item.obj, "hypothesis"):
            marker = item.get_closest_marker("deadline")
            item.obj = _within(marker.args[0] if marker else DEADLINE, item.obj)


def pytest_collection_finish() -> None:
    """Set aside all that lives for the whole run, so that the collection after each test is cheap."""
    gc.collect()
    gc.freeze()
