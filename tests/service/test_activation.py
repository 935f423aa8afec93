"""A process under a supervisor that holds its socket and hears of it, as systemd does: real processes, real sockets."""

from __future__ import annotations

import json
import os
import select
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest

DEADLINE = 30.0
MODERN = "2026-07-28"
LEGACY = "2025-11-25"
PLUGIN = """
import time
from mcpserve import Call, tool

@tool
async def wait(call: Call, seconds: float = 1) -> str:
    "Wait."
    await call.sleep(seconds)
    return "waited"

@tool
def hello() -> str:
    "Say hello."
    return "hello"

@tool
def crunch(seconds: float) -> str:
    "Hold everybody up."
    time.sleep(seconds)
    return "done"
"""
EXEC = (
    "import os, sys; os.dup2(int(sys.argv[1]), 3, inheritable=True); os.environ['LISTEN_PID'] = str(os.getpid()); "
    "os.execv(sys.executable, [sys.executable, '-m', 'twisted', *sys.argv[2:]])"
)


class Parent:
    """Holds the listening socket, starts one process after the other with it, and hears what they say.

    Args:
        folder: Where plugins, the store and the socket for notices are.
        words: Further options of each process.
    """

    def __init__(self, folder: Path, *words: str) -> None:
        self.folder = folder
        (folder / "plugs").mkdir()
        (folder / "plugs" / "plugin.py").write_text(PLUGIN)
        self.words = words
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=1024)
        self.port = self.listener.getsockname()[1]
        self.notices = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.notices.bind(str(folder / "notify"))
        self.notices.settimeout(DEADLINE)
        self.process: subprocess.Popen[bytes] | None = None

    def start(self, **environ: str) -> None:
        """Start a process with the socket as descriptor 3, and wait until it says that it is ready."""
        self.log = self.folder / f"log-{time.monotonic_ns()}"
        listen = "systemd:domain=INET:name=mcpserve"
        own = ["--log-file", str(self.log), "mcpserve", "--no-shipped", "--plugins", "plugs", "--listen", listen]
        with open(os.devnull, "wb") as nowhere:
            self.process = subprocess.Popen(
                [sys.executable, "-c", EXEC, str(self.listener.fileno()), *own, *self.words],
                cwd=self.folder,
                env={
                    **os.environ,
                    "LISTEN_FDS": "1",
                    "LISTEN_FDNAMES": "mcpserve",
                    "NOTIFY_SOCKET": str(self.folder / "notify"),
                    **environ,
                },
                pass_fds=[self.listener.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=nowhere,
                stderr=nowhere,
            )
        self.until("READY=1")

    def until(self, words: str) -> str:
        """Wait until a process says this."""
        end = time.monotonic() + DEADLINE
        while words not in (said := self.notices.recv(4096).decode()):
            assert time.monotonic() < end
        return said

    def stop(self) -> tuple[int, str]:
        """Ask it to stop; its exit status, and its log."""
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        status = self.process.wait(DEADLINE)
        return status, self.log.read_text()

    def close(self) -> None:
        """End everything."""
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        self.listener.close()
        self.notices.close()

    def ask(self, method: str, params: Any = None, headers: str = "", id: Any = 1) -> socket.socket:
        """Send a request on a connection of its own."""
        message = {"jsonrpc": "2.0", "method": method, "params": params or {}, **({} if id is None else {"id": id})}
        body = json.dumps(message)
        head = (
            f"POST /mcp HTTP/1.1\r\nHost: 127.0.0.1:{self.port}\r\nContent-Type: application/json\r\n{headers}"
            f"Accept: application/json, text/event-stream\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        connection = socket.create_connection(("127.0.0.1", self.port), timeout=DEADLINE)
        connection.sendall((head + body).encode())
        return connection

    def call(self, tool: str, **arguments: Any) -> socket.socket:
        """Call a tool, modern."""
        meta = {"io.modelcontextprotocol/protocolVersion": MODERN, "io.modelcontextprotocol/clientCapabilities": {}}
        params = {"name": tool, "arguments": arguments, "_meta": {**meta, "progressToken": 1}}
        headers = f"MCP-Protocol-Version: {MODERN}\r\nMcp-Method: tools/call\r\nMcp-Name: {tool}\r\n"
        return self.ask("tools/call", params, headers)

    def get(self, path: str, port: int = 0) -> str:
        """What is at a path."""
        with socket.create_connection(("127.0.0.1", port or self.port), timeout=DEADLINE) as connection:
            connection.sendall(f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n".encode())
            return everything(connection)


def everything(connection: socket.socket, *, enough: str = "") -> str:
    """What is read until the end, or until there is enough."""
    read = b""
    while (data := connection.recv(65536)) != b"":
        read += data
        if enough and enough.encode() in read:
            break
    return read.decode()


@contextmanager
def held(folder: Path, *words: str) -> Iterator[Parent]:
    """A parent that is gone at the end."""
    parent = Parent(folder, *words)
    try:
        yield parent
    finally:
        parent.close()


class Callers:
    """Clients that call all the time, each time on a new connection."""

    def __init__(self, parent: Parent, number: int = 4) -> None:
        self.parent = parent
        self.answers = 0
        self.problems: list[str] = []
        self._over = threading.Event()
        self._threads = [threading.Thread(target=self._go_on) for _ in range(number)]

    def _go_on(self) -> None:
        while not self._over.is_set():
            try:
                with closing(self.parent.call("hello")) as connection:
                    answer = everything(connection, enough="resultType")
            except OSError as error:
                self.problems.append(repr(error))
            else:
                if '"text":"hello"' in answer:
                    self.answers += 1
                else:
                    self.problems.append(answer)
            self._over.wait(0.002)

    def __enter__(self) -> Callers:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join(DEADLINE)


def test_a_restart_that_nobody_notices(tmp_path: Path) -> None:
    """Three processes in turn on one socket: no connection is refused, no request is lost."""
    with held(tmp_path, "--drain", "1") as parent:
        parent.start()
        with Callers(parent) as callers:
            for _ in range(2):
                before = callers.answers
                while callers.answers < before + 50:
                    select.select([], [], [], 0.01)
                status, log = parent.stop()
                assert status == 0
                assert "Traceback" not in log
                parent.start()
            before = callers.answers
            while callers.answers < before + 50:
                select.select([], [], [], 0.01)
        assert callers.problems == []
        assert callers.answers > 150
        assert parent.stop()[0] == 0


def test_a_session_goes_on_in_the_next_process(tmp_path: Path) -> None:
    """With a store, its client is sent away with `retry`, and goes on with the same id, and the same stream."""
    with held(tmp_path, "--drain", "1", "--store", "sqlite:store.db") as parent:
        parent.start()
        wanted = {"protocolVersion": LEGACY, "capabilities": {}, "clientInfo": {"name": "c", "version": "1"}}
        with parent.ask("initialize", wanted) as connection:
            head = everything(connection, enough="serverInfo")
        session = head.partition("Mcp-Session-Id: ")[2].partition("\r\n")[0]
        headers = f"Mcp-Session-Id: {session}\r\nMCP-Protocol-Version: {LEGACY}\r\n"
        with parent.ask("notifications/initialized", headers=headers, id=None) as connection:
            assert "202" in everything(connection, enough="\r\n\r\n")
        listening = socket.create_connection(("127.0.0.1", parent.port), timeout=DEADLINE)
        get = f"GET /mcp HTTP/1.1\r\nHost: localhost\r\nAccept: text/event-stream\r\n{headers}"
        listening.sendall(f"{get}\r\n".encode())
        first = everything(listening, enough="id: ")
        event_id = first.partition("id: ")[2].partition("\n")[0].strip()
        assert parent.process is not None
        parent.process.send_signal(signal.SIGTERM)
        rest = everything(listening)
        listening.close()
        assert "retry: 2000" in rest
        assert rest.endswith("0\r\n\r\n")
        assert parent.process.wait(DEADLINE) == 0

        parent.start()
        with parent.ask("tools/call", {"name": "hello"}, headers) as connection:
            assert '"text":"hello"' in everything(connection, enough="hello")
        with socket.create_connection(("127.0.0.1", parent.port), timeout=DEADLINE) as resumed:
            resumed.sendall(f"{get}Last-Event-ID: {event_id}\r\n\r\n".encode())
            assert "200 OK" in everything(resumed, enough="\r\n\r\n")
        assert parent.stop()[0] == 0


def test_the_order_of_the_end(tmp_path: Path) -> None:
    """Not ready any more, then not listening, then what runs has its time; status 0, and no traceback."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        ops = free.getsockname()[1]
    words = ("--drain", "1.5", "--drain-delay", "0.5", "--ops-listen", f"tcp:{ops}:interface=127.0.0.1")
    with held(tmp_path, *words) as parent:
        parent.start()
        assert "200 OK" in parent.get("/health/ready")
        with parent.call("wait", seconds=1) as quick, parent.call("wait", seconds=60) as slow:
            everything_of(parent, ops, '"calls_running":2')
            assert parent.process is not None
            parent.process.send_signal(signal.SIGTERM)
            assert "STOPPING=1" in parent.until("STOPPING=1")
            answer = parent.get("/health/ready")
            assert "503" in answer
            assert '"reasons":["draining"]' in answer
            assert '"text":"waited"' in everything(quick)
            assert "503" in parent.get("/health/ready", ops)
            assert "mcpserve_ready 0.0" in parent.get("/metrics", ops)
            assert "The server is shutting down; call again" in everything(slow)
        assert parent.process.wait(DEADLINE) == 0
        log = parent.log.read_text()
        assert "Traceback" not in log
        assert "Stopping: 2 calls run" in log


def everything_of(parent: Parent, port: int, words: str) -> None:
    """Wait until the health has these words in it."""
    end = time.monotonic() + DEADLINE
    while words not in (said := parent.get("/health/ready", port)):
        assert time.monotonic() < end, said


def test_what_the_supervisor_hears(tmp_path: Path) -> None:
    """Ready, signs of life, a reload from its begin to its end, the stop; and no child inherits the way to say so."""
    with held(tmp_path) as parent:
        parent.start(WATCHDOG_USEC="200000")
        assert parent.process is not None
        parent.until("WATCHDOG=1")
        parent.until("WATCHDOG=1")
        parent.process.send_signal(signal.SIGHUP)
        assert "MONOTONIC_USEC=" in parent.until("RELOADING=1")
        assert "STATUS=Serving 3 tools" in parent.until("READY=1")
        parent.process.send_signal(signal.SIGTERM)
        parent.until("STOPPING=1")
        assert parent.process.wait(DEADLINE) == 0


def test_what_blocks_is_named(tmp_path: Path) -> None:
    """By the name of the tool, with the line where it is; and the log says when it is over."""
    with held(tmp_path, "--blocked-after", "0.3") as parent:
        parent.start()
        with parent.call("crunch", seconds=1.0) as connection:
            assert '"text":"done"' in everything(connection, enough="resultType")
        end = time.monotonic() + DEADLINE
        while "The reactor goes on after" not in parent.log.read_text():
            assert time.monotonic() < end
        status, log = parent.stop()
        assert status == 0
        assert "The tool crunch has blocked the reactor for more than 0.3 s" in log
        assert "time.sleep(seconds)" in log


def test_a_passed_socket_on_loopback(tmp_path: Path) -> None:
    """It is looked at: what only this machine can reach is strict about the Host."""
    with held(tmp_path) as parent:
        parent.start()
        with socket.create_connection(("127.0.0.1", parent.port), timeout=DEADLINE) as connection:
            connection.sendall(b"GET /mcp HTTP/1.1\r\nHost: 192.0.2.1\r\nConnection: close\r\n\r\n")
            assert "421 " in everything(connection)
        assert parent.stop()[0] == 0


def test_a_socket_that_was_not_passed(tmp_path: Path) -> None:
    """One sentence says so, and status 1."""
    command = [sys.executable, "-m", "twisted", "mcpserve", "--listen", "systemd:domain=INET:name=mcpserve"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=DEADLINE, check=False)
    assert done.returncode == 1
    assert "systemd has passed no such socket to this process" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("words", "format", "seen"),
    [
        ((), (), "info  service.offer  Stopping"),
        ((), ("--log-format", "json"), '"source":"mcpserve.service.offer","message":"Stopping'),
        (("--log-format=text",), ("--log-format", "json"), "[mcpserve.service.offer#info] Stopping"),
        (("--log-fo", "json"), (), '"log_format": "Stopping'),
    ],
)
def test_who_decides_how_the_log_is_written(
    tmp_path: Path, words: tuple[str, ...], format: tuple[str, ...], seen: str
) -> None:
    """The setting does; but whoever tells `twist` has what he asked for."""
    listen = ("--listen", "tcp:0:interface=127.0.0.1", "--no-shipped", "--access-log")
    process = subprocess.Popen(
        [sys.executable, "-m", "twisted", *words, "mcpserve", *listen, *format],
        cwd=tmp_path,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert process.stdout is not None
    said = ""
    while "ready with" not in said:
        said += process.stdout.readline()
    process.send_signal(signal.SIGTERM)
    said += process.communicate(timeout=DEADLINE)[0]
    assert process.returncode == 0
    assert seen in said
    if not words and format:
        assert all(json.loads(line)["message"] for line in said.splitlines())
