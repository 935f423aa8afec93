"""Writes MCP requests as raw HTTP, in both eras, and makes single ones to see that a server answers what it should.

A request is a template: `@@@@@@` stands for the number that the load puts in, so that no two requests in flight have
the same id (a session tells them apart by it).
"""

from __future__ import annotations

import io
import json
import socket
from collections.abc import Mapping
from http.client import HTTPException, HTTPResponse
from typing import Any

import attrs

NUMBER = "@@@@@@"
FIRST_NUMBER = 100_000
MODERN = "2026-07-28"
LEGACY = "2025-11-25"
META = "io.modelcontextprotocol/"
CLIENT = {"name": "mcpserve-benchmarks", "version": "1"}
ANSWER_SECONDS = 20


class AnswerError(Exception):
    """A server did not answer a single request as it should; the text says how."""


@attrs.frozen
class Answer:
    """A whole HTTP answer.

    Attributes:
        status: The HTTP status.
        headers: The headers, names in lower case.
        message: The last JSON-RPC message in the body, None if there is none.
        size: The bytes on the wire, head and framing included.
    """

    status: int
    headers: Mapping[str, str]
    message: Mapping[str, Any] | None
    size: int


@attrs.frozen(kw_only=True)
class Call:
    """One MCP request as a template.

    Attributes:
        method: The JSON-RPC method.
        params: Its params, without `_meta`.
        progress: Whether to ask for progress.
    """

    method: str
    params: Mapping[str, Any]
    progress: bool = False

    @property
    def name(self) -> str | None:
        """The tool that is called, which the modern era repeats in a header."""
        return self.params.get("name")


def tool_call(name: str, progress: bool = False, **arguments: Any) -> Call:
    """A call of a tool."""
    return Call(method="tools/call", params={"name": name, "arguments": arguments}, progress=progress)


def modern_request(port: int, call: Call) -> bytes:
    """The template of a request of the modern era."""
    meta: dict[str, Any] = {META + "protocolVersion": MODERN, META + "clientInfo": CLIENT}
    meta[META + "clientCapabilities"] = {}
    headers = {"MCP-Protocol-Version": MODERN, "Mcp-Method": call.method}
    if call.name is not None:
        headers["Mcp-Name"] = call.name
    return write_request(port, call, meta, headers)


def session_request(port: int, session: str, call: Call) -> bytes:
    """The template of a request in a session of the legacy era."""
    return write_request(port, call, {}, {"MCP-Protocol-Version": LEGACY, "Mcp-Session-Id": session})


def write_request(port: int, call: Call, meta: dict[str, Any], headers: Mapping[str, str]) -> bytes:
    """Put a call, its metadata and its headers into one HTTP request."""
    if call.progress:
        meta = {"progressToken": NUMBER, **meta}
    params = {**call.params, "_meta": meta} if meta else dict(call.params)
    message = {"jsonrpc": "2.0", "id": NUMBER, "method": call.method, "params": params}
    body = json.dumps(message, separators=(",", ":")).replace(f'"{NUMBER}"', NUMBER)
    return http_post(port, body, headers)


def http_post(port: int, body: str, headers: Mapping[str, str]) -> bytes:
    """One HTTP/1.1 POST to the endpoint."""
    lines = [
        "POST /mcp HTTP/1.1",
        f"Host: 127.0.0.1:{port}",
        "Content-Type: application/json",
        "Accept: application/json, text/event-stream",
        f"Content-Length: {len(body)}",
        *(f"{name}: {value}" for name, value in headers.items()),
    ]
    return "\r\n".join([*lines, "", body]).encode()


def open_session(port: int) -> str:
    """Shake hands as a legacy client does; gives the session's id.

    Raises:
        AnswerError: If the server makes no session.
    """
    params = {"protocolVersion": LEGACY, "capabilities": {}, "clientInfo": CLIENT}
    initialize = Call(method="initialize", params=params)
    answer = ask(port, write_request(port, initialize, {}, {}))
    session = answer.headers.get("mcp-session-id")
    if session is None:
        raise AnswerError(f"no session: {answer}")
    headers = {"MCP-Protocol-Version": LEGACY, "Mcp-Session-Id": session}
    ask(port, http_post(port, '{"jsonrpc":"2.0","method":"notifications/initialized"}', headers))
    return session


def ask(port: int, template: bytes) -> Answer:
    """Send one request on a connection of its own and read the whole answer."""
    with socket.create_connection(("127.0.0.1", port), timeout=ANSWER_SECONDS) as connection:
        connection.sendall(template.replace(NUMBER.encode(), b"%06d" % FIRST_NUMBER))
        raw = b""
        while (answer := parse_answer(raw)) is None:
            part = connection.recv(1 << 20)
            if not part:
                raise AnswerError(f"closed in the middle of an answer: {raw[:300]!r}")
            raw += part
    return answer


def ask_result(port: int, template: bytes) -> Answer:
    """Send one request that must be answered with a good result.

    Raises:
        AnswerError: If the answer is anything else.
    """
    answer = ask(port, template)
    result = (answer.message or {}).get("result")
    if answer.status != 200 or not isinstance(result, dict) or result.get("isError"):
        raise AnswerError(f"status {answer.status}, {json.dumps(answer.message)[:300]}")
    return answer


@attrs.frozen
class _Received:
    """Bytes in the shape of a socket, which is what HTTPResponse reads from."""

    raw: bytes

    def makefile(self, mode: str) -> io.BytesIO:
        return io.BytesIO(self.raw)


def parse_answer(raw: bytes) -> Answer | None:
    """Read an answer from the bytes received until now; None while it is not complete."""
    if b"\r\n\r\n" not in raw:
        return None
    response = HTTPResponse(_Received(raw))  # type: ignore[arg-type]
    try:
        response.begin()
        body = response.read()
    except (HTTPException, ValueError):
        return None
    if response.chunked and not raw.endswith(b"0\r\n\r\n"):
        return None
    headers = {name.lower(): value for name, value in response.getheaders()}
    return Answer(response.status, headers, parse_message(body, headers.get("content-type", "")), len(raw))


def parse_message(body: bytes, content_type: str) -> Mapping[str, Any] | None:
    """The last JSON-RPC message of a body, be it JSON or SSE."""
    if content_type.startswith("text/event-stream"):
        lines = [line[5:].strip() for line in body.splitlines() if line.startswith(b"data:")]
        body = next((line for line in reversed(lines) if line), b"")
    try:
        message = json.loads(body)
    except ValueError:
        return None
    return message if isinstance(message, dict) else None
