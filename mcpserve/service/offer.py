"""What a process serves, whatever brings the requests: the features, their calls, and what these run on."""

from __future__ import annotations

from importlib.metadata import version
from typing import Any

from twisted.internet.defer import Deferred
from twisted.logger import Logger

from mcpserve.errors import ConfigurationError, PluginError
from mcpserve.features import publish
from mcpserve.features.call import Cause, Runtime
from mcpserve.features.catalog import Catalogs
from mcpserve.features.seals import Seals
from mcpserve.features.threads import ToolThreads
from mcpserve.features.timing import TimingWheel
from mcpserve.policy.challenges import Challenges
from mcpserve.protocol.notices import FILTER_KEYS
from mcpserve.protocol.tasks import TASK_IDS
from mcpserve.protocol.types import Implementation
from mcpserve.protocol.wire import Envelope
from mcpserve.server.calls import Calls
from mcpserve.server.dispatch import Dispatcher, Feature
from mcpserve.server.features import PluginFeatures
from mcpserve.server.observing import Observer
from mcpserve.server.permits import NO_CHALLENGES, Permits
from mcpserve.server.publisher import Publisher
from mcpserve.server.rescans import Rescans
from mcpserve.server.subscriptions import Subscriptions
from mcpserve.server.tasks import TaskLimits, Tasks
from mcpserve.service.bounds import call_limits, subscription_limits, tool_rates
from mcpserve.service.plugins import load
from mcpserve.service.settings import Settings
from mcpserve.stores.tasks import TaskStore

_log = Logger()

_LOOK = 0.02
"""Seconds between two looks at whether the calls have ended."""


class Offer:
    """What is served.

    Args:
        reactor: What it runs on.
        settings: What the operator set.
        catalogs: What plugins bring, to begin with.
        tasks: Where tasks are kept, if not in memory.
        challenges: What a caller is told whose credential lacks scopes.
        observer: Who watches, if anybody does.

    Attributes:
        dispatcher: Where a transport hands its requests to.
        calls: What runs.
        features: What plugins bring.
        tasks: What calls of tools have become.
        publisher: Where what has changed is told.
        subscriptions: Who hears of it.
        threads: Where tools that block run.
    """

    def __init__(
        self,
        reactor: Any,
        settings: Settings,
        catalogs: Catalogs,
        tasks: TaskStore | None = None,
        challenges: Challenges = NO_CHALLENGES,
        observer: Observer | None = None,
    ) -> None:
        self._reactor = reactor
        self._settings = settings
        self.threads = ToolThreads(reactor, settings.threads, settings.thread_queue)
        envelope = Envelope(Implementation(name=settings.name, version=version("mcpserve")))
        seals = Seals(reactor, settings.state_key or None, settings.state_ttl)
        runtime = Runtime(clock=reactor, wheel=TimingWheel(reactor), threads=self.threads, seals=seals)
        self.calls = Calls(runtime, call_limits(settings), tool_rates(settings), observer)
        self.publisher = Publisher(self.threads.call_in_reactor)
        self.tasks = Tasks(envelope, runtime, task_limits(settings), store=tasks, publisher=self.publisher)
        permits = Permits(settings.access, challenges)
        self.features = PluginFeatures(catalogs, envelope, self.calls, self.tasks, permits)
        self._rescans = Rescans(self.features.resources, runtime, self.publisher)
        features: list[Feature] = [*self.features, self.tasks]
        self.subscriptions = Subscriptions(
            self.publisher,
            envelope,
            features,
            subscription_limits(settings),
            keys=(*FILTER_KEYS, TASK_IDS),
            admission={TASK_IDS.name: self.tasks.admit},
            knows=self.features.knows,
            tells=self.features.tells,
        )
        instructions = settings.instructions or None
        self.dispatcher = Dispatcher([*features, self.subscriptions], envelope, instructions, observer)

    def start(self) -> None:
        """Begin: blocking tools get their threads, what plugins publish is told, and kept tasks are there again."""
        self.tasks.restore()
        self.threads.start()
        publish.attach(self.publisher)
        self._rescans.start()

    def stop(self) -> None:
        """All is over: the threads end."""
        publish.detach(self.publisher)
        self._rescans.stop()
        self.threads.stop()

    def reload(self) -> None:
        """Load the plugins anew. If something is wrong with them, the old ones stay. What runs goes on."""
        try:
            catalogs = load(self._settings)
        except (PluginError, ConfigurationError) as error:
            _log.error("Plugins not reloaded, the old ones stay: {problem}", problem=str(error))
            return
        before, after = set(self.features.catalogs.names()), set(catalogs.names())
        for notice in self.features.replace(catalogs):
            self.publisher.publish(notice)
        self._rescans.start()
        _log.info(
            "Plugins reloaded: {counts}, {new} new, {gone} gone",
            counts=catalogs.counted(),
            new=len(after - before),
            gone=len(before - after),
        )

    def hurry(self) -> None:
        """Cancel what still runs: the server stops."""
        self.calls.cancel_all(Cause.SHUTDOWN)

    async def wind_up(self, limit: float) -> None:
        """End all listen streams, let what runs come to its end for so many seconds; then cancel the rest.

        Tasks that wait for an answer end at once, as there is no way for it to come any more.
        """
        _log.info(
            "Stopping: {calls} calls run, for at most {limit:g} s more", calls=len(self.calls.running), limit=limit
        )
        self.subscriptions.end_all()
        self.tasks.end_parked()
        end = self._reactor.seconds() + limit
        while self.calls.running and self._reactor.seconds() < end:
            await pause(self._reactor, _LOOK)
        self.hurry()


def task_limits(settings: Settings) -> TaskLimits:
    """The bounds of tasks."""
    return TaskLimits(
        ttl=settings.task_ttl,
        poll=settings.task_poll,
        count=settings.max_tasks,
        of_caller=settings.max_tasks_of_caller,
    )


def pause(reactor: Any, seconds: float) -> Deferred[None]:
    """Wait.

    Fires: with None, after that many seconds of the reactor.
    """
    waiting: Deferred[None] = Deferred()
    reactor.callLater(seconds, waiting.callback, None)
    return waiting
