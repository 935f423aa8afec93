"""`python -m mcpserve stdio` in processes of its own, from another working directory, as a host starts it."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import IO, Any

import pytest

DEADLINE = 30.0

PLUGIN = """
import ctypes, os, subprocess, sys
from pathlib import Path
from mcpserve import Call, tool

print("imported")

@tool
def noise() -> str:
    "Write to standard output in all ways that there are, and read standard input."
    print("printed")
    sys.stdout.write("written\\n")
    sys.__stdout__.write("unbuffered\\n")
    sys.__stdout__.flush()
    os.write(1, b"low\\n")
    libc = ctypes.CDLL(None)
    libc.puts(b"from C")
    libc.fflush(None)
    subprocess.run(["echo", "child"], check=True)
    subprocess.run(["cat"], check=True)
    return repr(sys.stdin.read())

@tool
async def wait(call: Call, seconds: float = 60) -> str:
    "Wait."
    await call.progress(1, message="begun")
    await call.sleep(seconds)
    return "waited"

@tool
async def flood(call: Call, number: int, path: str) -> str:
    "Say much, waiting for the reader, and note how far it came."
    for step in range(number):
        Path(path).write_text(str(step))
        await call.progress(step, message="x" * 10_000)
    return "flooded"

@tool
def large(size: int) -> str:
    "A large result."
    return "x" * size
"""

META = {
    "io.modelcontextprotocol/protocolVersion": "2026-07-28",
    "io.modelcontextprotocol/clientCapabilities": {},
    "progressToken": 1,
}


def message(id: Any, method: str, **params: Any) -> bytes:
    """A modern request, as a line."""
    params["_meta"] = META
    return json.dumps({"jsonrpc": "2.0", "id": id, "method": method, "params": params}).encode() + b"\n"


def call(id: Any, name: str, **arguments: Any) -> bytes:
    """A call of a tool, as a line."""
    return message(id, "tools/call", name=name, arguments=arguments)


class Child:
    """A server as a child of ours."""

    def __init__(self, cwd: Path, *options: str, stdin: Any = subprocess.PIPE) -> None:
        self.errors = cwd / "stderr"
        with self.errors.open("wb") as errors:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "mcpserve", "stdio", "--no-shipped", "--plugins", "plugs", *options],
                cwd=cwd,
                stdin=stdin,
                stdout=subprocess.PIPE,
                stderr=errors,
            )
        self._rest = b""

    def send(self, data: bytes) -> None:
        """Write to its input."""
        assert self.process.stdin is not None
        self.process.stdin.write(data)
        self.process.stdin.flush()

    def read(self) -> Any:
        """The next message."""
        deadline = time.monotonic() + DEADLINE
        while b"\n" not in self._rest:
            ready = select.select([self._output], [], [], max(0, deadline - time.monotonic()))[0]
            data = os.read(self._output.fileno(), 65536) if ready else b""
            assert data, f"no message came; {self._rest[:100]!r}, {self.errors.read_text()}"
            self._rest += data
        line, _, self._rest = self._rest.partition(b"\n")
        return json.loads(line)

    def end(self) -> tuple[int, Sequence[Any], str]:
        """Close its input; what it exits with, the messages that still came, and what it wrote to standard error."""
        out = self.process.communicate(timeout=DEADLINE)[0]
        *lines, rest = (self._rest + out).split(b"\n")
        assert rest == b""
        return self.process.returncode, [json.loads(line) for line in lines], self.errors.read_text()

    @property
    def _output(self) -> IO[bytes]:
        assert self.process.stdout is not None
        return self.process.stdout


Start = Callable[..., Child]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Starts servers with the plugin above; those that still run at the end are killed."""
    (tmp_path / "plugs").mkdir()
    (tmp_path / "plugs" / "plugin.py").write_text(PLUGIN)
    children: list[Child] = []

    def begin(*options: str, stdin: Any = subprocess.PIPE) -> Child:
        children.append(Child(tmp_path, *options, stdin=stdin))
        return children[-1]

    yield begin
    for child in children:
        if child.process.poll() is None:
            child.process.kill()
        child.process.wait(DEADLINE)
        for pipe in (child.process.stdin, child.process.stdout):
            if pipe is not None:
                pipe.close()


def test_nothing_but_messages(start: Start) -> None:
    """Whatever a plugin, a library in C, or a child process writes to standard output goes to standard error; and
    standard input is empty for them."""
    child = start()
    child.send(call(1, "noise"))
    assert child.read()["result"]["content"][0]["text"] == "''"
    child.send(message(2, "server/discover"))
    status, messages, errors = child.end()
    assert [m["id"] for m in messages] == [2]
    assert status == 0
    for word in ("imported", "printed", "written", "unbuffered", "low", "from C", "child"):
        assert word in errors.splitlines()


def test_end_of_input(start: Start) -> None:
    """What takes long is cancelled after a second, and answered; the exit status is 0."""
    child = start()
    child.send(call(1, "wait") + call(2, "wait", seconds=0.3))
    began = time.monotonic()
    status, messages, errors = child.end()
    assert status == 0
    assert 0.9 < time.monotonic() - began < 15
    assert [m["id"] for m in messages if "result" in m] == [2]
    assert [m["id"] for m in messages if "error" in m] == [1]
    assert "Traceback" not in errors


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signals(start: Start, number: int) -> None:
    """They are the same as the end of input; one more cancels at once."""
    child = start("--drain", "60")
    child.send(call(1, "wait"))
    assert child.read()["params"]["message"] == "begun"
    child.process.send_signal(number)
    with pytest.raises(subprocess.TimeoutExpired):
        child.process.wait(0.5)
    child.send(call(2, "wait", seconds=0))
    child.process.send_signal(number)
    assert "shutting down" in child.read()["error"]["message"]
    assert child.process.wait(DEADLINE) == 0


def test_a_reader_that_goes_away(start: Start) -> None:
    """There is nothing left to do, though the input is still open."""
    child = start()
    child.send(call(1, "wait"))
    child.read()
    child._output.close()
    assert child.process.wait(DEADLINE) == 0
    assert "Traceback" not in child.errors.read_text()


def test_input_from_a_file(start: Start, tmp_path: Path) -> None:
    """And its last line lacks its end."""
    (tmp_path / "in").write_bytes(message(1, "ping") + call(2, "wait", seconds=0.1).rstrip())
    with (tmp_path / "in").open("rb") as file:
        status, messages, _ = start(stdin=file).end()
    assert status == 0
    assert [(m.get("id"), "result" in m) for m in messages] == [(1, False), (None, False), (2, True)]


def test_a_full_pipe_holds_the_tool(start: Start, tmp_path: Path) -> None:
    """While nobody reads, a tool that waits for its reader stands still; then all of it comes, in order."""
    child = start()
    noted = tmp_path / "noted"
    child.send(call(1, "flood", number=200, path=str(noted)))
    seen = ""
    while not seen or seen != noted.read_text():
        seen = noted.read_text() if noted.exists() else ""
        select.select([], [], [], 0.3)
    assert int(seen) < 40
    steps = [child.read()["params"]["progress"] for _ in range(200)]
    assert steps == list(range(200))
    assert child.read()["result"]["content"][0]["text"] == "flooded"
    assert child.end()[0] == 0


def test_a_large_result_at_the_end(start: Start) -> None:
    """It is written as a whole before the process ends."""
    child = start()
    child.send(call(1, "large", size=5_000_000))
    status, messages, _ = child.end()
    assert status == 0
    assert len(messages[0]["result"]["content"][0]["text"]) == 5_000_000


def test_refusals(start: Start, tmp_path: Path) -> None:
    """A sentence on standard error, nothing on standard output, and a status that is not 0."""
    assert start("--nope").end() == (64, [], "mcpserve: option --nope not recognized\n")
    assert start("--listen", "tcp:1").end()[0] == 64
    assert start("--drain", "soon").end() == (1, [], "mcpserve: --drain takes a number, not 'soon'\n")
    (tmp_path / "plugs" / "broken.py").write_text("1 / 0\n")
    status, messages, errors = start().end()
    assert (status, messages) == (1, [])
    assert "broken.py:1: ZeroDivisionError" in errors
    assert "Traceback" not in errors


def test_a_file_for_both(start: Start, tmp_path: Path) -> None:
    """The configuration of the server over HTTP can be used as it is."""
    (tmp_path / "c.toml").write_text('listen = ["tcp:1"]\nmax_sessions = 5\nname = "both"\nonly = ["wait"]\n')
    child = start("--config", "c.toml")
    child.send(message(1, "tools/list"))
    result = child.read()["result"]
    assert [tool["name"] for tool in result["tools"]] == ["wait"]
    assert result["_meta"]["io.modelcontextprotocol/serverInfo"]["name"] == "both"
    assert child.end()[0] == 0
