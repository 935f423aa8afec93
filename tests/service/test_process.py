"""`twist mcpserve` in processes of its own, from another working directory, as an operator sees it."""

from __future__ import annotations

import json
import os
import select
import signal
import socket
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

DEADLINE = 30.0

PLUGIN = """
from mcpserve import Stream, tool

@tool
def {name}(stream: Stream) -> None:
    "Tick for ever."
    stream.every(0.05, lambda: stream.write("tick"), now=True)
"""


def begin(cwd: Path, *options: str) -> subprocess.Popen[str]:
    """Start a server."""
    return subprocess.Popen(
        [sys.executable, "-m", "twisted", "--log-format=text", "mcpserve", "--no-shipped", *options],
        cwd=cwd,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def test_refusals(tmp_path: Path) -> None:
    """Each is a sentence without traceback, and status 1: a port in use, a bad file, a broken plugin."""
    (tmp_path / "plugs").mkdir()
    (tmp_path / "plugs" / "broken.py").write_text("1 / 0\n")
    (tmp_path / "plugs" / "empty.py").write_text("")
    (tmp_path / "c.toml").write_text('drain = "x"\nnope = 1\n')
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        began = {
            words: begin(tmp_path, *options)
            for words, options in {
                "can't listen on tcp:": ("--listen", f"tcp:{port}:interface=127.0.0.1"),
                "c.toml: drain must be a number": ("--config", "c.toml"),
                "plugs/broken.py:1: ZeroDivisionError": ("--plugins", "plugs", "--listen", "tcp:0"),
                "Not ready:": ("--plugins", "plugs", "--check"),
            }.items()
        }
        said = {words: process.communicate(timeout=DEADLINE)[0] for words, process in began.items()}
    for words, process in began.items():
        assert process.returncode == 1, said[words]
        assert words in said[words]
        assert "Traceback" not in said[words]
    assert "Address already in use" in said["can't listen on tcp:"]
    assert "there is no setting 'nope'" in said["c.toml: drain must be a number"]
    assert len(said["Not ready:"].splitlines()) == 3


class Server:
    """A running server, and one client with an open stream."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.put(PLUGIN, "tick")
        self.process = begin(
            folder.parent, "--listen", "tcp:0:interface=127.0.0.1", "--plugins", folder.name, "--drain", "0.2"
        )
        self.said = ""
        self.port = 0

    def wait_until_ready(self) -> None:
        """Read from the greeting where it listens."""
        self.port = int(self.until("/mcp", self._read_log).rpartition("/mcp")[0].rpartition(":")[2])

    def put(self, source: str, name: str) -> None:
        """Write the plugin."""
        (self.folder / "plugin.py").write_text(textwrap.dedent(source).format(name=name))

    def _read_log(self) -> str:
        assert self.process.stdout is not None
        if select.select([self.process.stdout], [], [], 0.1)[0]:
            self.said += os.read(self.process.stdout.fileno(), 65536).decode()
        return self.said

    def until(self, words: str, read: Callable[[], str] | None = None) -> str:
        """Read the log until it has these words."""
        deadline = time.monotonic() + DEADLINE
        while words not in (text := (read or self._read_log)()):
            assert time.monotonic() < deadline, f"{words!r} did not come:\n{text}"
            assert self.process.poll() is None or words in self._read_log(), self.said
        return text

    def post(self, method: str, name: str | None = None) -> socket.socket:
        """Send a request on a connection of its own."""
        meta = {
            "progressToken": 1,
            "io.modelcontextprotocol/protocolVersion": "2026-07-28",
            "io.modelcontextprotocol/clientCapabilities": {},
        }
        params = {"_meta": meta, **({"name": name} if name else {})}
        body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": params})
        head = (
            f"POST /mcp HTTP/1.1\r\nHost: localhost:{self.port}\r\nContent-Type: application/json\r\n"
            f"MCP-Protocol-Version: 2026-07-28\r\nMcp-Method: {method}\r\n"
            f"{f'Mcp-Name: {name}' if name else 'X: y'}\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        connection = socket.create_connection(("127.0.0.1", self.port), timeout=DEADLINE)
        connection.sendall((head + body).encode())
        return connection

    def tools(self) -> str:
        """The list of tools, as it comes over the wire."""
        with self.post("tools/list") as connection:
            return connection.recv(65536).decode()


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    """A server of one endless tool; killed at the end if it still runs."""
    (tmp_path / "plugs").mkdir()
    served = Server(tmp_path / "plugs")
    try:
        served.wait_until_ready()
        yield served
    finally:
        if served.process.poll() is None:
            served.process.kill()
        served.process.communicate()


def test_a_life(server: Server) -> None:
    """A stream lives through a reload that fails and one that does not, and ends in an orderly way with the server."""
    with server.post("tools/call", "tick") as stream:
        assert b"text/event-stream" in stream.recv(65536)
        server.put("1 / 0", "")
        server.process.send_signal(signal.SIGHUP)
        server.until("Plugins not reloaded, the old ones stay")
        assert '"name":"tick"' in server.tools()
        server.put(PLUGIN, "tock")
        server.process.send_signal(signal.SIGHUP)
        server.until("Plugins reloaded: 1 tool, 1 new, 1 gone")
        assert '"name":"tock"' in server.tools()
        assert b"tick" in stream.recv(65536)

        server.process.send_signal(signal.SIGTERM)
        rest = b""
        while data := stream.recv(65536):
            rest += data
    assert b"The server is shutting down" in rest
    assert rest.endswith(b"0\r\n\r\n")
    assert server.process.wait(DEADLINE) == 0
    server.until("Call of tick cancelled: the server is shutting down")
    assert "Traceback" not in server.said


def test_ctrl_c(server: Server) -> None:
    """It is the same as SIGTERM."""
    server.process.send_signal(signal.SIGINT)
    assert server.process.wait(DEADLINE) == 0
