"""A child process and what is left of it, with each reactor, and where the system does not tell of its end."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import pytest_twisted
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock, deferLater
from twisted.internet.testing import MemoryReactor

from mcpserve.client import child as children
from mcpserve.client.child import group_lives, spawn
from mcpserve.client.pipes import DRAINED, Lookout, Output

ROOT = Path(__file__).resolve().parents[2]


class RecordingParent:
    """Implements `Parent`."""

    def __init__(self) -> None:
        self.heard = b""
        self.complaints = b""
        self.events: list[Any] = []
        self.end: Deferred[int] = Deferred()

    def said(self, data: bytes) -> None:
        """See `Parent`."""
        self.heard += data

    def complained(self, data: bytes) -> None:
        """See `Parent`."""
        self.complaints += data

    def fell_silent(self) -> None:
        """See `Parent`."""
        self.events.append("silent")

    def died(self, status: int) -> None:
        """See `Parent`."""
        self.events.append(status)
        self.end.callback(status)


def the_reactor() -> Any:
    """The reactor that runs the tests."""
    from twisted.internet import reactor  # noqa: PLC0415

    return reactor


@pytest_twisted.ensureDeferred
async def test_all_that_it_wrote() -> None:
    """What it wrote before its end is told before its end, on both streams."""
    parent = RecordingParent()
    command = ["sh", "-c", "cat; head -c 60000 /dev/zero; echo oops >&2; exit 7"]
    child = spawn(the_reactor(), command, dict(os.environ), None, parent)
    child.write(b"hello ")
    child.write(b"world")
    child._input.finish()
    assert await parent.end == 7
    assert parent.heard == b"hello world" + bytes(60000)
    assert parent.complaints == b"oops\n"
    assert parent.events[-1] == 7
    await child.close(1.0)


@pytest_twisted.ensureDeferred
async def test_what_nobody_has_read_yet() -> None:
    """Its end is seen first, with all that it wrote still in the pipes: that is told before its end."""
    parent = RecordingParent()
    command = ["sh", "-c", "head -c 60000 /dev/zero; echo oops >&2; exit 7"]
    child = spawn(the_reactor(), command, dict(os.environ), None, parent)
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    child._look()
    assert parent.events == [7]
    assert parent.heard == bytes(60000)
    assert parent.complaints == b"oops\n"
    await child.close(1.0)


def test_what_never_ends() -> None:
    """Of a pipe that someone else fills for ever no more is read than a pipe can hold."""
    heard: list[bytes] = []
    output = Output(MemoryReactor(), os.fdopen(os.open("/dev/zero", os.O_RDONLY), "rb", 0), heard.append, lambda: None)
    output.drain()
    assert sum(map(len, heard)) == DRAINED
    assert output.fileno() == -1


@pytest_twisted.ensureDeferred
async def test_its_end_while_its_output_is_open() -> None:
    """Something else holds it open: the end is noticed all the same, and that something ends, too."""
    parent = RecordingParent()
    child = spawn(the_reactor(), ["sh", "-c", "sleep 600 & exit 5"], dict(os.environ), None, parent)
    assert await parent.end == 5
    assert group_lives(child.pid)
    await child.close(0.5)
    assert not group_lives(child.pid)


@pytest_twisted.ensureDeferred
async def test_a_grandchild_that_writes_for_ever() -> None:
    """It does not keep the end of its parent from being told."""
    parent = RecordingParent()
    child = spawn(the_reactor(), ["sh", "-c", "yes & exit 5"], dict(os.environ), None, parent)
    assert await parent.end == 5
    await child.close(0.5)
    assert not group_lives(child.pid)


@pytest_twisted.ensureDeferred
async def test_a_broken_input() -> None:
    """It closes its input and lives on: that is told once, when something is written; more writing does no harm."""
    parent = RecordingParent()
    child = spawn(the_reactor(), ["sh", "-c", "exec 0<&-; echo ready; sleep 600"], dict(os.environ), None, parent)
    while b"ready" not in parent.heard:
        await deferLater(the_reactor(), 0.01)
    for _ in range(3):
        child.write(b"hello\n")
        await deferLater(the_reactor(), 0.02)
    assert parent.events == ["silent"]
    await child.close(0.1)
    assert parent.events == ["silent", -15]


def test_a_lookout() -> None:
    """It looks until it is stopped, also when it is stopped by what it finds."""
    clock = Clock()
    looks: list[float] = []

    def look() -> None:
        looks.append(clock.seconds())
        if len(looks) == 3:
            lookout.stop()

    lookout = Lookout(clock, look)
    clock.pump([0.05] * 10)
    assert len(looks) == 3
    assert clock.getDelayedCalls() == []
    lookout.stop()


def test_groups() -> None:
    """A zombie is nobody, and neither is a group that there never was."""
    process = subprocess.Popen(["true"], start_new_session=True)
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    assert not group_lives(process.pid)
    process.wait()
    assert not group_lives(process.pid)
    assert group_lives(os.getpgid(0))


PROGRAM = """
import os, sys
{before}
from pathlib import Path
from twisted.internet import {reactor}
{reactor}.install()
from twisted.internet import reactor
from twisted.internet.defer import Deferred
from mcpserve.client.conversation import Outgoing
from mcpserve.client.limits import Timeouts
from mcpserve.client.stdio import open_stdio
from tests.client.setting import terms
from tests.client.talking import RecordingHost, response_of

async def main():
    conversation = await open_stdio(
        RecordingHost(), terms(reactor, timeouts=Timeouts(close=0.3)),
        [sys.executable, "-S", "tests/client/misbehaving.py", "stubborn", "parent"],
    )
    result = (await response_of(conversation.request(Outgoing(method="tools/call")))).result
    print(result["pid"], result["grandchild"], flush=True)
    {end}
    reactor.stop()

def begin():
    Deferred.fromCoroutine(main()).addErrback(lambda failure: (failure.printTraceback(), reactor.stop()))

reactor.callWhenRunning(begin)
reactor.run(installSignalHandlers={signals})
"""


CLOSE, UNTOLD = "await conversation.close()", "del os.pidfd_open"


@pytest.mark.parametrize(
    ("reactor", "signals", "end", "before"),
    [
        ("epollreactor", True, "pass", ""),
        ("epollreactor", False, CLOSE, ""),
        ("epollreactor", False, CLOSE, UNTOLD),
        ("selectreactor", False, "pass", UNTOLD),
        ("asyncioreactor", True, CLOSE, ""),
        ("asyncioreactor", False, "pass", ""),
    ],
)
def test_every_reactor(reactor: str, signals: bool, end: str, before: str) -> None:
    """With and without its signal handlers, closed or only stopped, told of ends or not: no process is left."""
    program = PROGRAM.format(reactor=reactor, signals=signals, end=end, before=before)
    ran = subprocess.run(
        [sys.executable, "-W", "error", "-c", program], cwd=ROOT, capture_output=True, text=True, timeout=60
    )
    assert ran.returncode == 0, ran.stderr
    assert ran.stderr == ""
    pids = [int(word) for word in ran.stdout.split()]
    assert len(pids) == 2
    for pid in pids:
        assert not Path(f"/proc/{pid}").exists() or b") Z " in Path(f"/proc/{pid}/stat").read_bytes()


def test_nothing_is_imported_for_it() -> None:
    """The reactor is handed in: no module of the client's children imports one."""
    for module in (children, sys.modules["mcpserve.client.pipes"], sys.modules["mcpserve.client.stdio"]):
        assert "import reactor" not in Path(str(module.__file__)).read_text()
