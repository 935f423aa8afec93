"""A server in a process of its own, as an operator would start it, and what one needs to look at it from outside."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import attrs

ROOT = Path(__file__).resolve().parents[2]

START_SECONDS = 20.0
STOP_SECONDS = 20.0
_NO_MORE: Mapping[str, str] = {}


@attrs.frozen(kw_only=True)
class Served:
    """A running server.

    Args:
        url: Its MCP endpoint.
        log: The file that holds what it printed and logged.
        process: The process; ours to stop.
    """

    url: str
    log: Path
    process: subprocess.Popen[bytes]

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Ask it to stop, and return its exit status."""
        if self.process.poll() is None:
            self.process.send_signal(number)
        return self.process.wait(STOP_SECONDS)


def free_port() -> int:
    """A port of 127.0.0.1 that nobody listens on at this moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


def eventually(what: str, holds: Callable[[], bool], seconds: float = 10.0) -> None:
    """Wait until something outside of this process holds, and fail if it never does."""
    deadline = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > deadline:
            raise AssertionError(f"{what}: not within {seconds} s")
        time.sleep(0.02)


def answers(url: str) -> bool:
    """Whether an HTTP server answers at this URL, whatever it says."""
    try:
        with urllib.request.urlopen(url, timeout=5):
            return True
    except urllib.error.HTTPError:
        return True
    except OSError:
        return False


@contextmanager
def running(
    command: Sequence[str], url: str, log: Path, *, cwd: Path = ROOT, env: Mapping[str, str] = _NO_MORE
) -> Iterator[Served]:
    """Run a command that serves `url`, until the block ends; what it prints goes to `log`, and `env` to its variables.

    Raises:
        AssertionError: It ended, or did not answer in time; the message ends with its log.
    """
    environment = {**os.environ, "PYTHONUNBUFFERED": "1", **env}
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, cwd=cwd, env=environment, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT
        )
    server = Served(url=url, log=log, process=process)
    try:
        eventually(f"{command} answers", lambda: process.poll() is not None or answers(url), START_SECONDS)
        if process.poll() is not None:
            raise AssertionError(f"{command} ended with {process.returncode}:\n{log.read_text()}")
        yield server
    finally:
        _end(process)


def _end(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        process.terminate()
    try:
        process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def twist_mcpserve(*options: str) -> list[str]:
    """The command of the foreground server, with the interpreter of the tests and a log that people can read."""
    return [sys.executable, "-m", "twisted", "--log-format=text", "mcpserve", *options]


@contextmanager
def serving(log: Path, *options: str, env: Mapping[str, str] = _NO_MORE) -> Iterator[Served]:
    """Serve on a free port of 127.0.0.1 with these options."""
    port = free_port()
    listen = ["--listen", f"tcp:{port}:interface=127.0.0.1"]
    with running(twist_mcpserve(*listen, *options), f"http://127.0.0.1:{port}/mcp", log, env=env) as server:
        yield server
