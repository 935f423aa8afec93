"""From a method's name to what it does.

A request comes here from every transport and from both eras, with its metadata read and its caller known; it leaves
through its exchange. What a revision does not know is answered as unknown.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import attrs
from twisted.logger import Logger

from mcpserve.errors import InternalError, InvalidParams, MethodNotFound, ProtocolError
from mcpserve.policy.callers import Caller
from mcpserve.protocol import wire
from mcpserve.protocol.exchange import Exchange
from mcpserve.protocol.headers import check_name
from mcpserve.protocol.metadata import RequestMetadata
from mcpserve.protocol.revisions import Revision
from mcpserve.server.observing import Observer

_log = Logger()

DISCOVER_TTL_MS = 60_000


@attrs.frozen(kw_only=True)
class Method:
    """A method that is served.

    Args:
        run: What it does; it answers through the exchange, now or later, or raises.
        named: The member of params that names what it is about, and that `Mcp-Name` mirrors.
        modern_only: True when the revisions with a handshake do not know it.
        streams: True when it is answered with a stream, and a client that takes none can't be served.
        served: Tells whether there is anything to serve with it; what is not served is unknown.
    """

    run: Callable[[Exchange, RequestMetadata, Caller], None]
    named: str | None = None
    modern_only: bool = False
    streams: bool = False
    served: Callable[[], bool] | None = None


class Feature(Protocol):
    """A server feature, as the specification calls it.

    Attributes:
        methods: Its methods by name.
    """

    methods: Mapping[str, Method]

    def capabilities(self, revision: Revision) -> Mapping[str, Any]:
        """Its members of `ServerCapabilities`."""


class Dispatcher:
    """What this server does, by method.

    Args:
        features: What it offers. What is declared of them is served, and nothing else is declared.
        envelope: What the revision adds to a result.
        instructions: Guidance for models on how to use this server, if any.
        observer: Who watches, if anybody does.
    """

    def __init__(
        self,
        features: Sequence[Feature],
        envelope: wire.Envelope,
        instructions: str | None = None,
        observer: Observer | None = None,
    ) -> None:
        self.observer = observer
        self.envelope = envelope
        self.instructions = instructions
        self._features = features
        self.methods: dict[str, Method] = {"server/discover": Method(run=self._discover, modern_only=True)}
        for feature in features:
            self.methods |= feature.methods

    def dispatch(self, exchange: Exchange, metadata: RequestMetadata, caller: Caller) -> None:
        """Answer a request, now or later, through its exchange. Never raises for what the request holds."""
        if self.observer is not None:
            metadata = self.observed(exchange, metadata, caller)
        try:
            method = self._method(exchange)
            if method.named is not None:
                _check_named(method.named, exchange.request.params, metadata)
            method.run(exchange, metadata, caller)
        except ProtocolError as error:
            exchange.fail(error)
        except Exception:
            exchange.fail(self._unexpected(exchange))

    def observed(self, exchange: Exchange, metadata: RequestMetadata, caller: Caller) -> RequestMetadata:
        """Have somebody watch an exchange, if somebody watches, and return what is known of its request then."""
        if self.observer is not None:
            witness = exchange.witness = self.observer.began(exchange.request, metadata, caller)
            if witness.trace is not None:
                return attrs.evolve(metadata, span=witness.trace)
        return metadata

    def capabilities(self, revision: Revision) -> dict[str, Any]:
        """`ServerCapabilities`. Every call can log, so logging is declared in any case."""
        declared: dict[str, Any] = {"logging": {}}
        for feature in self._features:
            for name, value in feature.capabilities(revision).items():
                declared[name] = {**declared.get(name, {}), **value}
        return declared

    def streams(self, method: str) -> bool:
        """Tell whether a method is answered with a stream, and never with JSON alone."""
        found = self.methods.get(method)
        return found is not None and found.streams

    def _method(self, exchange: Exchange) -> Method:
        method = self.methods.get(exchange.request.method)
        if method is None or (method.modern_only and not exchange.revision.modern):
            raise MethodNotFound(exchange.request.method)
        if method.served is not None and not method.served():
            raise MethodNotFound(exchange.request.method)
        return method

    def _discover(self, exchange: Exchange, metadata: RequestMetadata, caller: Caller) -> None:
        """Spec: Discovery: "Servers MUST implement it"."""
        result = wire.discovery(self.capabilities(exchange.revision), self.instructions)
        # who had to say who he is may be told what strangers are not
        scope = "public" if caller.name is None else "private"
        shape = self.envelope.cacheable(result, exchange.revision, ttl_ms=DISCOVER_TTL_MS, scope=scope)
        exchange.succeed(shape)

    def _unexpected(self, exchange: Exchange) -> InternalError:
        log_id = secrets.token_hex(4)
        _log.failure("{method} failed (log id {log_id})", method=exchange.request.method, log_id=log_id)
        return InternalError(f"Internal error; the server's log has the reason under id {log_id}")


def _check_named(member: str, params: Mapping[str, Any], metadata: RequestMetadata) -> None:
    name = params.get(member)
    if not isinstance(name, str):
        raise InvalidParams(f"params.{member} must be a string")
    if metadata.mirrored is not None:
        check_name(metadata.mirrored, name)
