"""Server-sent events on paper: from a message to the bytes of an event.

One event a frame, the JSON on one `data:` line (orjson never writes a line break), so that a reader who looks at
lines only is served too. Spec: WHATWG HTML, Server-sent events; Streamable HTTP, Receiving Messages.
"""

from __future__ import annotations

KEEP_ALIVE = b":\n\n"


def event(data: bytes) -> bytes:
    """An event without id. `data` must not contain a line break."""
    return b"data: " + data + b"\n\n"


def named_event(name: str, data: bytes) -> bytes:
    """An event of a type that is spelled out. `name` is ASCII; neither it nor `data` may contain a line break."""
    return b"event: " + name.encode("ascii") + b"\ndata: " + data + b"\n\n"


def event_with_id(event_id: str, data: bytes) -> bytes:
    """An event that a client can resume after. `event_id` is ASCII without line breaks."""
    return b"id: " + event_id.encode("ascii") + b"\ndata: " + data + b"\n\n"


def retry(milliseconds: int) -> bytes:
    """How long the client is to wait before it reconnects; no event for whoever reads them."""
    return b"retry: %d\n\n" % milliseconds


def priming_event(event_id: str, retry_ms: int) -> bytes:
    """The first event of a resumable stream: an id and no data, so that a client can reconnect at once.

    Args:
        event_id: ASCII without line breaks.
        retry_ms: How long the client is to wait before it reconnects.

    Spec: 2025-11-25, Transports: "the server SHOULD immediately send an SSE event consisting of an event ID and an
    empty data field in order to prime the client to reconnect".
    """
    return b"id: " + event_id.encode("ascii") + b"\nretry: %d\ndata:\n\n" % retry_ms
