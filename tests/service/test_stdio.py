"""The process behind stdio, in this process: in which order it ends, on a clock of the test's own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from twisted.internet.testing import MemoryReactorClock

from mcpserve.service.plugins import load
from mcpserve.service.settings import Settings
from mcpserve.service.stdio import LineServer
from tests.wire.pipes import Client

PLUGIN = """
from mcpserve import Call, tool

@tool
async def wait(call: Call, seconds: float = 1) -> str:
    "Wait."
    await call.sleep(seconds)
    return "x" * 2000
"""
LISTEN = {"notifications": {"toolsListChanged": True}}


class Process:
    """What would be a process, and its client."""

    def __init__(self, folder: Path, **settings: Any) -> None:
        (folder / "plugin.py").write_text(PLUGIN)
        self.reactor = MemoryReactorClock()
        given = {"plugins": (str(folder),), "shipped": False, "drain": 2.0, "write_stall": 5.0, **settings}
        self.settings = Settings(**given)
        self.server = LineServer(self.reactor, self.settings, load(self.settings))
        self.server.start()
        self.client = Client(self.server.protocol)
        self.over: list[object] = []
        self.server.over.addCallback(self.over.append)

    def advance(self, seconds: float) -> None:
        """Let time pass in small steps."""
        self.reactor.pump([0.02] * round(seconds / 0.02))


@pytest.fixture
def process(tmp_path: Path) -> Process:
    """One that drains for two seconds, and writes for five more at the most."""
    return Process(tmp_path)


def test_end_of_input_with_nothing_to_do(process: Process) -> None:
    """It is over at once."""
    process.client.close_input()
    process.advance(0.02)
    assert process.over == [None]
    assert process.client.closed


def test_end_of_input_lets_calls_end(process: Process) -> None:
    """What ends in time is answered, and the process does not wait for longer."""
    process.client.call("wait", {"seconds": 1})
    process.client.close_input()
    process.advance(0.9)
    assert process.over == []
    process.advance(0.2)
    assert "result" in process.client.reply()
    assert process.over == [None]


def test_end_of_input_cancels_what_takes_longer(process: Process) -> None:
    """After `drain` seconds, with an error as the answer."""
    process.client.call("wait", {"seconds": 60})
    process.client.close_input()
    process.advance(2.1)
    assert "shutting down" in process.client.reply()["error"]["message"]
    assert process.over == [None]
    assert process.reactor.getDelayedCalls() == []


def test_listen_streams_end_at_once(process: Process) -> None:
    """With their result, and nobody waits for them."""
    process.client.modern("subscriptions/listen", LISTEN)
    process.client.close_input()
    process.advance(0.1)
    assert "result" in process.client.reply()
    assert process.client.messages[-1]["method"] == "notifications/cancelled"
    assert process.over == [None]


def test_a_signal(process: Process) -> None:
    """It is the same as the end of input; what comes after it is not taken."""
    process.client.call("wait", {"seconds": 1}, id=1)
    process.server.stop_or_hurry()
    process.client.call("wait", {"seconds": 1}, id=2)
    process.client.close_input()
    process.advance(1.1)
    assert [message["id"] for message in process.client.messages] == [1]
    assert process.over == [None]


@pytest.mark.parametrize("first", ["input", "signal"])
def test_a_signal_more(process: Process, first: str) -> None:
    """What runs is cancelled at once."""
    process.client.call("wait", {"seconds": 60})
    if first == "input":
        process.client.close_input()
    else:
        process.server.stop_or_hurry()
    process.advance(0.5)
    process.server.stop_or_hurry()
    process.advance(0.1)
    assert "error" in process.client.reply()
    assert process.over == [None]


def test_nobody_reads_any_more(process: Process) -> None:
    """There is nothing to wait for."""
    process.client.call("wait", {"seconds": 60})
    process.client.close_output()
    process.advance(0.1)
    assert process.over == [None]


def test_a_slow_reader_gets_the_rest(process: Process) -> None:
    """It has `write_stall` seconds for it; then the process ends all the same."""
    process.client.stall()
    process.client.call("wait", {"seconds": 1})
    process.client.close_input()
    process.advance(4)
    assert process.over == []
    process.client.read_on()
    process.advance(0.1)
    assert "result" in process.client.reply()
    assert process.over == [None]


def test_a_reader_that_reads_no_more(process: Process) -> None:
    """It is not waited for without end, and hardly at all after one signal more."""
    process.client.stall()
    process.client.call("wait", {"seconds": 1})
    process.client.close_input()
    process.advance(5.9)
    assert process.over == []
    process.advance(0.2)
    assert process.over == [None]


def test_a_signal_while_the_rest_is_written(process: Process) -> None:
    """The last words have a tenth of a second then."""
    process.client.stall()
    process.client.call("wait", {"seconds": 1})
    process.client.close_input()
    process.advance(1.5)
    process.server.stop_or_hurry()
    process.advance(0.2)
    assert process.over == [None]


def test_the_settings_count(tmp_path: Path) -> None:
    """The longest line, what may wait, and the name of the server."""
    process = Process(tmp_path, body_limit=1024, stream_buffer=4096, name="named")
    process.client.put(b"x" * 1025 + b"\n")
    assert "1024 bytes" in process.client.without_id[0]["error"]["message"]
    assert process.client.initialize("2025-11-25")["result"]["serverInfo"]["name"] == "named"
    process.client.stall()
    for number in range(3):
        process.client.call("wait", {"seconds": 0}, id=number)
        process.advance(0.1)
    assert process.client.takes_input
    process.client.call("wait", {"seconds": 0}, id=3)
    process.advance(0.1)
    process.client.put(b"")
    assert process.server.protocol.outbox.full
    process.client.read_on()
    assert len(process.client.messages) == 6
    process.server.stop()
    process.advance(0.1)
