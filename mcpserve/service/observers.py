"""Who watches, as the settings say it: counts for metrics, a line for each request, spans, and a look at the reactor.

    ops_listen      counts                                      `tally`
    access_log      a line for each request                     `requestlog`
    tracing         a span for each request                     `tracing`, of the extra
    blocked_after   who has blocked the reactor, by a thread    `blocking`

What is not asked for does not exist, and where nobody watches the rooms are told so.
"""

from __future__ import annotations

import importlib
from functools import partial
from importlib.metadata import version
from types import FrameType
from typing import Any

from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IReactorFromThreads
from twisted.internet.threads import deferToThread

from mcpserve.errors import ConfigurationError
from mcpserve.server.observing import Observer, together
from mcpserve.service.blocking import Watcher, suspect
from mcpserve.service.logs import Logs
from mcpserve.service.offer import Offer
from mcpserve.service.requestlog import RequestLog
from mcpserve.service.settings import Settings
from mcpserve.service.tally import HANDSHAKE, Tally

SENDING = 5.0
"""Seconds that the last spans have to leave when the process ends."""


class Observers:
    """Who watches one server.

    Args:
        reactor: What it runs on.
        settings: What the operator set.
        logs: Where lines about requests go.

    Attributes:
        observer: All of them as one; None where nobody watches.
        tally: What is counted, if anything is.

    Raises:
        ConfigurationError: Spans are wanted, and the extra is not installed.
    """

    def __init__(self, reactor: Any, settings: Settings, logs: Logs) -> None:
        self._reactor = reactor
        self._logs = logs
        self._offer: Offer | None = None
        clock = reactor.seconds
        self.tally = Tally(clock, self._serves_method, partial(self._serves, "tools/call"))
        self._tracing = self._make_tracing(settings) if settings.tracing else None
        chosen: list[Observer] = []
        if self._tracing is not None:
            chosen.append(self._tracing)  # the first: the others tell of the place that it gives
        if settings.ops_listen:
            chosen.append(self.tally)
        if settings.access_log:
            chosen.append(RequestLog(logs, clock, self._serves))
        self.observer = together(chosen)
        waited = self.tally.lag.add if settings.ops_listen else _ignored
        self._watcher: Watcher | None = None
        if (settings.blocked_after or settings.ops_listen) and IReactorFromThreads.providedBy(reactor):
            self._watcher = Watcher(reactor, settings.blocked_after, self._suspect, waited)

    def start(self, offer: Offer) -> None:
        """The reactor runs: begin to look at it.

        Args:
            offer: What is served.
        """
        self.look_at(offer)
        self._logs.start(self._reactor)
        if self._watcher is not None:
            self._watcher.start()

    def look_at(self, offer: Offer) -> None:
        """From now on it is known what is served."""
        self._offer = offer

    def stop(self) -> Deferred[object]:
        """All is over.

        Fires: when the last spans are sent, or that took too long.
        """
        if self._watcher is not None:
            self._watcher.stop()
        self._logs.stop()
        if self._tracing is None:
            return succeed(None)
        closing: Deferred[object] = deferToThread(self._tracing.close)
        closing.addTimeout(SENDING, self._reactor, lambda *_: None)
        return closing.addErrback(lambda failure: None)

    def _make_tracing(self, settings: Settings) -> Any:
        check_tracing(settings)
        module = importlib.import_module("mcpserve.service.tracing")
        return module.Tracing(settings.name, version("mcpserve"), self._serves_method, self._serves)

    def _serves_method(self, method: str) -> bool:
        return self._offer is not None and (method in self._offer.dispatcher.methods or method in HANDSHAKE)

    def _serves(self, method: str, name: str) -> bool:
        if self._offer is None or method not in ("tools/call", "prompts/get"):
            return False
        catalogs = self._offer.features.catalogs
        found: object = catalogs.tools.get(name) if method == "tools/call" else catalogs.prompts.get(name)
        return found is not None

    def _suspect(self, frame: FrameType) -> str:
        return "something" if self._offer is None else suspect(self._offer.features.catalogs, frame)


def check_tracing(settings: Settings) -> None:
    """Check that what spans take is installed, if they are wanted.

    Raises:
        ConfigurationError: It is not.
    """
    if settings.tracing:
        # late: the library is an extra, and costs memory and start time
        try:
            importlib.import_module("mcpserve.service.tracing")
        except ModuleNotFoundError as error:
            raise ConfigurationError(
                f"tracing needs OpenTelemetry ({error.name} is missing): pip install 'mcpserve[tracing]'"
            ) from None


def _ignored(seconds: float) -> None:
    """Nobody counts this."""
