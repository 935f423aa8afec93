"""Starts one server under test, pinned to its core, and stops it again."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from socket import create_connection, create_server

import attrs

from benchmarks import measure

START_SECONDS = 30
STOP_SECONDS = 5
POLL_SECONDS = 0.001


class ServerError(Exception):
    """A server under test did not start or died; the text ends with what it said."""


@attrs.frozen(kw_only=True)
class Server:
    """A running server under test.

    Attributes:
        process: Its process.
        port: The port it listens on.
        log: Where its output goes.
        spawned_at: When it was started, in seconds of time.monotonic.
    """

    process: subprocess.Popen[bytes]
    port: int
    log: Path
    spawned_at: float

    @property
    def cpu(self) -> float:
        """The CPU seconds it used until now."""
        return measure.cpu_seconds(self.process.pid)

    @property
    def memory_kb(self) -> int:
        """Its resident memory in KiB."""
        return measure.memory_kb(self.process.pid)

    def wait_open(self) -> None:
        """Wait until it accepts connections.

        Raises:
            ServerError: If it does not in time, or ends.
        """
        deadline = self.spawned_at + START_SECONDS
        while not accepts(self.port):
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise ServerError(f"did not start:\n{self.log.read_text(errors='replace')[-1500:]}")
            time.sleep(POLL_SECONDS)


@contextmanager
def serving(
    *, command: Sequence[str], port: int, core: int, environment: Mapping[str, str], log: Path
) -> Iterator[Server]:
    """A server for the length of a block; at its end it is asked to stop, then made to."""
    pin = partial(os.sched_setaffinity, 0, {core})
    with (
        log.open("wb") as output,
        subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            cwd=log.parent,
            env={**os.environ, **environment},
            preexec_fn=pin,
        ) as process,
    ):
        server = Server(process=process, port=port, log=log, spawned_at=time.monotonic())
        try:
            server.wait_open()
            yield server
        finally:
            stop(process)


def stop(process: subprocess.Popen[bytes]) -> None:
    """End a process that we started."""
    process.terminate()
    try:
        process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def accepts(port: int) -> bool:
    """Whether something listens on a port of this host."""
    try:
        create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True


def free_port() -> int:
    """A port that nobody listens on."""
    with create_server(("127.0.0.1", 0)) as taken:
        port: int = taken.getsockname()[1]
        return port
