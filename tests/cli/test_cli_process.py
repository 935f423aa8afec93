"""`python -m mcpserve` in processes of its own, against a server that it starts itself; also on a terminal."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

DEADLINE = 30.0
PROGRAM = [sys.executable, "-m", "mcpserve"]

PLUGIN = """
import attrs, sys
from pathlib import Path
from mcpserve import Call, tool

@tool
async def wait(call: Call, path: str, seconds: float = 60) -> str:
    "Wait, and note if that is not wanted any more."
    call.on_cancel(lambda: Path(path).write_text("cancelled"))
    await call.progress(1, 2, "begun")
    await call.sleep(seconds)
    return "waited"

@attrs.frozen
class Who:
    name: str
    age: int = 30

@tool
async def ask(call: Call) -> str:
    "Ask who it is."
    answer = await call.elicit("Who?", Who)
    return str(answer)

@tool
def evil() -> str:
    "Steer the terminal."
    return "\\x1b[2Jgone\\x9b"
"""


@pytest.fixture
def server(tmp_path: Path) -> list[str]:
    """The words of a server with that plugin."""
    plugins = tmp_path / "plugs"
    plugins.mkdir()
    (plugins / "plugin.py").write_text(PLUGIN)
    return ["--stdio", "--", *PROGRAM, "stdio", "--no-shipped", "--plugins", str(plugins)]


def start(words: Sequence[str], server: Sequence[str], **streams: int) -> subprocess.Popen[str]:
    """Start the program with these words, on a server."""
    given = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **streams}
    return subprocess.Popen([*PROGRAM, *words, *server], text=True, **given)  # type: ignore[call-overload]


def end(process: subprocess.Popen[str]) -> tuple[int, str, str]:
    """Status, output and errors of a program that ends by itself."""
    out, err = process.communicate(timeout=DEADLINE)
    return process.returncode, out, err


def until_there(path: Path) -> str:
    """What is written to a file, as soon as it is."""
    limit = time.monotonic() + DEADLINE
    while not (path.exists() and path.read_text()) and time.monotonic() < limit:
        select.select([], [], [], 0.02)
    return path.read_text()


class Terminal:
    """The program on a terminal of the system."""

    def __init__(self, words: Sequence[str], server: Sequence[str]) -> None:
        self.keys, theirs = os.openpty()
        self.seen = ""
        environment = {**os.environ, "TERM": "xterm", "COLUMNS": "100", "LINES": "24"}
        self.process = subprocess.Popen(
            [*PROGRAM, *words, *server],
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            env=environment,
            start_new_session=True,
            preexec_fn=_take_terminal,
        )
        os.close(theirs)

    def until(self, text: str) -> None:
        """Read until something is on the terminal."""
        limit = time.monotonic() + DEADLINE
        while text not in self.seen:
            assert select.select([self.keys], [], [], max(0, limit - time.monotonic()))[0], self.seen
            self.seen += self._read()

    def type(self, keys: str) -> None:
        """Type."""
        os.write(self.keys, keys.encode())

    def end(self) -> int:
        """The exit status; what else was written is read."""
        while data := self._read():
            self.seen += data
        os.close(self.keys)
        return self.process.wait(DEADLINE)

    def _read(self) -> str:
        try:
            return os.read(self.keys, 65536).decode()
        except OSError:
            return ""


def _take_terminal() -> None:
    """Make standard input the terminal of this session, so that Ctrl-C is a signal."""
    import fcntl  # noqa: PLC0415  between fork and exec
    import termios  # noqa: PLC0415

    fcntl.ioctl(0, termios.TIOCSCTTY, 0)


def test_a_call(server: list[str], tmp_path: Path) -> None:
    """Progress and result, a line each."""
    status, out, err = end(start(["call", "wait", f"path={tmp_path}/p", "seconds=0"], server))
    assert (status, out, err) == (0, "[1/2] begun\nwaited\n", "")


def test_a_terminal_is_not_steered(server: list[str]) -> None:
    """Not by a result."""
    terminal = Terminal(["call", "evil"], server)
    assert terminal.end() == 0
    assert "\\x1b[2Jgone\\x9b" in terminal.seen
    assert "\x1b[2J" not in terminal.seen


def test_a_form_on_a_terminal(server: list[str]) -> None:
    """Is filled in by the person who sits there."""
    terminal = Terminal(["call", "ask"], server)
    terminal.until("name: ")
    terminal.type("Ada\n")
    terminal.until("age [30]: ")
    terminal.type("x\n")
    terminal.until("whole number")
    terminal.type("7\n")
    terminal.until("Send it?")
    terminal.type("\n")
    assert terminal.end() == 0
    assert "age=7" in terminal.seen


def test_ctrl_c_on_a_terminal(server: list[str], tmp_path: Path) -> None:
    """Cancels on the server, takes the bar away, and gives the cursor back."""
    terminal = Terminal(["call", "wait", f"path={tmp_path}/noted"], server)
    terminal.until("1/2")
    terminal.type("\x03")
    assert terminal.end() == 130
    assert "cancelled" in terminal.seen
    assert terminal.seen.rindex("\x1b[?25h") > terminal.seen.rindex("\x1b[?25l")
    assert until_there(tmp_path / "noted") == "cancelled"


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal(server: list[str], tmp_path: Path, number: int, status: int) -> None:
    """The same without a terminal, as JSON."""
    process = start(["call", "wait", f"path={tmp_path}/noted", "--json-lines"], server)
    assert process.stdout is not None
    assert json.loads(process.stdout.readline())["event"] == "progress"
    process.send_signal(number)
    ended, out, err = end(process)
    assert ended == status
    assert json.loads(out) == {"event": "error", "kind": "Cancelled", "message": "cancelled", "status": status}
    assert "cancelling on the server" in err
    assert until_there(tmp_path / "noted") == "cancelled"


def test_a_closed_pipe(server: list[str], tmp_path: Path) -> None:
    """Is noticed though nothing more is written; nobody hears a word, and the server stops."""
    process = start(["call", "wait", f"path={tmp_path}/noted"], server)
    assert process.stdout is not None
    assert process.stderr is not None
    assert process.stdout.readline() == "[1/2] begun\n"
    process.stdout.close()
    assert process.wait(DEADLINE) == 141
    assert process.stderr.read() == ""
    process.stderr.close()
    assert until_there(tmp_path / "noted") == "cancelled"


def test_info_needs_no_help(server: list[str]) -> None:
    """Of a real server, with the time of each step."""
    status, out, err = end(start(["info", "--json-lines"], server))
    report = json.loads(out)
    assert (status, err) == (0, "")
    assert report["name"] == "mcpserve"
    assert all(phase["seconds"] > 0 for phase in report["phases"])


def test_a_server_that_does_not_start() -> None:
    """What it said last is told."""
    command = ["--stdio", "--", sys.executable, "-c", "import sys; sys.exit('no luck')"]
    status, out, err = end(start(["tools"], command))
    assert (status, out) == (4, "")
    assert "no luck" in err
