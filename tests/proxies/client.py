"""A client that speaks HTTP by hand over TLS, so that it sees when each byte comes and can vanish in a moment."""

from __future__ import annotations

import socket
import ssl
import struct
import time
from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Any

import attrs
import orjson

MODERN = "2026-07-28"
PREFIX = "io.modelcontextprotocol/"
NOTHING: Mapping[str, str] = MappingProxyType({})


@attrs.define
class Reply:
    """An answer while it is read."""

    status: int
    headers: Mapping[str, str]
    messages: Iterator[tuple[float, dict[str, Any]]]

    def last(self) -> dict[str, Any]:
        """The last message of the answer, or its only one."""
        *_, (_, message) = self.messages
        return message

    @property
    def text(self) -> str:
        """The text of the result."""
        return str(self.last()["result"]["content"][0]["text"])


class Client:
    """One connection.

    Args:
        port: Where to connect, on loopback.
        source: The address that the client has.
    """

    def __init__(self, port: int, source: str = "127.0.0.1", timeout: float = 15.0) -> None:
        raw = socket.create_connection(("127.0.0.1", port), timeout, (source, 0))
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        self._socket = context.wrap_socket(raw, server_hostname="mcp.example.org")
        self._buffer = b""

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *error: object) -> None:
        self._socket.close()

    def call(self, tool: str, headers: Mapping[str, str] = NOTHING, **arguments: Any) -> Reply:
        """Call a tool; what it says comes as the reply is read."""
        meta = {
            PREFIX + "protocolVersion": MODERN,
            PREFIX + "clientCapabilities": {},
            PREFIX + "clientInfo": {"name": "test", "version": "1"},
            "progressToken": 1,
        }
        params = {"name": tool, "arguments": arguments, "_meta": meta}
        message = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}
        own = {"MCP-Protocol-Version": MODERN, "Mcp-Method": "tools/call", "Mcp-Name": tool}
        return self.post(orjson.dumps(message), {**own, **headers})

    def post(self, body: bytes, headers: Mapping[str, str] = NOTHING) -> Reply:
        """POST a body, and read the head of the answer."""
        fields = {
            "Host": "mcp.example.org",
            "Content-Type": "application/json",
            "Accept": "application/json, text/event-stream",
            "Content-Length": str(len(body)),
            **headers,
        }
        head = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
        self._socket.sendall(f"POST /mcp HTTP/1.1\r\n{head}\r\n".encode("latin-1") + body)
        status, *lines = self._until(b"\r\n\r\n").decode("latin-1").split("\r\n")
        found = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        return Reply(int(status.split(" ")[1]), found, self._messages(found))

    def reset(self) -> None:
        """Vanish: the other side gets a reset, not an end."""
        raw = self._socket
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        raw.close()

    def _messages(self, headers: Mapping[str, str]) -> Iterator[tuple[float, dict[str, Any]]]:
        if "content-length" in headers:
            yield time.monotonic(), orjson.loads(self._exactly(int(headers["content-length"])))
            return
        events = b""
        for part in self._chunks():
            events += part
            *whole, events = events.split(b"\n\n")
            for event in whole:
                data = [line[5:].strip() for line in event.split(b"\n") if line.startswith(b"data:")]
                if data:
                    yield time.monotonic(), orjson.loads(b"\n".join(data))

    def _chunks(self) -> Iterator[bytes]:
        while size := int(self._until(b"\r\n"), 16):
            yield self._exactly(size)
            self._exactly(2)
        self._exactly(2)

    def _until(self, mark: bytes) -> bytes:
        while mark not in self._buffer:
            self._read()
        found, _, self._buffer = self._buffer.partition(mark)
        return found

    def _exactly(self, size: int) -> bytes:
        while len(self._buffer) < size:
            self._read()
        found, self._buffer = self._buffer[:size], self._buffer[size:]
        return found

    def _read(self) -> None:
        data = self._socket.recv(65536)
        if not data:
            raise ConnectionError("the answer broke off")
        self._buffer += data
