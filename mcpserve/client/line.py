"""The line to one server: from the moment it is opened until it is closed, and all that goes over it meanwhile."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from weakref import WeakSet

import attrs
from twisted.internet.defer import CancelledError, Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from mcpserve.client.calls import Answer, Errand, Means
from mcpserve.client.catalogue import Catalogue
from mcpserve.client.conversation import Conversation, Outgoing
from mcpserve.client.hosting import Hosting
from mcpserve.client.limits import Terms
from mcpserve.client.listening import ListenStream, Source, Subscription
from mcpserve.client.opening import Opening
from mcpserve.client.subscribing import Listeners, SessionSource
from mcpserve.errors import ClientClosed
from mcpserve.protocol.jsonrpc import Notification
from mcpserve.protocol.types import LogLevel

_NOTHING: Mapping[str, Any] = {}
_log = Logger()


class Line:
    """What a client holds of its server.

    Args:
        opening: The way to the server.
        terms: What that needs to know.
        host: The client, as the server sees it.
        answer: Answers what the server asks within a call.
    """

    def __init__(self, opening: Opening, terms: Terms, host: Hosting, answer: Answer) -> None:
        self.clock = terms.clock
        self.catalogue = Catalogue(self._page, clock=self.clock, limits=terms.limits, mirrors=lambda: self._mirrors)
        self._opening = opening
        self._terms = terms
        self._host = host
        self._answer = answer
        self._listeners = Listeners(self.ask, lambda: self.conversation.server.capabilities)
        self._subscriptions: WeakSet[Subscription] = WeakSet()
        self._means: Means | None = None
        self._mirrors = False
        self._work: Deferred[Conversation] | None = None
        self._closed = self._over = False
        self._closers: list[Deferred[None]] = []
        host.ears = (lambda told: self.catalogue.heard(told.method), self._listeners.heard)
        host.forgetting, host.listeners = self.catalogue.forget, self._listeners

    # --- life

    async def open(self) -> None:
        """See `Client.open`."""
        if self._closed or self._work is not None:
            raise ClientClosed("The client was closed" if self._closed else "The client was opened already")
        standing = False
        try:
            self._work = Deferred.fromCoroutine(self._opening.open(self._host, self._terms))
            await self._begin(await self._work)
            standing = True
        except CancelledError:
            if not self._closed:
                raise
            raise ClientClosed("The client was closed while it was opened") from None
        finally:
            if not standing:
                await self.close()

    async def _begin(self, conversation: Conversation) -> None:
        server = conversation.server
        self._host.revision = server.revision
        self._mirrors = server.revision.modern and server.transport == "streamable-http"
        self._means = Means(
            conversation=conversation,
            terms=self._terms,
            answer=self._answer,
            heard=self._host.heard,
            wanted=self._host.wanted,
        )
        if self._host.log_level is not None:
            await self.set_log_level(self._host.log_level)

    async def close(self) -> None:
        """See `Client.close`. Cancelling it leaves it to itself."""
        if not self._closed:
            self._closed = True
            Deferred.fromCoroutine(self._close()).addBoth(self._has_closed)
        if not self._over:
            closer: Deferred[None] = Deferred(self._closers.remove)
            self._closers.append(closer)
            await closer

    def _has_closed(self, outcome: Failure | None) -> None:
        self._over = True
        closers, self._closers = self._closers, []
        for closer in closers:
            closer.callback(None)
        if outcome is not None:
            _log.failure("The client could not be closed in good order", failure=outcome)

    async def _close(self) -> None:
        means, self._means = self._means, None
        gone = ClientClosed("The client was closed")
        for subscription in list(self._subscriptions):
            subscription.fail(gone)
        if means is not None:
            for errand in list(means.errands):
                errand.fail(gone, "the client is closed")
            await means.conversation.close()
        elif self._work is not None:
            self._work.cancel()
        await self._opening.close()

    @property
    def means(self) -> Means:
        """What errands need.

        Raises:
            ClientClosed: The line is not open.
        """
        if self._means is None:
            raise ClientClosed("The client was closed" if self._closed else "The client is not open")
        return self._means

    @property
    def conversation(self) -> Conversation:
        """What carries it all.

        Raises:
            ClientClosed: The line is not open.
        """
        return self.means.conversation

    # --- what goes over it

    async def ask(
        self,
        method: str,
        params: Mapping[str, Any] = _NOTHING,
        timeout: float | None = None,
        *,
        repeatable: bool = False,
        extended: bool = False,
    ) -> Mapping[str, Any]:
        """Send a request, and wait for its result, as it came."""
        outgoing = Outgoing(method=method, params=params, repeatable=repeatable)
        errand = Errand(self.means, outgoing, self._total(timeout), extended=extended)
        while True:
            message = await errand.receive()
            if not isinstance(message, Notification):
                return message
            self._host.heard(message)

    def tool(
        self,
        name: str,
        arguments: Mapping[str, Any] | None,
        *,
        progress: bool,
        timeout: float | None,
        meta: Mapping[str, Any] | None,
    ) -> Errand:
        """Call a tool, with the headers that it wants as far as that is known."""
        given = arguments or _NOTHING
        params: dict[str, Any] = {"name": name, "arguments": given}
        if meta is not None:
            params["_meta"] = meta
        outgoing = Outgoing(
            method="tools/call", params=params, progress=progress, mirrored=self.catalogue.mirrored(name, given)
        )
        return Errand(self.means, outgoing, self._total(timeout), self.catalogue.renewed if self._mirrors else None)

    def subscribe(
        self, wanted: Mapping[str, Any], idle: float | None, kind: type[Subscription] = Subscription
    ) -> Subscription:
        """Hear of changes. See `Client.listen`."""
        subscription = kind(self._source(wanted, idle))
        self._subscriptions.add(subscription)
        return subscription

    async def set_log_level(self, level: LogLevel) -> None:
        """See `Client.set_log_level`. Since 2026-07-28 each request says the level."""
        server = self.conversation.server
        self._host.log_level = level
        if not server.revision.modern and "logging" in server.capabilities:
            await self.ask("logging/setLevel", {"level": level}, repeatable=True)

    def _total(self, timeout: float | None) -> float | None:
        return self._terms.timeouts.total if timeout is None else timeout

    async def _page(self, method: str, params: Mapping[str, Any], began: float) -> Mapping[str, Any]:
        """Ask for a page of a list; the deadline is that of the whole list."""
        total = self._terms.timeouts.total
        left = None if total is None else max(0.0, total - (self.clock.seconds() - began))
        return await self.ask(method, params, left, repeatable=True)

    def _source(self, wanted: Mapping[str, Any], idle: float | None) -> Source:
        means = self.means
        if not means.conversation.server.revision.modern:
            return SessionSource(self._listeners, wanted)
        outgoing = Outgoing(
            method="subscriptions/listen",
            params={"notifications": wanted},
            repeatable=True,
            timeouts=attrs.evolve(self._terms.timeouts, idle=idle, total=None),
        )
        return ListenStream(
            lambda: Errand(self.means, outgoing, None),
            wanted,
            heard=self.catalogue.heard,
            clock=self.clock,
            retries=self._terms.retries,
            random=self._terms.random,
        )
