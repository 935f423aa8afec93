"""Subscriptions before 2026-07-28: they share a session, which tells all of them what has changed.

What waits for somebody slow is held once for each thing: it tells what has changed, not how often.

Spec: 2025-11-25 and before: Resources, Subscriptions; List Changed Notification.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

import attrs
from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from mcpserve.client.listening import METHODS, change_of, missed_of
from mcpserve.client.values import Change
from mcpserve.errors import ClientError
from mcpserve.protocol.jsonrpc import Notification
from mcpserve.protocol.notices import RESOURCE, FilterKey

_log = Logger()


@attrs.define(eq=False)
class Listeners:
    """The subscriptions of a session, which share what the server tells.

    Args:
        ask: Sends a request of a session, such as `resources/subscribe`.
        capabilities: What the server declares.
    """

    ask: Callable[[str, Mapping[str, Any]], Awaitable[Any]]
    capabilities: Callable[[], Mapping[str, Any]]
    _open: list[SessionSource] = attrs.field(factory=list, init=False)
    _uris: Counter[str] = attrs.field(factory=Counter, init=False)

    def heard(self, notification: Notification) -> None:
        """The server told of something on its session."""
        if notification.method in METHODS:
            change = change_of(notification)
            for source in list(self._open):
                source.tell(change)

    @property
    def listen(self) -> bool:
        """Whether there are any that have not failed."""
        return any(not source.failed for source in self._open)

    def missed(self) -> None:
        """The server may have told of something that did not come."""
        for source in list(self._open):
            source.miss()

    def fail(self, error: ClientError) -> None:
        """The server can tell of nothing any more."""
        for source in list(self._open):
            source.fail(error)

    async def add(self, source: SessionSource, uris: Sequence[str]) -> None:
        """Have a subscription hear, from now on."""
        self._open.append(source)
        for uri in uris:
            self._uris[uri] += 1
            source.held.append(uri)
            if self._uris[uri] == 1:
                await self.ask("resources/subscribe", {"uri": uri})

    def remove(self, source: SessionSource) -> None:
        """It hears no more; what nobody else wants to hear is told to the server, without waiting."""
        if source not in self._open:
            return
        self._open.remove(source)
        for uri in source.held:
            self._uris[uri] -= 1
            if not self._uris[uri]:
                del self._uris[uri]
                Deferred.fromCoroutine(self._unsubscribe(uri)).addErrback(_unheeded)

    async def _unsubscribe(self, uri: str) -> None:
        await self.ask("resources/unsubscribe", {"uri": uri})

    def honoured(self, wanted: Mapping[str, Any]) -> dict[str, Any]:
        """What of a filter the server declares to tell of."""
        declared = self.capabilities()
        return {
            key.name: wanted[key.name] for key in METHODS.values() if key.name in wanted and _declares(declared, key)
        }


def _declares(capabilities: Mapping[str, Any], key: FilterKey) -> bool:
    declared = capabilities.get(key.capability)
    return isinstance(declared, dict) and declared.get(key.flag) is True


def _unheeded(failure: Failure) -> None:
    """The server was told that a resource does not matter any more; if it did not hear, that does not matter either."""
    failure.trap(ClientError)
    _log.debug("A resource could not be unsubscribed: {reason}", reason=str(failure.value))


class SessionSource:
    """The source of a subscription before 2026-07-28: what the server tells on its session, as far as it is wanted.

    Args:
        listeners: All subscriptions of the session.
        wanted: The filter.
    """

    def __init__(self, listeners: Listeners, wanted: Mapping[str, Any]) -> None:
        self.honoured: Mapping[str, Any] = {}
        self.held: list[str] = []
        """The resources that are subscribed to for it."""
        self._listeners = listeners
        self._wanted = wanted
        # By what they are about: a change that waits already says all that the next one would.
        self._changes: dict[tuple[str, str | None], Change] = {}
        self._failure: ClientError | None = None
        self._waiting: Deferred[None] | None = None

    @property
    def failed(self) -> bool:
        """Nothing more comes, whether anybody knows that already or not."""
        return self._failure is not None

    async def start(self) -> None:
        """See `Source`."""
        honoured = self._listeners.honoured(self._wanted)
        await self._listeners.add(self, honoured.get(RESOURCE.name, ()))
        self.honoured = honoured

    async def next(self) -> Change | None:
        """See `Source`."""
        if not self._changes and self._failure is None:
            self._waiting = Deferred()
            try:
                await self._waiting
            finally:
                self._waiting = None
        if self._changes:
            return self._changes.pop(next(iter(self._changes)))
        assert self._failure is not None
        raise self._failure

    def tell(self, change: Change) -> None:
        """Something has changed."""
        key = METHODS[change.method]
        if key.name not in self._wanted or (key.many and not _concerns(change.uri, self._wanted[key.name])):
            return
        self._changes.setdefault((change.method, change.uri), change)
        self._wake()

    def miss(self) -> None:
        """All that it is about may have changed."""
        for change in missed_of(self.honoured):
            self._changes.setdefault((change.method, change.uri), change)
        if self._changes:
            self._wake()

    def fail(self, error: ClientError) -> None:
        """See `Source`."""
        self._failure = error
        self._wake()

    def cancel(self) -> None:
        """See `Source`."""
        self._listeners.remove(self)
        waiting, self._waiting = self._waiting, None
        if waiting is not None:
            waiting.cancel()

    def _wake(self) -> None:
        waiting, self._waiting = self._waiting, None
        if waiting is not None:
            waiting.callback(None)


def _concerns(uri: str | None, wanted: Sequence[str]) -> bool:
    """Tell whether a change is one of these resources or of what is in them.

    Spec: 2025-11-25, schema, ResourceUpdatedNotification: "This might be a sub-resource of the one that the client
    actually subscribed to."
    """
    return uri is not None and any(uri == one or uri.startswith(one.rstrip("/") + "/") for one in wanted)
