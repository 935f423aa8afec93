"""Server-sent events on paper: from a message to the bytes of an event, and back.

What we write is one event a frame, the JSON on one `data:` line (orjson never writes a line break), so that a reader
who looks at lines only is served too. What we read is the standard in full. Spec: WHATWG HTML, Server-sent events;
Streamable HTTP, Receiving Messages.
"""

from __future__ import annotations

from collections.abc import Sequence

import attrs

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


@attrs.frozen
class Event:
    """An event as it was received.

    Args:
        data: The values of its `data` lines, joined by line feeds, as they came; UTF-8 if the sender kept to the rules.
        type: Its type.
        id: The last event id in force when it came, "" if none.
    """

    data: bytes
    type: str = "message"
    id: str = ""

    @property
    def text(self) -> str:
        """The data, decoded as the standard wants it: what is no UTF-8 is replaced."""
        return self.data.decode("utf-8", "replace")


class EventTooLarge(ValueError):
    """An event or a line is larger than the limit.

    Args:
        limit: The limit, in bytes.
        events: Those that the same bytes completed before it.
    """

    def __init__(self, limit: int, events: Sequence[Event] = ()) -> None:
        super().__init__(f"An event is larger than {limit} bytes")
        self.limit = limit
        self.events = tuple(events)


class Decoder:
    """From the bytes of a stream to its events, however they are cut; in linear time.

    Args:
        limit: The largest event and the longest line, in bytes.

    Spec: WHATWG HTML, Server-sent events, Interpreting an event stream. An event is dispatched even if its data is
    empty, as the standard has it; `Answer.next_event` leaves those out.
    """

    def __init__(self, limit: int) -> None:
        raise NotImplementedError

    last_event_id: str | None
    """The last event id of the stream, committed by a whole event; None until one came, "" when one took it back."""
    retry_ms: int | None
    """How long the server wants the client to wait before it reconnects; the last valid one."""

    def feed(self, data: bytes) -> list[Event]:
        """Take the next bytes of the stream, and give the events that they complete.

        Raises:
            EventTooLarge: An event is past the limit. No more can be read after that.
        """
        raise NotImplementedError
