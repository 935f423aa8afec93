"""Request metadata: what a request says about itself and its client, in both eras.

In 2026-07-28 each request carries it in `params._meta`; before, `initialize` said it once for the session.
Spec: 2026-07-28, Overview, General fields, `_meta`; Progress; Logging.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

import attrs

from mcpserve.errors import InvalidParams, MalformedMetadata, UnsupportedVersion
from mcpserve.protocol.revisions import MODERN, Revision
from mcpserve.protocol.trace import Trace, read_trace
from mcpserve.protocol.types import LOG_LEVELS, LogLevel, ProgressToken

PREFIX = "io.modelcontextprotocol/"
PROTOCOL_VERSION = PREFIX + "protocolVersion"
CLIENT_INFO = PREFIX + "clientInfo"
CLIENT_CAPABILITIES = PREFIX + "clientCapabilities"
LOG_LEVEL = PREFIX + "logLevel"
SERVER_INFO = PREFIX + "serverInfo"
SUBSCRIPTION_ID = PREFIX + "subscriptionId"

_NOTHING: dict[str, Any] = {}


class LevelOfSession(Protocol):
    """Where a session keeps the least severe log level to send; it may change while a call runs."""

    log_level: LogLevel


@attrs.frozen(kw_only=True)
class RequestMetadata:
    """What is known of one request beside its method and params.

    Args:
        revision: The protocol revision that it is answered in.
        meta: `params._meta` as it was sent.
        progress_token: Present when the client wants progress.
        log_level: The least severe level to send; None sends no log messages, unless a session says otherwise.
        session: What says it instead, for a request in a session.
        client_info: The client's name and version as it says itself; None if it does not say.
        capabilities: The capabilities that the client declared.
        mirrored: The `Mcp-*` request headers by lower-case name; None where the transport has no headers.
        traced: What its headers say of a trace, where the transport has headers.
        span: The place in a trace that what happens here has, if it was given one.
    """

    revision: Revision
    meta: Mapping[str, Any] = _NOTHING
    progress_token: ProgressToken | None = None
    log_level: LogLevel | None = None
    session: LevelOfSession | None = None
    client_info: Mapping[str, Any] | None = None
    capabilities: Mapping[str, Any] = _NOTHING
    mirrored: Mapping[str, str] | None = None
    traced: Mapping[str, str] = _NOTHING
    span: Trace | None = None

    @property
    def trace(self) -> Trace | None:
        """The trace that the request belongs to, if any."""
        return self.span if self.span is not None else read_trace(self.meta, self.traced)

    def wants_log(self, level: LogLevel) -> bool:
        """Tell whether log messages of this level are to be sent.

        Raises:
            ValueError: It is not one of the eight.
        """
        severity = LOG_LEVELS.index(level)
        least = self.log_level if self.session is None else self.session.log_level
        return least is not None and severity >= LOG_LEVELS.index(least)


def claims_revision(params: Mapping[str, Any]) -> bool:
    """Tell whether a message carries its own protocol version, which makes it a modern one."""
    meta = params.get("_meta")
    return isinstance(meta, dict) and PROTOCOL_VERSION in meta


def claimed_revision(params: Mapping[str, Any]) -> str:
    """The protocol version that `_meta` names.

    Raises:
        MalformedMetadata: `_meta` is not an object, or the version is missing or not a string.
    """
    meta = params.get("_meta")
    if not isinstance(meta, dict):
        raise MalformedMetadata(
            f"params._meta must be an object with {PROTOCOL_VERSION} and {CLIENT_CAPABILITIES}"
            if meta is not None
            else f"params._meta is missing; it must carry {PROTOCOL_VERSION} and {CLIENT_CAPABILITIES}"
        )
    missing = [key for key in (PROTOCOL_VERSION, CLIENT_CAPABILITIES) if key not in meta]
    if PROTOCOL_VERSION in missing:
        raise MalformedMetadata(f"params._meta lacks {' and '.join(missing)}")
    version = meta[PROTOCOL_VERSION]
    if not isinstance(version, str):
        raise MalformedMetadata(f"params._meta: {PROTOCOL_VERSION} must be a string")
    return version


def modern_revision(version: str) -> Revision:
    """The served revision of this name.

    Raises:
        UnsupportedVersion: It is not served without a handshake.
    """
    revision = MODERN.get(version)
    if revision is None:
        raise UnsupportedVersion(version, list(MODERN))
    return revision


def modern_metadata(
    revision: Revision,
    params: Mapping[str, Any],
    mirrored: Mapping[str, str] | None,
    traced: Mapping[str, str] = _NOTHING,
) -> RequestMetadata:
    """Read the metadata of a modern request whose version was found to be served.

    Raises:
        MalformedMetadata: A required field is missing ("the server MUST reject it with JSON-RPC error code -32602",
            HTTP 400), or an optional one is malformed.
    """
    meta = params["_meta"]
    capabilities = meta.get(CLIENT_CAPABILITIES)
    if not isinstance(capabilities, dict):
        raise MalformedMetadata(f"params._meta: {CLIENT_CAPABILITIES} must be an object")
    info = meta.get(CLIENT_INFO)
    if CLIENT_INFO in meta and not is_implementation(info):
        raise MalformedMetadata(f"params._meta: {CLIENT_INFO} must be an object with a name and a version")
    level = meta.get(LOG_LEVEL)
    if LOG_LEVEL in meta and level not in LOG_LEVELS:
        raise MalformedMetadata(f"params._meta: {LOG_LEVEL} must be one of {', '.join(LOG_LEVELS)}")
    return RequestMetadata(
        revision=revision,
        meta=meta,
        progress_token=progress_token(meta),
        log_level=level,
        client_info=info,
        capabilities=capabilities,
        mirrored=mirrored,
        traced=traced,
    )


def progress_token(meta: Mapping[str, Any]) -> ProgressToken | None:
    """The progress token in `_meta`, if any.

    Raises:
        MalformedMetadata: "Progress tokens MUST be a string or integer value."
    """
    token = meta.get("progressToken")
    if token is None or isinstance(token, str) or (isinstance(token, int) and not isinstance(token, bool)):
        return token
    raise MalformedMetadata("params._meta: progressToken must be a string or an integer")


def request_meta(params: Mapping[str, Any]) -> Mapping[str, Any]:
    """`_meta` of a legacy request; empty when it has none.

    Raises:
        InvalidParams: It is not an object.
    """
    meta = params.get("_meta", _NOTHING)
    if not isinstance(meta, dict):
        raise InvalidParams("params._meta must be an object")
    return meta


def is_implementation(value: Any) -> bool:
    """Tell whether this is an `Implementation`: a name and a version."""
    return isinstance(value, dict) and isinstance(value.get("name"), str) and isinstance(value.get("version"), str)
