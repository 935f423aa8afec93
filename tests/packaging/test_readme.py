"""The README's command that starts the server, run exactly as it is written, in a fresh clone."""

from __future__ import annotations

import os
import re
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import attrs
import pytest

from tests.interop.served import eventually
from tests.packaging.readme import command, commands

SETUP_SECONDS = 240.0

CURL = re.compile(r"^.*?(curl -N(?:.*\\\n)*.*)$", re.MULTILINE)


@attrs.frozen
class Started:
    """The started command, and what it has printed so far."""

    process: subprocess.Popen[bytes]
    log: Path

    @property
    def printed(self) -> str:
        """All its output."""
        return self.log.read_text()

    @property
    def ready(self) -> bool:
        """Whether the last of what it has to print is there, a whole line."""
        return re.search(r"curl -N.*\n", self.printed) is not None

    @property
    def ended(self) -> bool:
        """Whether it has ended."""
        return self.process.poll() is not None


def _as_from_a_terminal() -> None:
    # A runner may have SIGINT ignored, and its children inherit that; a person's Ctrl-C is not ignored.
    signal.signal(signal.SIGINT, signal.SIG_DFL)


@contextmanager
def _started(shell: str, cwd: Path, log: Path) -> Iterator[Started]:
    environment = {name: value for name, value in os.environ.items() if name != "VIRTUAL_ENV"}
    with log.open("wb") as output:
        process = subprocess.Popen(
            ["bash", "-c", shell],
            cwd=cwd,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            preexec_fn=_as_from_a_terminal,
        )
    try:
        yield Started(process, log)
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


@pytest.mark.packaging
def test_the_start_command_serves(clone: Path, tmp_path: Path) -> None:
    """It sets up, serves, prints the URL and a curl line that streams; Ctrl-C ends it with status 0."""
    with _started(command("start"), clone, tmp_path / "log") as started:
        eventually("the command prints the curl line", lambda: started.ready or started.ended, SETUP_SECONDS)
        assert "http://127.0.0.1:8000/mcp" in started.printed
        line = CURL.search(started.printed)
        assert line is not None, started.printed
        tried = subprocess.run(["bash", "-c", line[1]], capture_output=True, text=True, timeout=60, check=False)
        assert tried.returncode == 0, (line[1], tried.stderr)
        assert "data:" in tried.stdout, (line[1], tried.stdout)
        os.killpg(started.process.pid, signal.SIGINT)
        assert started.process.wait(20) == 0, started.printed


def test_marked_blocks_are_found() -> None:
    """The fenced block right after a mark is its command; other blocks are not."""
    page = "<!-- ci: start -->\n```sh\na &&\nb\n```\n\n```sh\nc\n```\n<!-- ci: test -->\n\n```\nd\n```\n"
    assert commands(page) == {"start": "a &&\nb", "test": "d"}
