"""Server-sent events on paper: from a message to the bytes of an event, and back.

What we write is one event a frame, the JSON on one `data:` line (orjson never writes a line break), so that a reader
who looks at lines only is served too. What we read is the standard in full. Spec: WHATWG HTML, Server-sent events;
Streamable HTTP, Receiving Messages.
"""

from __future__ import annotations

from collections.abc import Sequence

import attrs

KEEP_ALIVE = b":\n\n"

_MARK = b"\xef\xbb\xbf"
_DATA = b"data: "
_DIGITS = 15
_LONGEST = 10**_DIGITS - 1


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

    Line ends become line feeds first, and the stream is cut at empty lines; what remains of an event then is mostly a
    single `data:` line, which is not looked at further. Only other events are read line by line.

    Args:
        limit: The largest event and the longest line, in bytes.

    Spec: WHATWG HTML, Server-sent events, Interpreting an event stream. An event is dispatched even if its data is
    empty, as the standard has it; `Answer.next_event` leaves those out.
    """

    def __init__(self, limit: int) -> None:
        self.last_event_id: str | None = None
        """The last event id, committed by the end of its event; None until one came, "" when one took it back."""
        self.retry_ms: int | None = None
        """How long the server wants the client to wait before it reconnects; the last valid one."""
        self._limit = limit
        self._longest_line = limit + len(_DATA)
        self._begun = False
        self._after_return = False
        self._part = bytearray()
        self._id: str | None = None
        self._broken = False
        self._reset()

    def feed(self, data: bytes) -> list[Event]:
        """Take the next bytes of the stream, and give the events that they complete.

        Raises:
            EventTooLarge: An event is past the limit. No more can be read after that.
        """
        if self._broken:
            raise EventTooLarge(self._limit)
        events: list[Event] = []
        try:
            self._blocks(self._lines_of(self._with_line_feeds(data)), events)
            if len(self._part) > self._longest_line:
                raise EventTooLarge(self._limit)
        except EventTooLarge:
            self._broken = True
            raise EventTooLarge(self._limit, events) from None
        return events

    # --- from bytes to whole lines

    def _with_line_feeds(self, data: bytes) -> bytes:
        """End each line by a line feed. A return at the end counts at once: the line feed after it is none, then."""
        if self._after_return and data:
            data = data.removeprefix(b"\n")
            self._after_return = False
        if b"\r" in data:
            self._after_return = data[-1:] == b"\r"
            data = data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        return data

    def _lines_of(self, data: bytes) -> bytes:
        """The lines that are whole now, each with its end; the part of the last one waits."""
        if self._part:
            self._part += data
            if b"\n" not in data:
                return b""
            data = bytes(self._part)
            self._part.clear()
        if not self._begun:
            if len(data) < len(_MARK) and _MARK.startswith(data):
                self._part += data
                return b""
            data, self._begun = data.removeprefix(_MARK), True
        end = data.rfind(b"\n") + 1
        if end == len(data):
            return data
        self._part += data[end:]
        return data[:end]

    # --- from lines to events

    def _blocks(self, text: bytes, events: list[Event]) -> None:
        *blocks, rest = text.split(b"\n\n")
        for block in blocks:
            if block[:6] == _DATA and self._empty and b"\n" not in block and len(block) <= self._longest_line:
                events.append(Event(block[6:], "message", self._id or ""))
            else:
                self._lines(block, events)
                self._dispatch(events)
        if rest:
            self._lines(rest[:-1], events)

    def _lines(self, block: bytes, events: list[Event]) -> None:
        for line in block.split(b"\n"):
            if len(line) > self._longest_line:
                raise EventTooLarge(self._limit)
            if line[:6] == _DATA:
                self._add(line[6:])
            elif not line:
                self._dispatch(events)
            elif line[:1] != b":":
                self._field(line)

    def _field(self, line: bytes) -> None:
        name, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if name == b"data":
            self._add(value)
        elif name == b"event":
            self._type, self._empty = value.decode("utf-8", "replace"), False
        elif name == b"id" and b"\0" not in value:
            self._id, self._empty = value.decode("utf-8", "replace"), False
        elif name == b"retry" and value.isdigit():
            digits = value.lstrip(b"0") or b"0"
            self.retry_ms = int(digits) if len(digits) <= _DIGITS else _LONGEST

    def _add(self, value: bytes) -> None:
        self._size += len(value) + bool(self._data)
        if self._size > self._limit:
            raise EventTooLarge(self._limit)
        self._data.append(value)
        self._empty = False

    def _dispatch(self, events: list[Event]) -> None:
        """An empty line: the id counts from now on, and if there is data there is an event."""
        if self._empty:
            return
        self.last_event_id = self._id
        if self._data:
            data = self._data[0] if len(self._data) == 1 else b"\n".join(self._data)
            events.append(Event(data, self._type or "message", self._id or ""))
        self._reset()

    def _reset(self) -> None:
        self._data: list[bytes] = []
        self._size = 0
        self._type = ""
        self._empty = True
