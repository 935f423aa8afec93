"""The load: wrk for requests that are answered with JSON, our own program `streams` for streams.

Both run on the load's core, in bounded time, and count what goes wrong.
"""

from __future__ import annotations

import json
import os
import subprocess
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import IO, Any

import attrs

SCRIPT = Path(__file__).with_name("wrk.lua")
EXTRA_SECONDS = 60
SIZE_TOLERANCE = 0.03


class LoadError(Exception):
    """A load program failed or found errors; the text says which."""


@attrs.frozen(kw_only=True)
class Load:
    """The load programs.

    Attributes:
        wrk: The path of wrk.
        streams: The path of the compiled `streams`.
        core: The core they run on.
        folder: Where request files are written.
    """

    wrk: str
    streams: str
    core: int
    folder: Path

    def write(self, template: bytes) -> str:
        """Keep a request template in a file for the load programs; gives its path."""
        path = self.folder / f"{zlib.crc32(template):08x}.http"
        path.write_bytes(template)
        return str(path)

    def requests(self, port: int, template: bytes, *, connections: int, seconds: float) -> Mapping[str, float]:
        """Keep `connections` busy with requests for some seconds.

        Returns:
            requests, bytes, elapsed (s), rps, p50_ms, p99_ms.

        Raises:
            LoadError: If a request failed or was not answered with 200.
        """
        with self.busy(port, template, connections=connections, seconds=seconds) as process:
            return read_wrk(finish(process, seconds))

    @contextmanager
    def busy(self, port: int, template: bytes, *, connections: int, seconds: float) -> Iterator[subprocess.Popen[str]]:
        """The same in the background; what is still running at the end of the block is stopped."""
        options = ["-t1", f"-c{connections}", f"-d{max(1, round(seconds))}s", "--timeout", "10s", "-s", str(SCRIPT)]
        command = [self.wrk, *options, f"http://127.0.0.1:{port}/mcp", "--", self.write(template)]
        with self.spawn(command) as process:
            yield process

    @contextmanager
    def stream(
        self, mode: str, port: int, template: bytes, *flags: str, **options: float
    ) -> Iterator[subprocess.Popen[str]]:
        """Start `streams` with its options; what is still running at the end of the block is stopped."""
        words = [f"--{name}={value}" for name, value in options.items()]
        with self.spawn([self.streams, mode, str(port), self.write(template), *flags, *words]) as process:
            yield process

    def streams_report(self, mode: str, port: int, template: bytes, *flags: str, **options: float) -> dict[str, Any]:
        """Run `streams` to its end; gives its report.

        Raises:
            LoadError: If it counted an error.
        """
        with self.stream(mode, port, template, *flags, **options) as process:
            return read_streams(finish(process, options["seconds"]))

    @contextmanager
    def spawn(self, command: list[str]) -> Iterator[subprocess.Popen[str]]:
        """A load program on its core, stopped at the end of the block."""
        pin = partial(os.sched_setaffinity, 0, {self.core})
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, preexec_fn=pin) as process:
            try:
                yield process
            finally:
                process.kill()


def finish(process: subprocess.Popen[str], seconds: float) -> str:
    """Wait for the end of a load program, a bounded time; gives what it printed."""
    try:
        output, _ = process.communicate(timeout=seconds + EXTRA_SECONDS)
    except subprocess.TimeoutExpired:
        raise LoadError(f"the load did not end within {seconds + EXTRA_SECONDS} s") from None
    if process.returncode:
        raise LoadError(f"the load ended with status {process.returncode}: {output[-300:]}")
    return output


def read_line(stream: IO[str] | None) -> dict[str, Any]:
    """Read one line of JSON from a program that is still running."""
    line = stream.readline() if stream else ""
    if not line:
        raise LoadError("the load ended early")
    parsed: dict[str, Any] = json.loads(line)
    return parsed


def read_wrk(output: str) -> dict[str, float]:
    """Read the report of `wrk.lua` from the last line that wrk printed."""
    report: dict[str, Any] = json.loads(output.strip().splitlines()[-1])
    errors = {kind: count for kind, count in report.pop("errors").items() if count}
    if errors or not report["requests"]:
        raise LoadError(f"wrk: {report['requests']} requests, errors {errors}")
    return {**report, "rps": report["requests"] / report["elapsed"]}


def check_size(report: Mapping[str, float], *, size: int, connections: int) -> None:
    """See that the answers of a run were as long as a good one: wrk looks at the status only, not at the body.

    Bytes of answers that were on their way at the end, one on each connection at most, are granted.

    Raises:
        LoadError: If their mean length is another.
    """
    expected = report["requests"] * size
    if abs(report["bytes"] - expected) > expected * SIZE_TOLERANCE + connections * size:
        mean = report["bytes"] / report["requests"]
        raise LoadError(f"answers of {mean:.0f} bytes where a good one has {size}")


def read_streams(output: str) -> dict[str, Any]:
    """Read the report of `streams` from the last line that it printed."""
    report: dict[str, Any] = json.loads(output.strip().splitlines()[-1])
    errors, first = report.pop("errors"), report.pop("first_error")
    if errors:
        raise LoadError(f"streams: {errors} errors, first: {first}")
    return report
