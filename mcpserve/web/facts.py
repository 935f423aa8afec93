"""What an HTTP request said before its body: read once, then passed on as a value.

Spec: 2026-07-28, Streamable HTTP, Sending Messages and Request Metadata; 2025-11-25, Transports.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

import attrs

from mcpserve.errors import HeaderMismatch, Refusal
from mcpserve.protocol.trace import KEYS
from mcpserve.web.request import McpRequest

# Headers that decide what a request means: two of them would mean two things.
_SINGLE = (b"mcp-protocol-version", b"mcp-method", b"mcp-name", b"mcp-session-id", b"last-event-id")


@attrs.frozen
class Accept:
    """Which of the two types of response the client takes."""

    json: bool
    sse: bool


BOTH = Accept(json=True, sse=True)
_REMEMBERED = 256
_NOTHING: Mapping[str, str] = MappingProxyType({})
_accepts: dict[bytes | None, Accept] = {None: BOTH}


@attrs.frozen(kw_only=True)
class Facts:
    """What an HTTP request said before its body.

    Args:
        accept: Which types of response it takes.
        protocol_version: `MCP-Protocol-Version`.
        session_id: `Mcp-Session-Id`.
        last_event_id: `Last-Event-ID`.
        mirrored: All `Mcp-*` headers by lower-case name.
        doubled: A header that may stand once, but stands more than once.
        traced: `traceparent`, `tracestate` and `baggage`, if there is the first.
    """

    accept: Accept
    protocol_version: str | None
    session_id: str | None
    last_event_id: str | None
    mirrored: Mapping[str, str]
    doubled: str | None = None
    traced: Mapping[str, str] = _NOTHING


def read_facts(request: McpRequest) -> Facts:
    """Read the headers of a request."""
    fields = request.fields
    mirrored = {
        name.decode("latin-1"): value.decode("latin-1") for name, value in fields.items() if name.startswith(b"mcp-")
    }
    last_event_id = fields.get(b"last-event-id")
    return Facts(
        accept=read_accept(joined(request, b"accept")),
        protocol_version=mirrored.get("mcp-protocol-version"),
        session_id=mirrored.get("mcp-session-id"),
        last_event_id=None if last_event_id is None else last_event_id.decode("latin-1"),
        mirrored=mirrored,
        doubled=_doubled(request) if request.repeated else None,
        traced=_traced(request) if b"traceparent" in fields else _NOTHING,
    )


def joined(request: McpRequest, name: bytes) -> bytes | None:
    """The value of a header; of several lines the list that they make (RFC 9110, 5.3)."""
    if request.repeated:
        return b", ".join(request.header_values(name)) or None
    return request.fields.get(name)


def check_single(facts: Facts) -> None:
    """A header that decides what a request means may stand once.

    Raises:
        HeaderMismatch: It stands there more than once, and a proxy in front of us may have read the other one.
    """
    if facts.doubled is not None:
        raise HeaderMismatch(f"The header {facts.doubled} stands there more than once")


def check_content_type(request: McpRequest) -> None:
    """Take JSON only.

    Raises:
        Refusal: 415.
    """
    value = joined(request, b"content-type")
    if value == b"application/json":
        return
    if value is None or value.partition(b";")[0].strip().lower() != b"application/json":
        seen = "none" if value is None else repr(value[:64].decode("latin-1"))
        raise Refusal(415, f"The Content-Type must be application/json; it was {seen}")


def check_accept(accept: Accept) -> None:
    """A response has one of two types; one of them must be welcome.

    Raises:
        Refusal: 406.
    """
    if not (accept.json or accept.sse):
        raise Refusal(406, "The Accept header must take application/json or text/event-stream, best both")


def read_accept(value: bytes | None) -> Accept:
    """Read an Accept header; none at all takes everything. The few values that clients send are remembered."""
    accept = _accepts.get(value)
    if accept is None:
        assert value is not None
        accept = _parse_accept(value)
        if len(_accepts) < _REMEMBERED:
            _accepts[value] = accept
    return accept


def _parse_accept(value: bytes) -> Accept:
    """RFC 9110, 12.5.1: the most specific range that matches a type decides."""
    weights: dict[bytes, float] = {}
    if not value.strip():
        return BOTH
    for part in value.lower().split(b","):
        name, *parameters = (piece.strip() for piece in part.split(b";"))
        weights[name] = _weight(parameters)
    return Accept(
        json=_takes(weights, b"application/json", b"application/*"),
        # a client that takes all of application/* means what we send; there is no such range with both types in it
        sse=_takes(weights, b"text/event-stream", b"text/*", b"application/*"),
    )


def _weight(parameters: list[bytes]) -> float:
    for parameter in parameters:
        name, _, number = parameter.partition(b"=")
        if name.strip() == b"q":
            try:
                return float(number)
            except ValueError:
                return 1.0
    return 1.0


def _takes(weights: Mapping[bytes, float], *names: bytes) -> bool:
    for key in (*names, b"*/*"):
        if key in weights:
            return weights[key] > 0
    return False


def _doubled(request: McpRequest) -> str | None:
    for name, _ in request.repeated:
        if name in _SINGLE or name.startswith(b"mcp-param-"):
            return name.decode("latin-1")
    return None


def _traced(request: McpRequest) -> Mapping[str, str]:
    said = ((key, joined(request, key.encode("ascii"))) for key in KEYS)
    return {key: value.decode("latin-1") for key, value in said if value is not None}
