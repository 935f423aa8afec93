"""A decoder of event streams that follows the sentences of the standard one by one, however long that takes."""

from __future__ import annotations

import itertools
import re

import attrs
from hypothesis import strategies as st

Decoded = tuple[bytes, str, str]
"""Data, type, last event id."""


@attrs.define
class Reference:
    """WHATWG HTML, 9.2.6, on a stream that has ended."""

    events: list[Decoded] = attrs.Factory(list)
    last_event_id: str | None = None
    retry_ms: int | None = None
    _data: bytes = b""
    _type: str = ""
    _id: str | None = None

    def read(self, stream: bytes) -> Reference:
        """Decode a stream. What stands after the last line end is an incomplete line, and left out."""
        lines = re.split(rb"\r\n|\r|\n", stream.removeprefix(b"\xef\xbb\xbf"))
        for line in lines[:-1]:
            self._process(line)
        return self

    def _process(self, line: bytes) -> None:
        if line == b"":
            self._dispatch()
        elif line.startswith(b":"):
            return
        elif b":" in line:
            name, value = line.split(b":", 1)
            self._field(name, value[1:] if value.startswith(b" ") else value)
        else:
            self._field(line, b"")

    def _field(self, name: bytes, value: bytes) -> None:
        if name == b"event":
            self._type = value.decode("utf-8", "replace")
        elif name == b"data":
            self._data += value + b"\n"
        elif name == b"id":
            if b"\0" not in value:
                self._id = value.decode("utf-8", "replace")
        elif name == b"retry" and re.fullmatch(rb"[0-9]+", value):
            self.retry_ms = min(int(value), 10**15 - 1)

    def _dispatch(self) -> None:
        self.last_event_id = self._id
        if self._data == b"":
            self._type = ""
            return
        self.events.append((self._data[:-1], self._type or "message", self._id or ""))
        self._data, self._type = b"", ""


FRAGMENTS = [
    b"data", b"data:", b"data: ", b"data: {}\n\n", b"event: message\r\ndata: {}\r\n\r\n", b"event:", b"event: e",
    b"id:", b"id: 7", b"id: \0", b"id", b"retry:", b"retry: 10", b"retry: 00", b"retry: 1x", b"retry: 9999999999999999",
    b":", b": comment", b"\n", b"\r", b"\r\n", b"\n\n", b"\xef\xbb\xbf", b"\xef", b"\xbb", b" ", b"x", b"\xc3", b"\xa4",
    b"\x85", b"\xe2\x80\xa8", b"\0", b"\x0b", b"\x0c", b"\x1c", b"datas: 1", b" data: 1", b"Data: 1", b"data : 1",
]  # fmt: skip
"""Pieces that mean something, and pieces that look as if they did."""

STREAMS = st.lists(st.sampled_from(FRAGMENTS) | st.binary(max_size=4), max_size=30).map(b"".join)


def cut(stream: bytes, places: list[int]) -> list[bytes]:
    """Cut a stream at these places, counted modulo its length."""
    edges = sorted({place % (len(stream) + 1) for place in places} | {0, len(stream)})
    return [stream[start:end] for start, end in itertools.pairwise(edges)]
