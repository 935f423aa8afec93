"""A server that notes what is cancelled on it, and programs that use it."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

DEADLINE = 20.0

PLUGIN = """
import os
from pathlib import Path
from mcpserve import Call, tool

@tool
async def wait(call: Call, path: str, seconds: float = 60) -> str:
    "Wait, and note if that is not wanted any more."
    call.on_cancel(lambda: Path(path).write_text("cancelled"))
    await call.progress(1, 2, "begun")
    await call.sleep(seconds)
    return "waited"

@tool
def add(a: int, b: int) -> int:
    "Add."
    return a + b

@tool
def who() -> int:
    "The process of the server."
    return os.getpid()
"""


def until(holds: Callable[[], object]) -> None:
    """Wait until something outside of this process holds."""
    limit = time.monotonic() + DEADLINE
    while not holds():
        assert time.monotonic() < limit
        time.sleep(0.02)  # noqa: TID251  # nothing turns here that it could stop


def noted(path: Path) -> str:
    """What is noted in a file, as soon as it is."""
    until(lambda: path.exists() and path.read_text())
    return path.read_text()


def begun(program: str, *words: str) -> subprocess.Popen[str]:
    """A Python program that runs with these arguments, with warnings as errors."""
    return subprocess.Popen(
        [sys.executable, "-W", "error", "-c", program, *words],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def ended(process: subprocess.Popen[str]) -> tuple[int, str, str]:
    """Status, output and errors of a program that ends by itself."""
    out, err = process.communicate(timeout=DEADLINE)
    return process.returncode, out, err
