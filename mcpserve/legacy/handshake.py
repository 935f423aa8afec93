"""What initialize settles, and the methods that live on it, whatever transport carries the messages.

Spec: 2025-11-25 and before: Lifecycle, Ping, Logging.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from types import MappingProxyType
from typing import Any, Protocol

import attrs
import orjson

from mcpserve.errors import InvalidParams, MalformedMetadata, MethodNotFound, ProtocolError
from mcpserve.policy.callers import Caller
from mcpserve.protocol import jsonrpc, metadata
from mcpserve.protocol.exchange import Ending, Exchange
from mcpserve.protocol.jsonrpc import Request
from mcpserve.protocol.metadata import RequestMetadata
from mcpserve.protocol.revisions import LATEST_LEGACY, Revision, negotiate
from mcpserve.protocol.types import LOG_LEVELS, LogLevel
from mcpserve.server.dispatch import Dispatcher
from mcpserve.server.subscriptions import Subscriptions
from mcpserve.server.watching import Watch

_NOTHING: Mapping[str, str] = MappingProxyType({})

MOST_DETAILS = 16 * 1024
"""Bytes of JSON that a client may say about itself; pictures of it do not count, if nothing else is too much."""


class Settled(Protocol):
    """What a client and this server know of each other after initialize; a session over HTTP is one, too.

    Attributes:
        revision: What was negotiated.
        client_info: The client's name and version.
        capabilities: What the client can do.
        log_level: The least severe log messages that it wants; it may change.
        watch: What it hears of lists and resources that change; see `Handshake.attend`.
    """

    revision: Revision
    client_info: Mapping[str, Any]
    capabilities: Mapping[str, Any]
    log_level: LogLevel
    watch: Watch | None


@attrs.define(eq=False, kw_only=True)
class Agreement:
    """The same, where a connection is the session. Implements `Settled`."""

    revision: Revision
    client_info: Mapping[str, Any]
    capabilities: Mapping[str, Any]
    log_level: LogLevel = "info"
    watch: Watch | None = None


class Handshake:
    """Answers initialize, and the methods that only these revisions have.

    Args:
        dispatcher: What the other methods do.
        subscriptions: What there is to hear of lists and resources that change, if anything is.
    """

    def __init__(self, dispatcher: Dispatcher, subscriptions: Subscriptions | None = None) -> None:
        self._dispatcher = dispatcher
        self._subscriptions = subscriptions
        self._own: dict[str, Callable[[Settled, Exchange], None]] = {
            "ping": _ping,
            "logging/setLevel": _set_level,
            "resources/subscribe": _subscribe,
            "resources/unsubscribe": _unsubscribe,
        }

    def answer(self, message: Request, agreed: Agreement, caller: Caller) -> bytes:
        """Answer initialize."""
        observer = self._dispatcher.observer
        if observer is not None:
            observer.began(message, RequestMetadata(revision=agreed.revision), caller).ended(Ending.OK)
        return jsonrpc.encode_result(message.id, self.result(agreed.revision))

    def result(self, revision: Revision) -> dict[str, Any]:
        """`InitializeResult`."""
        result: dict[str, Any] = {
            "protocolVersion": revision.name,
            "capabilities": self._dispatcher.capabilities(revision),
            "serverInfo": self._dispatcher.envelope.server,
        }
        if self._dispatcher.instructions is not None:
            result["instructions"] = self._dispatcher.instructions
        return result

    def attend(
        self, settled: Settled, caller: Caller, send: Callable[[bytes], bool], uris: Collection[str] = ()
    ) -> None:
        """Let a client hear of what changes, from now on until its `watch` is closed.

        Args:
            settled: What is known of it. If it hears already, it does so from now on as this caller.
            caller: Who it is, with what it has shown last.
            send: Sends an encoded notification that belongs to no request; False when there is no way to do so now.
            uris: The resources that it has subscribed to before.
        """
        if settled.watch is not None:
            settled.watch.caller = caller
        elif self._subscriptions is not None:
            settled.watch = Watch(self._subscriptions, settled.revision, send, uris, caller=caller)

    def dispatch(self, settled: Settled, exchange: Exchange, known: RequestMetadata, caller: Caller) -> None:
        """Answer a request after the handshake, now or later, through its exchange."""
        own = self._own.get(exchange.request.method)
        if own is None:
            self._dispatcher.dispatch(exchange, known, caller)
            return
        self._dispatcher.observed(exchange, known, caller)
        try:
            own(settled, exchange)
        except ProtocolError as error:
            exchange.fail(error)


def agree(params: Mapping[str, Any]) -> Agreement:
    """Read the params of initialize, and choose the revision.

    Raises:
        InvalidParams: They lack something, hold something else, or too much of it.
    """
    version = params.get("protocolVersion")
    if not isinstance(version, str):
        raise InvalidParams(f"params.protocolVersion must be a string, such as {LATEST_LEGACY.name!r}")
    if not isinstance(params.get("capabilities"), dict):
        raise InvalidParams("params.capabilities must be an object")
    if not metadata.is_implementation(params.get("clientInfo")):
        raise InvalidParams("params.clientInfo must be an object with a name and a version")
    client_info, capabilities = params["clientInfo"], params["capabilities"]
    try:
        if details(client_info, capabilities) > MOST_DETAILS:
            client_info = {name: value for name, value in client_info.items() if name != "icons"}
        if details(client_info, capabilities) > MOST_DETAILS:
            raise InvalidParams(f"clientInfo and capabilities may have {MOST_DETAILS} bytes together here")
    except TypeError as error:
        raise InvalidParams("clientInfo or capabilities are nested too deeply") from error
    return Agreement(revision=negotiate(version), client_info=client_info, capabilities=capabilities)


def details(client_info: Mapping[str, Any], capabilities: Mapping[str, Any]) -> int:
    """How much a client says about itself, in bytes of JSON."""
    return len(orjson.dumps(client_info)) + len(orjson.dumps(capabilities))


def metadata_of(settled: Settled, message: Request, traced: Mapping[str, str] = _NOTHING) -> RequestMetadata:
    """What is known of a request after the handshake; `traced` is what its headers say of a trace.

    Raises:
        InvalidParams: `_meta` or the progress token in it is malformed.
    """
    meta = metadata.request_meta(message.params)
    try:
        token = metadata.progress_token(meta)
    except MalformedMetadata as error:
        # here `_meta` is no envelope, but a member of params like any other
        raise InvalidParams(error.message) from None
    return RequestMetadata(
        revision=settled.revision,
        meta=meta,
        progress_token=token,
        session=settled,
        client_info=settled.client_info,
        capabilities=settled.capabilities,
        traced=traced,
    )


def _ping(settled: Settled, exchange: Exchange) -> None:
    exchange.succeed({})


def _set_level(settled: Settled, exchange: Exchange) -> None:
    level = exchange.request.params.get("level")
    if level not in LOG_LEVELS:
        raise InvalidParams(f"level must be one of {', '.join(LOG_LEVELS)}")
    settled.log_level = level
    exchange.succeed({})


def _subscribe(settled: Settled, exchange: Exchange) -> None:
    watch, uri = _watched(settled, exchange)
    watch.subscribe(uri)
    exchange.succeed({})


def _unsubscribe(settled: Settled, exchange: Exchange) -> None:
    watch, uri = _watched(settled, exchange)
    watch.unsubscribe(uri)
    exchange.succeed({})


def _watched(settled: Settled, exchange: Exchange) -> tuple[Watch, str]:
    if settled.watch is None or not settled.watch.resources:
        raise MethodNotFound(exchange.request.method)
    uri = exchange.request.params.get("uri")
    if not isinstance(uri, str):
        raise InvalidParams("params.uri must be a string")
    return settled.watch, uri
