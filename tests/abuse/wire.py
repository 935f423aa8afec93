"""HTTP by hand, so that it can be done wrong: raw connections from chosen addresses, and requests as bytes."""

from __future__ import annotations

import asyncio
import json
import socket
import struct
from collections.abc import Mapping
from typing import Any

import attrs

REVISION = "2026-07-28"
ESTABLISHED = 1
"""The state of a connection that is whole, as Linux numbers it."""
RESET = struct.pack("ii", 1, 0)
"""SO_LINGER of zero seconds: closing sends RST instead of FIN."""


@attrs.frozen
class Target:
    """The server under attack: an address and a port of this machine."""

    host: str
    port: int


@attrs.define
class Wire:
    """One raw connection."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def send(self, data: bytes) -> bool:
        """Send, and wait until the system has it; False when the connection is gone."""
        try:
            self.writer.write(data)
            await self.writer.drain()
        except OSError:
            return False
        return True

    async def receive(self, seconds: float) -> bytes | None:
        """Some bytes; nothing at the end of the connection; None when there is neither within so many seconds."""
        try:
            return await asyncio.wait_for(self.reader.read(65536), seconds)
        except TimeoutError:
            return None
        except OSError:
            return b""

    async def status(self, seconds: float = 5.0) -> int | None:
        """The status of the next answer, all of whose bytes are there or lost; None if there is no answer."""
        head = b""
        while b"\r\n\r\n" not in head:
            data = await self.receive(seconds)
            if not data:
                return None
            head += data
        return int(head.split(b" ", 2)[1])

    async def ends(self, seconds: float) -> bool:
        """Read on; whether the server ended the connection within so many seconds."""
        loop = asyncio.get_running_loop()
        end = loop.time() + seconds
        while (left := end - loop.time()) > 0:
            if await self.receive(left) == b"":
                return True
        return False

    @property
    def cut(self) -> bool:
        """Whether the server has cut the connection; found without reading from it."""
        found: socket.socket = self.writer.get_extra_info("socket")
        return found.fileno() < 0 or found.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0] != ESTABLISHED

    def close(self) -> None:
        """Close, leaving nothing to wait for."""
        self.writer.transport.abort()

    def reset(self) -> None:
        """Close with RST."""
        found: socket.socket = self.writer.get_extra_info("socket")
        found.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        self.writer.transport.abort()


async def connect(target: Target, source: str = "127.0.0.1", *, buffer: int | None = None) -> Wire | None:
    """Connect from an address of the loopback range; None when the server does not want it.

    Args:
        target: Where to.
        source: The address to come from.
        buffer: The size of the receive buffer, for a reader that stalls early.
    """
    raw = socket.socket()
    raw.setblocking(False)
    if buffer is not None:
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
    try:
        raw.bind((source, 0))
        await asyncio.wait_for(asyncio.get_running_loop().sock_connect(raw, (target.host, target.port)), 10)
        return Wire(*await asyncio.open_connection(sock=raw, limit=65536 if buffer is None else buffer))
    except OSError:
        raw.close()
        return None


def call(name: str, arguments: Mapping[str, Any] | None = None, token: str | None = None) -> bytes:
    """A tools/call of revision 2026-07-28, ready to be sent."""
    meta: dict[str, Any] = {
        "io.modelcontextprotocol/protocolVersion": REVISION,
        "io.modelcontextprotocol/clientCapabilities": {},
    }
    if token is not None:
        meta["progressToken"] = token
    params = {"name": name, "arguments": dict(arguments or {}), "_meta": meta}
    body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}).encode()
    return modern(body, "tools/call", name)


def modern(body: bytes, method: str, name: str | None = None) -> bytes:
    """A POST of revision 2026-07-28."""
    lines = [f"MCP-Protocol-Version: {REVISION}", f"Mcp-Method: {method}"]
    return post(body, *lines, *([] if name is None else [f"Mcp-Name: {name}"]))


def post(body: bytes, *lines: str) -> bytes:
    """A POST with these header lines on top of those that it needs."""
    return head(*lines, f"Content-Length: {len(body)}") + body


def head(*lines: str) -> bytes:
    """The head of a POST with these header lines on top of those that say what comes and goes."""
    usual = (
        "POST /mcp HTTP/1.1",
        "Host: 127.0.0.1",
        "Content-Type: application/json",
        "Accept: application/json, text/event-stream",
    )
    return ("\r\n".join([*usual, *lines]) + "\r\n\r\n").encode()


def message(method: str, params: Mapping[str, Any] | None = None, request_id: int | None = 1) -> bytes:
    """A JSON-RPC message; a notification if it has no id."""
    found: dict[str, Any] = {"jsonrpc": "2.0", "method": method, "params": dict(params or {})}
    return json.dumps(found if request_id is None else {**found, "id": request_id}).encode()


INITIALIZE = post(
    message(
        "initialize",
        {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "flood", "version": "1"}},
    )
)
