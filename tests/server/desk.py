"""A dispatcher over some tools, with everything else at hand."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

from twisted.internet.task import Clock

from mcpserve.features.call import Cause, Runtime
from mcpserve.features.discovery import collect
from mcpserve.features.timing import TimingWheel
from mcpserve.policy.access import Access
from mcpserve.policy.callers import Caller
from mcpserve.protocol.exchange import Exchange
from mcpserve.protocol.metadata import RequestMetadata
from mcpserve.protocol.revisions import V2026_07_28, Revision
from mcpserve.protocol.types import Implementation
from mcpserve.protocol.wire import Envelope
from mcpserve.server.calls import CallLimits, Calls
from mcpserve.server.dispatch import Dispatcher
from mcpserve.server.features import PluginFeatures
from mcpserve.server.permits import Permits
from mcpserve.server.tasks import TaskLimits, Tasks
from mcpserve.stores.tasks import TaskStore
from mcpserve.testing import ImmediateThreads
from tests.recording import RecordingCarrier, exchange_of

NOTHING: Mapping[str, Any] = MappingProxyType({})


class Asked:
    """One request, and what came of it."""

    def __init__(self, exchange: Exchange, carrier: RecordingCarrier) -> None:
        self.exchange = exchange
        self.carrier = carrier

    @property
    def result(self) -> dict[str, Any]:
        """The one result."""
        assert len(self.carrier.replies) == 1
        found: dict[str, Any] = self.carrier.replies[0]["result"]
        return found

    @property
    def text(self) -> str:
        """The text of the one block."""
        (block,) = self.result["content"]
        return str(block["text"])

    @property
    def error(self) -> tuple[int, str]:
        """The code and the message of the one error."""
        (reply,) = self.carrier.replies
        return reply["error"]["code"], reply["error"]["message"]

    @property
    def progress(self) -> list[float]:
        """The numbers of the progress so far."""
        return [notice["params"]["progress"] for notice in self.carrier.notices]


class Desk:
    """Some tools that can be called; `clock` is their time."""

    def __init__(
        self,
        *functions: Callable[..., Any],
        most_calls: int = 100,
        page_size: int = 250,
        tasks: TaskLimits | None = None,
        store: TaskStore | None = None,
        access: Access | None = None,
    ) -> None:
        self.clock = Clock()
        self.wheel = TimingWheel(self.clock)
        self.threads = ImmediateThreads()
        envelope = Envelope(Implementation(name="desk", version="1"))
        runtime = Runtime(clock=self.clock, wheel=self.wheel, threads=self.threads)
        self.calls = Calls(runtime, CallLimits(calls=most_calls))
        self.tasks = Tasks(envelope, runtime, tasks or TaskLimits(), store=store)
        catalogs, permits = collect(functions, "here.py", page_size), Permits(access or Access())
        self.features = PluginFeatures(catalogs, envelope, self.calls, self.tasks, permits)
        self.tools = self.features.tools
        self.dispatcher = Dispatcher([*self.features, self.tasks], envelope, "Read on.")

    def ask(
        self,
        method: str,
        params: Any = None,
        revision: Revision = V2026_07_28,
        mirrored: Mapping[str, str] | None = None,
        *,
        capabilities: Mapping[str, Any] = NOTHING,
        caller: str | None = None,
    ) -> Asked:
        """Send a request."""
        exchange, carrier = exchange_of(method, params, revision)
        metadata = RequestMetadata(
            revision=revision, progress_token="t", log_level="debug", mirrored=mirrored, capabilities=capabilities
        )
        self.dispatcher.dispatch(exchange, metadata, Caller(name=caller))
        return Asked(exchange, carrier)

    def call(self, name: str, **arguments: Any) -> Asked:
        """Call a tool."""
        return self.ask("tools/call", {"name": name, "arguments": arguments})

    def stop(self) -> None:
        """The server shuts down."""
        self.calls.cancel_all(Cause.SHUTDOWN)

    def nothing_left(self) -> bool:
        """True when no call, no timer and no delayed call is there."""
        return not self.calls.running and not len(self.wheel) and not self.clock.getDelayedCalls()
