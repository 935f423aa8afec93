"""The program `mcpserve`, run as people run it, against servers of others."""

from __future__ import annotations

import json
import signal
import subprocess
import sys

import pytest

from tests.interop.others import EVERYTHING, WAYS, Other
from tests.interop.served import ROOT, eventually

pytestmark = pytest.mark.interop

PROGRAM = [sys.executable, "-m", "mcpserve"]
SECONDS = 30
INTERRUPTED = 130

each_way = pytest.mark.parametrize("other", [*WAYS[:1], *WAYS[3:4], *WAYS[6:10]], indirect=True, ids=str)


def _words(other: Other, command: str, *words: str) -> list[str]:
    """The command line: with the URL of the server, or what starts it."""
    if other.url is None:
        return [*PROGRAM, command, "--stdio", *words, "--", *other.command]
    return [*PROGRAM, command, other.url, *words]


def _run(other: Other, command: str, *words: str, status: int = 0) -> str:
    done = subprocess.run(
        _words(other, command, *words),
        capture_output=True,
        text=True,
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        timeout=SECONDS,
        check=False,
    )
    assert done.returncode == status, done.stdout + done.stderr
    return done.stdout


@each_way
def test_what_is_there(other: Other) -> None:
    """`info` names revision and transport, `tools` a line each, `read` and `prompt` what is in them."""
    info = _run(other, "info")
    assert other.way.revision in info
    assert "add\tAdd two numbers." in _run(other, "tools").splitlines()
    assert _run(other, "read", "memo://note").rstrip("\n") == "Grüße, 世界"
    assert "Say hello to Bob." in _run(other, "prompt", "greet", "name=Bob")


@each_way
def test_a_call_with_progress(other: Other) -> None:
    """In a pipe each step is a line, then the result; as JSON lines each is an object; a failed tool is status 1."""
    *steps, result = _run(other, "call", "count", "to=3").splitlines()
    assert steps == [f"[{step}/3] step {step}" for step in (1, 2, 3)]
    assert result == "counted to 3"
    lines = [json.loads(line) for line in _run(other, "call", "--json-lines", "count", "to=2").splitlines()]
    assert len(lines) == 3
    _run(other, "call", "fail", status=1)


@each_way
def test_ctrl_c_cancels_on_their_side(other: Other) -> None:
    """Ctrl-C during a call ends it there, says so, and ends with 130."""
    process = subprocess.Popen(
        _words(other, "call", "wait"),
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    with process:
        assert process.stdout is not None
        assert "waiting" in process.stdout.readline()
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=SECONDS)
    assert process.returncode == INTERRUPTED, errors
    assert "cancel" in errors
    eventually("the call is cancelled", lambda: other.told() == ["began", "cancelled"])


@pytest.mark.parametrize("other", EVERYTHING, indirect=True, ids=str)
def test_the_reference_server(other: Other) -> None:
    """The same with the reference server from npm."""
    assert "2025-11-25" in _run(other, "info")
    assert "get-sum\t" in _run(other, "tools")
    assert "The sum of 1 and 2 is 3." in _run(other, "call", "get-sum", "a=1", "b=2")
    *steps, result = _run(other, "call", "trigger-long-running-operation", "duration=0.3", "steps=3").splitlines()
    assert steps == ["[1/3]", "[2/3]", "[3/3]"]
    assert result.startswith("Long running operation completed")
