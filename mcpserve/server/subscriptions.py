"""The method subscriptions/listen: a stream of notices for as long as the client listens. Spec: Subscriptions.

    the client              what happens
    asks                    the acknowledgement, at once and first; then notices, each in the turn it is told in
    is behind with reading  notices wait, one for each topic: it hears what has changed, not how often
    reads on                what waits is sent
    is gone, or cancels     the subscription ends, without a word
    reads no more           its transport gives it up; nobody else notices
The server stops: the subscription ends with a result.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, Protocol

import attrs
import orjson
from twisted.logger import Logger

from mcpserve.errors import Refusal
from mcpserve.policy.callers import Caller
from mcpserve.policy.capacity import Places
from mcpserve.protocol import wire
from mcpserve.protocol.exchange import Exchange
from mcpserve.protocol.metadata import SUBSCRIPTION_ID, RequestMetadata
from mcpserve.protocol.notices import FILTER_KEYS, FilterKey, Notice, Topic, acknowledged, read_filter, topics
from mcpserve.protocol.revisions import Revision
from mcpserve.server.dispatch import Feature, Method
from mcpserve.server.publisher import Publisher

_log = Logger()


class Tells(Protocol):
    """Tells whether a notice is for a caller."""

    def __call__(self, notice: Notice, caller: Caller) -> bool: ...


Admission = Callable[[Sequence[str], RequestMetadata, Caller], Sequence[str]]


@attrs.frozen(kw_only=True)
class SubscriptionLimits:
    """How much may be listened to.

    Args:
        streams: Listen streams at once, in total.
        of_caller: Those of one party; None for as many as there may be in total.
        named: URIs and the like that one client may name: in the filter of a stream, or in its session.
    """

    streams: int = 10_000
    of_caller: int | None = None
    named: int = 1000


class Subscriptions:
    """Who listens with subscriptions/listen. Implements `Feature`.

    Args:
        publisher: Where the notices come from.
        envelope: What the revision adds to a result.
        features: What else is served; a filter key is honoured when one of them declares its capability.
        limits: How much may be listened to.
        keys: The filter keys that there are.
        admission: By name of a filter key that lists things, who may hear of them: gets those that are asked for, and
            returns those that are granted, or raises ProtocolError. Without an entry all are granted.
        knows: Tells whether a caller may subscribe in a session to the resource with this URI: for this caller there is
            one. May raise ProtocolError.
        tells: Tells whether a notice is for a caller; asked each time, as what is served may change meanwhile.
    """

    def __init__(
        self,
        publisher: Publisher,
        envelope: wire.Envelope,
        features: Sequence[Feature],
        limits: SubscriptionLimits = SubscriptionLimits(),
        *,
        keys: Sequence[FilterKey] = FILTER_KEYS,
        admission: Mapping[str, Admission] | None = None,
        knows: Callable[[str, Caller, Revision], bool] = lambda uri, caller, revision: True,
        tells: Tells = lambda notice, caller: True,
    ) -> None:
        self.publisher = publisher
        self.limits = limits
        self.knows = knows
        self.tells = tells
        self._envelope = envelope
        self._features = features
        self._keys = keys
        self._admission = admission or {}
        self._open: dict[Subscription, str] = {}
        self._places = Places("listen streams", "max_listeners", limits.streams, limits.of_caller)
        self._over = False
        self.methods: Mapping[str, Method] = {
            "subscriptions/listen": Method(run=self.listen, modern_only=True, streams=True)
        }

    def __len__(self) -> int:
        return len(self._open)

    def capabilities(self, revision: Revision) -> dict[str, Any]:
        """What the capabilities of the other features say of notices."""
        flags: dict[str, Any] = {}
        for key in self.honoured(revision):
            if key.flag is not None:
                flags.setdefault(key.capability, {})[key.flag] = True
        return flags

    def honoured(self, revision: Revision) -> list[FilterKey]:
        """The filter keys whose capability is declared."""
        declared = {name for feature in self._features for name in feature.capabilities(revision)}
        return [key for key in self._keys if key.capability in declared]

    def listen(self, exchange: Exchange, metadata: RequestMetadata, caller: Caller) -> None:
        """subscriptions/listen.

        Raises:
            InvalidParams: The filter is none.
            Refusal: 503, the server stops.
            Busy: There are too many streams, of this caller or in total.
        """
        asked = read_filter(exchange.request.params, self._keys, self.limits.named)
        if self._over:
            raise Refusal(503, "The server is shutting down; listen again", {"Retry-After": "1"})
        self._places.check(caller.party)
        granted: dict[str, Any] = {}
        for key in self.honoured(exchange.revision):
            if key.name in asked:
                granted[key.name] = self._granted(key, asked[key.name], metadata, caller)
        # What the caller may not hear of is acknowledged like what there is not, and never told.
        tells = partial(self.tells, caller=caller)
        subscription = Subscription(exchange, self.publisher, list(topics(granted)), tells, self._ended)
        self._places.take(caller.party)
        self._open[subscription] = caller.party
        # "The server MUST send notifications/subscriptions/acknowledged as the first message"
        exchange.notify(acknowledged(granted, exchange.request.id))

    def end_all(self) -> None:
        """The server stops: end all streams, each with its result, and open no more.

        Spec: Subscriptions, Graceful Closure: "it SHOULD respond to the original subscriptions/listen request with a
        completion result before closing the stream".
        """
        self._over = True
        for subscription in list(self._open):
            exchange = subscription.exchange
            result = {"_meta": {SUBSCRIPTION_ID: exchange.request.id}}
            exchange.succeed(self._envelope.complete(result, exchange.revision))
            subscription.end()

    def _granted(self, key: FilterKey, asked: Any, metadata: RequestMetadata, caller: Caller) -> Any:
        admit = self._admission.get(key.name)
        return asked if admit is None or not key.many else list(admit(asked, metadata, caller))

    def _ended(self, subscription: Subscription) -> None:
        party = self._open.pop(subscription, None)
        if party is not None:
            self._places.give_back(party)


class Subscription:
    """One listen stream: the owner of its exchange, and a listener.

    Args:
        exchange: The request that opened it.
        publisher: Where the notices come from.
        topics: What it hears of.
        tells: Tells whether a notice is for its caller.
        on_end: Called once, when it hears no more.
    """

    __slots__ = ("_behind", "_encoded_id", "_on_end", "_publisher", "_tells", "_topics", "_waiting", "exchange")

    def __init__(
        self,
        exchange: Exchange,
        publisher: Publisher,
        topics: Sequence[Topic],
        tells: Callable[[Notice], bool],
        on_end: Callable[[Subscription], object],
    ) -> None:
        self.exchange = exchange
        self._publisher = publisher
        self._topics = topics
        self._tells = tells
        self._on_end = on_end
        self._encoded_id = orjson.dumps(exchange.request.id)
        self._behind = False
        self._waiting: dict[Topic, Notice] = {}
        exchange.owner = self
        publisher.listen(self, topics)

    def hear(self, notice: Notice) -> None:
        """See `Listener`."""
        if not self._tells(notice):
            return
        if self._behind:
            self._publisher.coalesced += notice.topic in self._waiting
            self._waiting[notice.topic] = notice
        else:
            self.exchange.notify(notice.tagged(self._encoded_id))

    def end(self) -> None:
        """Hear no more."""
        self.exchange.owner = None
        self._publisher.leave(self, self._topics)
        self._on_end(self)

    # --- Owner: what becomes of the way to the client

    def lost(self) -> None:
        """The client has gone, or was given up."""
        if self._behind:
            _log.info("A listen stream was lost: its client did not read")
        self.end()

    def withdrawn(self) -> None:
        """The client asked to cancel."""
        self.end()

    def overrun(self) -> None:
        """The reader is too far behind."""
        _log.info("A listen stream was cut: its client reads too slowly")
        self.end()

    def paused(self) -> None:
        """The reader is behind."""
        self._behind = True

    def resumed(self) -> None:
        """The reader caught up."""
        self._behind = False
        while self._waiting and not self._behind:
            self.hear(self._waiting.pop(next(iter(self._waiting))))
