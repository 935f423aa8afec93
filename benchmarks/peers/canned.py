"""A canned MCP server for clients: a raw protocol that knows its answers by heart, in both eras at one endpoint.

    python canned.py PORT

Tools: `echo` is answered with JSON; `stream` reports progress `events` times as fast as it is read, some events in
each chunk of the body; `hold` reports once and never ends.
"""

# mypy: ignore-errors
# It runs in an environment of its own; its packages are not here.

import asyncio
import json
import re
import sys

import uvloop

LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
MODERN = "2026-07-28"
CAPABILITIES = {"tools": {}}
INFO = {"name": "canned", "version": "1"}
FRESH = {"resultType": "complete", "ttlMs": 3_600_000, "cacheScope": "public"}
TOOLS = [{"name": name, "inputSchema": {"type": "object"}} for name in ("echo", "stream", "hold")]
ECHO = {"content": [{"type": "text", "text": "hello, world"}], "resultType": "complete"}
RESULTS = {
    "server/discover": {
        "supportedVersions": [MODERN],
        "capabilities": CAPABILITIES,
        "_meta": {"io.modelcontextprotocol/serverInfo": INFO},
        **FRESH,
    },
    "initialize": {"protocolVersion": "2025-11-25", "capabilities": CAPABILITIES, "serverInfo": INFO},
    "tools/list": {"tools": TOOLS, **FRESH},
    "tools/call": ECHO,
    "ping": {},
}
WRITTEN = {method: json.dumps(result).encode() for method, result in RESULTS.items()}
RESPONSE = b'{"jsonrpc":"2.0","id":%b,"result":%b}'
JSON_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n%bContent-Length: %d\r\n\r\n%b"
SSE_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
EMPTY = b"HTTP/1.1 %b\r\nContent-Length: 0\r\n\r\n"
PROGRESS = (
    b'data: {"jsonrpc":"2.0","method":"notifications/progress","params":'
    b'{"progressToken":%b,"progress":%d,"total":%d,"message":"step %d"}}\n\n'
)


def events(message):
    """The body of a stream of progress and its result, in chunks of some events each."""
    arguments, token = message["params"]["arguments"], json.dumps(message["params"]["_meta"]["progressToken"]).encode()
    count, joined = arguments["events"], arguments["joined"]
    for start in range(1, count + 1, joined):
        numbers = range(start, min(start + joined, count + 1))
        yield chunk(b"".join([PROGRESS % (token, number, count, number) for number in numbers]))
    yield chunk(b"data: %b\n\n" % response(message)) + b"0\r\n\r\n"


def chunk(data):
    """A chunk of a body."""
    return b"%x\r\n%b\r\n" % (len(data), data)


def response(message):
    """The response to a request."""
    return RESPONSE % (json.dumps(message["id"]).encode(), WRITTEN[message["method"]])


class Canned(asyncio.Protocol):
    """A connection."""

    def connection_made(self, transport):
        """Begin."""
        self.transport, self.held, self.pieces, self.paused = transport, b"", iter(()), False

    def data_received(self, data):
        """Answer the requests that are complete."""
        self.held += data
        while (end := self.held.find(b"\r\n\r\n") + 4) > 3:
            length = LENGTH.search(self.held, 0, end)
            size = end + (int(length[1]) if length else 0)
            if len(self.held) < size:
                return
            head, body, self.held = self.held[:end], self.held[end:size], self.held[size:]
            self.answer(head, body)

    def answer(self, head, body):
        """Answer one request."""
        message = json.loads(body) if head.startswith(b"POST") else {}
        if not body:
            self.transport.write(EMPTY % (b"405 Method Not Allowed" if head.startswith(b"GET") else b"200 OK"))
        elif "id" not in message:
            self.transport.write(EMPTY % b"202 Accepted")
        elif message["method"] == "tools/call" and message["params"]["name"] != "echo":
            self.stream(message)
        elif message["method"] == "server/discover" and MODERN.encode() not in head:
            self.transport.write(EMPTY % b"400 Bad Request")
        else:
            session = b"Mcp-Session-Id: canned\r\n" if message["method"] == "initialize" else b""
            text = response(message)
            self.transport.write(JSON_HEAD % (session, len(text), text))

    def stream(self, message):
        """Answer with events."""
        self.transport.write(SSE_HEAD)
        if message["params"]["name"] == "hold":
            token = json.dumps(message["params"]["_meta"]["progressToken"]).encode()
            self.transport.write(chunk(PROGRESS % (token, 1, 1, 1)))
        else:
            self.pieces = events(message)
            self.go_on()

    def go_on(self):
        """Write as long as the reader keeps up."""
        while not self.paused:
            piece = next(self.pieces, None)
            if piece is None:
                return
            self.transport.write(piece)

    def pause_writing(self):
        """The reader is behind."""
        self.paused = True

    def resume_writing(self):
        """It has caught up."""
        self.paused = False
        self.go_on()


async def main():
    """Serve until stopped."""
    server = await asyncio.get_running_loop().create_server(Canned, "127.0.0.1", int(sys.argv[1]))
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(main())
