"""Subscriptions: hearing of changes, in both eras.

    2026-07-28    one `subscriptions/listen`, whose stream carries the changes
    before        `resources/subscribe` for each resource; changes come on the session (see `subscribing`)

Spec: 2026-07-28, Subscriptions.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol, Self

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater

from mcpserve.client.calls import Errand
from mcpserve.client.leaving import Leavable
from mcpserve.client.limits import Retries
from mcpserve.client.values import Change
from mcpserve.errors import AnswerLost, BadAnswer, ClientError, DeadlinePassed, Refused, Unreachable
from mcpserve.protocol.jsonrpc import Notification
from mcpserve.protocol.notices import PROMPTS, RESOURCE, RESOURCES, TOOLS, FilterKey

ACKNOWLEDGED = "notifications/subscriptions/acknowledged"
UPDATED = "notifications/resources/updated"
METHODS: Mapping[str, FilterKey] = {
    "notifications/tools/list_changed": TOOLS,
    "notifications/prompts/list_changed": PROMPTS,
    "notifications/resources/list_changed": RESOURCES,
    UPDATED: RESOURCE,
}
"""The notifications that tell of changes, and the members of a filter that ask for them."""

_INTERRUPTED = (AnswerLost, Unreachable, DeadlinePassed)
_BUSY = (429, 502, 503, 504)


def filter_of(*, tools: bool, prompts: bool, resources: bool, uris: Sequence[str]) -> dict[str, Any]:
    """The filter of `subscriptions/listen`."""
    switches = {TOOLS.name: tools, PROMPTS.name: prompts, RESOURCES.name: resources}
    wanted: dict[str, Any] = {name: True for name, on in switches.items() if on}
    if uris:
        wanted[RESOURCE.name] = list(dict.fromkeys(uris))
    return wanted


def change_of(notification: Notification) -> Change:
    """What a notification tells."""
    uri = notification.params.get("uri")
    return Change(notification.method, uri if isinstance(uri, str) else None, params=notification.params)


class Source(Protocol):
    """Where the changes of one subscription come from."""

    @property
    def honoured(self) -> Mapping[str, Any]:
        """What the server agreed to tell of."""

    async def start(self) -> None:
        """Return when the subscription stands. Called once, before `next`."""

    async def next(self) -> Change | None:
        """The next change; None when the server has ended the subscription."""

    def cancel(self) -> None:
        """End it. Who waits gets a CancelledError."""

    def fail(self, error: ClientError) -> None:
        """End it. Who waits, or asks next, gets the error."""


class Subscription(Leavable):
    """Changes, as the server tells of them; see `Client.listen`.

    An async iterator that ends when the server ends the subscription; and an async context manager: inside it the
    subscription stands, so that what changes from then on is heard.
    """

    __slots__ = ("__weakref__", "_over", "_source", "_started")

    def __init__(self, source: Source) -> None:
        self._source = source
        self._started = False
        self._over = False

    @property
    def honoured(self) -> Mapping[str, Any]:
        """What the server agreed to tell of, as a filter of `subscriptions/listen`; empty until it has said so."""
        return self._source.honoured

    async def __anext__(self) -> Change:
        """The next change.

        Cancel: The subscription is ended.

        Raises:
            ClientError: The subscription broke off, and could not be renewed.
        """
        if self._over:
            raise StopAsyncIteration
        goes_on = False
        try:
            await self._start()
            change = await self._source.next()
            if change is None:
                raise StopAsyncIteration
            goes_on = True
            return change
        finally:
            if not goes_on:
                self.cancel()

    async def __aenter__(self) -> Self:
        standing = False
        try:
            await self._start()
            standing = True
            return self
        finally:
            if not standing:
                self.cancel()

    async def aclose(self) -> None:
        """End the subscription."""
        self.cancel()

    def cancel(self) -> None:
        """The same without waiting."""
        if not self._over:
            self._over = True
            self._source.cancel()

    def fail(self, error: ClientError) -> None:
        """End it with an error: the client is closed."""
        self._source.fail(error)

    async def _start(self) -> None:
        if not self._started:
            self._started = True
            await self._source.start()


class ListenStream:
    """The source of a subscription in 2026-07-28: a request that goes on for as long as the subscription.

    Args:
        ask: Makes the request anew.
        wanted: The filter.
        heard: Hears of each change, too.
        clock: Tells the time.
        retries: How often, and after how long, a stream that broke off is asked for again.
        random: Gives a number from 0 to 1.
    """

    def __init__(
        self,
        ask: Callable[[], Errand],
        wanted: Mapping[str, Any],
        *,
        heard: Callable[[str], None],
        clock: IReactorTime,
        retries: Retries,
        random: Callable[[], float],
    ) -> None:
        self.honoured: Mapping[str, Any] = {}
        self._ask = ask
        self._wanted = wanted
        self._heard = heard
        self._clock = clock
        self._retries = retries
        self._random = random
        self._errand: Errand | None = None
        self._pause: Deferred[None] | None = None
        self._missed: list[Change] = []
        self._failure: ClientError | None = None

    async def start(self) -> None:
        """See `Source`."""
        self._errand = errand = self._ask()
        # "The server MUST send notifications/subscriptions/acknowledged as the first message"
        first = await errand.receive()
        if not isinstance(first, Notification) or first.method != ACKNOWLEDGED:
            raise BadAnswer("The server did not acknowledge a subscription before anything else")
        self._agree(first)

    async def next(self) -> Change | None:
        """See `Source`."""
        while True:
            if self._missed:
                return self._missed.pop(0)
            errand = self._errand
            if errand is None:
                return None
            try:
                message = await errand.receive()
            except ClientError as error:
                if not _passes(error):
                    raise
                await self._renew(error)
                continue
            if not isinstance(message, Notification):
                return None
            if message.method == ACKNOWLEDGED:
                # Where one connection carries everything, the conversation has asked a new server for the same.
                self._agree(message)
                self._has_missed()
            elif message.method in METHODS:
                self._heard(message.method)
                return change_of(message)

    def cancel(self) -> None:
        """See `Source`."""
        errand, self._errand = self._errand, None
        if errand is not None:
            errand.cancel("the client listens no more")
        if self._pause is not None:
            self._pause.cancel()

    def fail(self, error: ClientError) -> None:
        """See `Source`."""
        self._failure = error
        if self._errand is not None:
            self._errand.fail(error, "the client is closed")
        if self._pause is not None:
            self._pause.cancel()

    def _agree(self, acknowledgement: Notification) -> None:
        honoured = acknowledgement.params.get("notifications")
        self.honoured = honoured if isinstance(honoured, dict) else {}

    def _has_missed(self) -> None:
        self._missed = missed_of(self.honoured)
        for change in self._missed:
            self._heard(change.method)

    async def _renew(self, error: ClientError) -> None:
        """Ask again after a stream broke off; what may have changed meanwhile is told as missed."""
        for failures in range(self._retries.attempts):
            self._pause = deferLater(self._clock, self._retries.delay(failures, self._random()))
            try:
                await self._pause
                await self.start()
            except CancelledError:
                if self._failure is None:
                    raise
                raise self._failure from None
            except ClientError as again:
                if not _passes(again):
                    raise
                error = again
            else:
                self._has_missed()
                return
            finally:
                self._pause = None
        raise error


def _passes(error: ClientError) -> bool:
    """Tell whether it may be gone when the server is asked again: a lost stream, a server that starts anew."""
    return isinstance(error, _INTERRUPTED) or (isinstance(error, Refused) and error.status in _BUSY)


def missed_of(honoured: Mapping[str, Any]) -> list[Change]:
    """Everything that a subscription is about, as it may have changed."""
    changes = []
    for method, key in METHODS.items():
        value = honoured.get(key.name)
        if key.many:
            changes += [Change(method, uri, missed=True) for uri in (value if isinstance(value, list) else ())]
        elif value is True:
            changes.append(Change(method, missed=True))
    return changes
