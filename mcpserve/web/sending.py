"""What a response looks like on the wire, and how its bytes leave."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from twisted.internet import tcp

HeaderList = Sequence[tuple[bytes, bytes]]

LAST_CHUNK = b"0\r\n\r\n"
NO_BODY = frozenset((204, 304))


def encode_headers(headers: HeaderList) -> bytes:
    """Encode header fields as they travel; a line break inside a field becomes a space.

    Args:
        headers: Names and values, in order.

    Returns:
        One `Name: value` line each, every one ended by CR LF.
    """
    block = b"".join([b"%b: %b\r\n" % field for field in headers])
    if block.count(b"\r") != len(headers) or block.count(b"\n") != len(headers):
        block = b"".join([b"%b: %b\r\n" % (_one_line(name), _one_line(value)) for name, value in headers])
    return block


def _one_line(part: bytes) -> bytes:
    return b" ".join(part.splitlines())


def chunk(data: bytes) -> bytes:
    """Frame data as one chunk of the chunked transfer coding; no data is no chunk, as that would end the body."""
    return b"%x\r\n%b\r\n" % (len(data), data) if data else b""


def send_now(transport: Any, data: bytes) -> None:
    """Write to a transport, through the socket itself if nothing is queued before.

    `transport.write` costs two `epoll_ctl` and a turn of the reactor for what is nearly always one `send`. Everything
    that is not a plain TCP connection of Twisted's (TLS, UNIX, memory), and every error, is left to `transport.write`.
    """
    if type(transport) is tcp.Server and transport.connected and not transport.TLS and not _has_plans(transport):
        try:
            sent = transport.socket.send(data)
        except OSError:
            sent = 0
        if sent == len(data):
            return
        data = data[sent:]
    transport.write(data)


def _has_plans(transport: tcp.Server) -> bool:
    ending = transport.disconnecting or transport._writeDisconnecting
    return bool(transport._tempDataLen or transport.dataBuffer or ending)
