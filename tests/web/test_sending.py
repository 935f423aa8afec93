"""What a response looks like on the wire. That the socket keeps the order of writes is shown in `test_channel`."""

from __future__ import annotations

from mcpserve.web.sending import chunk, encode_headers
from tests.web.memory_http import JSON, Wire


def test_a_line_break_cannot_enter_a_header() -> None:
    """A header value can't start another header, or end the head."""
    assert encode_headers([(b"A", b"b\r\nC: d\r\n\r\n<p>")]) == b"A: b C: d  <p>\r\n"


def test_nothing_is_no_chunk() -> None:
    """An empty chunk would end the body."""
    wire = Wire()
    request, _ = wire.request()
    request.start_stream(200, JSON)
    request.send(b"")
    assert len(wire.transport.writes) == 1
    assert chunk(b"") == b""
