"""A server that is killed, and the next one on the same store: processes, sockets, and a client by hand."""

from __future__ import annotations

import json
import os
import re
import select
import signal
import socket
import sqlite3
import stat
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import attrs
import pytest

DEADLINE = 30.0

PLUGIN = """
from mcpserve import Call, tool

@tool
async def steps(call: Call, number: int, seconds: float = 0.1) -> str:
    "Report progress."
    for step in range(1, number + 1):
        await call.progress(step, message=f"step {step}")
        await call.sleep(seconds)
    return "all done"
"""


class Server:
    """A server process on a store."""

    def __init__(self, folder: Path, *options: str) -> None:
        self.said = ""
        self.process = subprocess.Popen(
            [
                *(sys.executable, "-m", "twisted", "--log-format=text", "mcpserve", "--no-shipped"),
                *("--listen", "tcp:0:interface=127.0.0.1", "--plugins", "plugs", "--store", "sqlite:store.db"),
                *options,
            ],
            cwd=folder,
            env={**os.environ, "PYTHONUNBUFFERED": "1"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        try:
            until(lambda: "/mcp" in self.log() or self.process.poll() is not None, self.log)
            match = re.search(r":(\d+)/mcp", self.said)
            assert match is not None, self.log()
            self.port = int(match[1])
        except BaseException:
            self.end()
            raise

    def log(self) -> str:
        """What it has printed."""
        assert self.process.stdout is not None
        if select.select([self.process.stdout], [], [], 0.05)[0]:
            self.said += os.read(self.process.stdout.fileno(), 65536).decode()
        return self.said

    def end(self, number: int = signal.SIGKILL) -> int:
        """Send it a signal, and wait for its end."""
        if self.process.poll() is None:
            self.process.send_signal(number)
        self.said += self.process.communicate(timeout=DEADLINE)[0].decode()
        return self.process.returncode


def until(holds: Callable[[], bool], describe: Callable[[], object]) -> None:
    """Wait for something outside of this process."""
    end = time.monotonic() + DEADLINE
    while not holds():
        assert time.monotonic() < end, describe()


@attrs.define
class Client:
    """One client, by hand; what it has read of a stream is all that it knows."""

    port: int
    session: str = ""

    def begin(self, version: str = "2025-11-25") -> None:
        """Shake hands."""
        info = {"protocolVersion": version, "capabilities": {}, "clientInfo": {"name": "raw", "version": "1"}}
        answer = self.post("initialize", info).rest()
        match = re.search(r"mcp-session-id: (\S+)", answer, re.IGNORECASE)
        assert match is not None, answer
        self.session = match[1]

    def post(self, method: str, params: Any, id: Any = 1) -> Stream:
        """Send a request."""
        body = json.dumps({"jsonrpc": "2.0", "id": id, "method": method, "params": params})
        return self._send("POST", f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n", body)

    def call(self, number: int, id: Any, seconds: float = 0.1) -> Stream:
        """Call the tool, and read its first event."""
        arguments = {"number": number, "seconds": seconds}
        params = {"name": "steps", "arguments": arguments, "_meta": {"progressToken": 1}}
        stream = self.post("tools/call", params, id)
        stream.read_until("step 1")
        return stream

    def resume(self, last: str) -> str:
        """Come back with an event id, and read to the end."""
        return self._send("GET", f"Last-Event-ID: {last}\r\n").rest()

    def _send(self, method: str, headers: str, body: str = "") -> Stream:
        session = f"Mcp-Session-Id: {self.session}\r\n" if self.session else ""
        head = f"{method} /mcp HTTP/1.1\r\nHost: localhost:{self.port}\r\nConnection: close\r\n{headers}{session}\r\n"
        connection = socket.create_connection(("127.0.0.1", self.port), timeout=DEADLINE)
        connection.sendall((head + body).encode())
        return Stream(connection)


@attrs.define
class Stream:
    """A response, as far as it was read."""

    connection: socket.socket
    text: str = ""

    def read_until(self, words: str) -> None:
        """Read on until there are these words, and not a byte more of it."""
        while words not in self.text:
            data = self.connection.recv(1)
            assert data, self.text
            self.text += data.decode()

    def rest(self) -> str:
        """Read to the end; what a dead server leaves in the socket is no end."""
        with self.connection:
            while data := self.connection.recv(65536):
                self.text += data.decode()
        return self.text

    @property
    def last(self) -> str:
        """The id of the last event that was read."""
        return re.findall(r"^id: (\S+)\r?$", self.text, re.MULTILINE)[-1]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where the server runs."""
    (tmp_path / "plugs").mkdir()
    (tmp_path / "plugs" / "plugin.py").write_text(textwrap.dedent(PLUGIN))
    return tmp_path


@pytest.fixture
def start(folder: Path) -> Iterator[Callable[..., Server]]:
    """Starts servers; those that live at the end of the test are killed."""
    servers: list[Server] = []

    def start(*options: str) -> Server:
        servers.append(Server(folder, *options))
        return servers[-1]

    yield start
    for server in servers:
        server.end()


def stored(folder: Path) -> int:
    """How many streams have come to their end, seen from outside; the file is locked, so a copy is looked at."""
    copy = folder / "copy.db"
    for suffix in ("", "-wal"):
        copy.with_name(copy.name + suffix).write_bytes((folder / f"store.db{suffix}").read_bytes())
    connection = sqlite3.connect(copy)
    try:
        return int(connection.execute("SELECT count(*) FROM streams WHERE finished").fetchone()[0])
    except sqlite3.DatabaseError:
        return -1  # it was written while it was copied
    finally:
        connection.close()


def test_a_server_that_is_killed(start: Callable[..., Server], folder: Path) -> None:
    """Sessions go on; what was stored and not read is delivered once; what was cut off in the middle says so."""
    first = start()
    client = Client(first.port)
    client.begin()
    unread, cut = client.call(3, id="unread"), client.call(3, id="cut")
    endless = client.call(1000, id=77)
    cut.connection.close()
    until(lambda: bool(first.log()) and stored(folder) == 2, first.log)
    first.end(signal.SIGKILL)
    unread.connection.close()
    endless.connection.close()
    for name in ("store.db", "store.db-wal"):
        assert stat.S_IMODE((folder / name).stat().st_mode) == 0o600

    second = start()
    assert re.search(r"Sessions that go on from sqlite:\S+store\.db: 1\n", second.log())
    client.port = second.port
    for stream, id in ((unread, "unread"), (cut, "cut")):
        text = client.resume(stream.last)
        assert [f"step {step}" in text for step in (1, 2, 3)] == [False, True, True]
        assert text.count("all done") == 1
        assert f'"id":"{id}"' in text
        assert text.endswith("0\r\n\r\n")
    text = client.resume(endless.last)
    assert "restarted before this call had ended" in text
    assert text.count('"id":77') == 1
    assert '"result":{}' in client.post("ping", {}).rest()
    client.call(1, id=78).rest()
    assert second.end(signal.SIGTERM) == 0
    assert "Traceback" not in first.said + second.said


def test_an_orderly_end(start: Callable[..., Server], folder: Path) -> None:
    """Clients are sent away, calls end meanwhile, and the next process has their results."""
    first = start("--drain", "20")
    client = Client(first.port)
    client.begin()
    stream = client.call(10, id="mine")
    first.process.send_signal(signal.SIGTERM)
    text = stream.rest()
    assert "retry: 12000" in text
    assert "all done" not in text
    assert text.endswith("0\r\n\r\n")
    assert first.process.wait(DEADLINE) == 0, "it ended by itself when the call had ended"
    assert sorted(path.name for path in folder.glob("store*")) == ["store.db"], "all is in the one file"

    client.port = start().port
    text = client.resume(stream.last)
    assert "step 10" in text
    assert text.count("all done") == 1


def test_older_clients_at_an_orderly_end(start: Callable[..., Server]) -> None:
    """They can't be sent away before the reply: they get it, be it that the server stops."""
    server = start("--drain", "0.2")
    client = Client(server.port)
    client.begin("2025-06-18")
    stream = client.call(1000, id="mine")
    server.process.send_signal(signal.SIGTERM)
    text = stream.rest()
    assert '"id":"mine"' in text
    assert "shutting down" in text
    assert server.process.wait(DEADLINE) == 0


def refused(folder: Path, *options: str) -> str:
    """What a server says that does not start."""
    with pytest.raises(AssertionError) as caught:
        Server(folder, *options)
    assert "Traceback" not in str(caught.value)
    return str(caught.value).partition("mcpserve: ")[2]


def test_stores_that_are_no_use(start: Callable[..., Server], folder: Path) -> None:
    """One clear sentence: in use, damaged, of something else, nowhere."""
    start()
    assert "store.db is in use by another process; a store is for one server" in refused(folder)
    (folder / "text.db").write_text("This is no database, but long enough to be looked at as one. " * 100)
    assert "text.db is damaged, or no SQLite database" in refused(folder, "--store", "sqlite:text.db")
    assert "none/store.db can't be opened: No such file or directory" in refused(
        folder, "--store", "sqlite:none/store.db"
    )
