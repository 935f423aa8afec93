"""A thousand clients that connect, stream and reset leave nothing behind in the server."""

from __future__ import annotations

import socket
import struct
from urllib.parse import urlsplit

import pytest

from tests.interop.raw import Request, loops_running, structured, tool_call
from tests.interop.served import Served, eventually

pytestmark = pytest.mark.interop

CYCLES = 1000
WARM_UP = 6000
"""So many until the allocator has its arenas; then memory is flat."""
MEMORY_NOISE = 3 * 1024 * 1024

RESET_ON_CLOSE = struct.pack("ii", 1, 0)
"""SO_LINGER of zero seconds: closing sends RST instead of FIN."""


def cycle(url: str, request: Request) -> None:
    """Connect, call, wait for the first event, reset."""
    parts = urlsplit(url)
    assert parts.hostname is not None
    with socket.create_connection((parts.hostname, parts.port), timeout=10) as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_ON_CLOSE)
        head = {"Host": parts.netloc, "Content-Length": str(len(request.body)), **request.headers}
        lines = "".join(f"{name}: {value}\r\n" for name, value in head.items())
        connection.sendall(f"POST {parts.path} HTTP/1.1\r\n{lines}\r\n".encode() + request.body)
        received = b""
        while b"notifications/progress" not in received:
            chunk = connection.recv(65536)
            assert chunk, received
            received += chunk


def test_resets_leave_nothing(server: Served) -> None:
    """No loop and no delayed call stays, and memory does not grow, over a thousand connect, stream and reset cycles."""
    request = tool_call("watched", {"interval": 0.01}, "t")
    for _ in range(WARM_UP):
        cycle(server.url, request)
    eventually("the loops stop", lambda: loops_running(server.url) == 0)
    before = structured(server.url, "leftovers")
    for _ in range(CYCLES):
        cycle(server.url, request)
    eventually("the loops stop", lambda: loops_running(server.url) == 0)
    eventually("the delayed calls are gone", lambda: _delayed_calls(server) <= before["delayed_calls"])
    assert structured(server.url, "leftovers")["memory"] < before["memory"] + MEMORY_NOISE


def _delayed_calls(server: Served) -> int:
    count: int = structured(server.url, "leftovers")["delayed_calls"]
    return count
