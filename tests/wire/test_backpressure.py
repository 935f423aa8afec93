"""A reader that is slow or stops: the pause reaches the tool, memory is bounded, nothing is lost but bare numbers."""

from __future__ import annotations

from typing import Any

import pytest

from mcpserve import Call, Stream, tool
from mcpserve.web.response import StreamLimits
from mcpserve.web.site import HttpLimits
from tests.wire.http import Peer
from tests.wire.server import LATEST_LEGACY, Limits, Server
from tests.wire.tools import Witness, burst, echo, silent, steps

ERAS = ["modern", "2025-06-18", LATEST_LEGACY]


def ask(server: Server, era: str) -> Any:
    """Who calls tools in this era."""
    return server if era == "modern" else server.session(era)


def slow(server: Server, buffer: int = 1024) -> Peer:
    """A client that has stopped reading before anything was sent."""
    peer = server.connect(buffer)
    peer.stall()
    return peer


def progress(peer: Peer) -> list[dict[str, Any]]:
    """The params of the progress that has arrived."""
    return [message["params"] for message in peer.messages if message.get("method") == "notifications/progress"]


@tool
async def count(call: Call, number: int = 1000, every: int = 0) -> str:
    """Report bare numbers, all in one turn; every so many with a message."""
    for step in range(1, number + 1):
        call.progress(step, number, f"message {step}" if every and step % every == 0 else None)
    await call.sleep(1)
    return "counted"


@tool
def flood(stream: Stream, size: int = 10_000, interval: float = 0.01) -> None:
    """Say much, and wait for nobody."""
    stream.every(interval, lambda: stream.write("x" * size))


# --- the pause reaches the tool


@pytest.mark.parametrize("era", ERAS)
def test_a_producer_is_paused_and_resumed(era: str) -> None:
    """Once each, when the reader falls behind and when it has caught up."""
    witness = Witness()
    server = Server(*witness.tools())
    peer = ask(server, era).call("take", {"seconds": 20.5}, token=1, peer=slow(server))
    server.seconds(4)
    assert witness.told == []
    server.seconds(9)
    assert witness.told == ["pause"]
    assert witness.stream is not None
    assert witness.stream.paused
    peer.read_on()
    assert witness.told == ["pause", "resume"]
    server.seconds(10)
    assert witness.told == ["pause", "resume", "stop"]
    assert [params["message"] for params in progress(peer)] == [f"tick {n}" for n in range(1, 21)]
    assert peer.result["content"][0]["text"] == "taken"


@pytest.mark.parametrize("era", ERAS)
def test_a_tool_that_awaits_waits(era: str) -> None:
    """It gets no further than the reader lets it, and then to its end."""
    server = Server(steps)
    peer = ask(server, era).call("steps", {"number": 20, "size": 500}, token=1, peer=slow(server))
    server.seconds(25)
    assert len(server.calls.running) == 1
    assert peer.unread < 3000
    peer.read_on()
    server.seconds(20)
    assert [params["progress"] for params in progress(peer)] == list(range(1, 21))
    assert peer.result["content"][0]["text"] == "done"


def test_pause_and_resume_many_times() -> None:
    """Each time anew."""
    witness = Witness()
    server = Server(*witness.tools())
    peer = server.call("take", {"interval": 0.1}, token=1)
    for _ in range(3):
        peer.stall()
        server.seconds(3, 0.1)
        peer.read_on()
        server.seconds(1, 0.1)
    assert witness.told == ["pause", "resume"] * 3
    values = [params["progress"] for params in progress(peer)]
    assert values == list(range(1, witness.ticks + 1))
    peer.drop()


# --- what waits


@pytest.mark.parametrize("era", ERAS)
def test_messages_are_never_lost(era: str) -> None:
    """Messages are content: all arrive, in order, however long they had to wait."""
    server = Server(burst)
    peer = ask(server, era).call("burst", {"number": 2000, "size": 50}, token=1, peer=slow(server))
    server.turn()
    peer.read_on()
    server.turn()
    assert [params["message"].rstrip(".") for params in progress(peer)] == [f"step {n}" for n in range(1, 2001)]
    assert peer.result["content"][0]["text"] == "done"


@pytest.mark.parametrize("era", ERAS)
def test_bare_numbers_are_replaced(era: str) -> None:
    """A number that waits gives way to a newer one; the last one arrives, and all that come with a message."""
    server = Server(count)
    peer = ask(server, era).call("count", {"number": 20_000, "every": 2_000}, token=1, peer=slow(server))
    server.turn()
    assert len(server.calls.running) == 1, "it did not pass the bound"
    peer.read_on()
    server.seconds(1)
    arrived = progress(peer)
    values = [params["progress"] for params in arrived]
    assert values == sorted(set(values))
    assert values[-1] == 20_000
    assert len(values) < 2000
    assert [params["message"] for params in arrived if "message" in params] == [
        f"message {n}" for n in range(2_000, 20_001, 2_000)
    ]
    assert peer.result["content"][0]["text"] == "counted"


def test_no_number_is_replaced_for_a_reader_that_keeps_up() -> None:
    """Only what waits for a slow reader can be replaced."""
    server = Server(count)
    peer = server.call("count", {"number": 3000}, token=1)
    server.seconds(1)
    assert [params["progress"] for params in progress(peer)] == list(range(1, 3001))


def test_a_burst_costs_few_writes() -> None:
    """The first event leaves at once, what follows in the turn leaves together."""
    server = Server(steps, burst)
    peer = server.call("burst", {"number": 100}, token=1)
    assert len(peer.writes) == 2
    server.turn()
    assert (len(peer.writes), len(progress(peer))) == (2, 100)


def test_a_single_event_leaves_at_once() -> None:
    """Not at the end of the turn."""
    witness = Witness()
    server = Server(*witness.tools())
    peer = server.call("wait", {"progress": True}, token=1)
    assert [params["message"] for params in progress(peer)] == ["second 0"]
    peer.drop()


@pytest.mark.parametrize("era", ERAS)
def test_the_result_is_whole(era: str) -> None:
    """A large result reaches a slow reader as it is, behind all that was said before."""
    server = Server(echo, burst)
    text = "é" * 300_000
    peer = ask(server, era).call("echo", {"text": text}, peer=slow(server))
    assert not peer.answered
    peer.read_on()
    assert peer.result["content"][0]["text"] == text


@pytest.mark.parametrize("era", ERAS)
def test_the_result_of_a_tool_that_did_not_wait(era: str) -> None:
    """The end comes while the reader is behind: what waits and the result leave with it."""
    server = Server(count)
    peer = ask(server, era).call("count", {"number": 500, "every": 5}, token=1, peer=slow(server))
    server.seconds(2)
    assert not server.calls.running
    peer.read_on()
    assert [params["progress"] for params in progress(peer) if "message" in params] == list(range(5, 501, 5))
    assert peer.result["content"][0]["text"] == "counted"


# --- past the bound


def bounded(*tools: Any, buffer: int = 50_000, **stream: float) -> Server:
    """A server that keeps this much for a slow reader."""
    return Server(*tools, limits=Limits(stream=StreamLimits(buffer=buffer, **stream)))


def test_a_tool_that_ignores_the_reader_overruns() -> None:
    """Memory is bounded: past the bound the call ends and its connection is cut."""
    server = bounded(flood)
    peer = server.call("flood", token=1, peer=slow(server))
    server.seconds(0.2, 0.01)
    assert server.leftovers() == []
    assert peer.ended == ["aborted"]
    assert peer.unread < 20_000


def test_only_that_call_ends() -> None:
    """Others that are behind, and others of the same tool, go on."""
    witness = Witness()
    server = bounded(flood, *witness.tools())
    bad = server.call("flood", token=1, peer=slow(server))
    good = server.call("flood", {"interval": 1.0}, token=1)
    behind = server.call("take", {"seconds": 20.5}, token=1, peer=slow(server))
    server.seconds(15)
    assert bad.ended
    assert not good.ended
    assert len(progress(good)) >= 14
    behind.read_on()
    server.seconds(6)
    assert behind.result["content"][0]["text"] == "taken"
    good.drop()


def test_overrun_stops_all_that_belongs_to_the_call() -> None:
    """As a lost client does."""
    witness = Witness()
    server = bounded(*witness.tools(), buffer=2000)
    server.call("take", {"interval": 0.1}, token=1, peer=slow(server))
    server.seconds(10, 0.1)
    assert sorted(witness.told) == ["on_cancel", "pause", "stop"]
    assert server.leftovers() == []


def test_overrun_within_one_turn() -> None:
    """A tool that says more than the bound without a pause is cut in the middle of it."""
    server = bounded(burst)
    peer = server.call("burst", {"number": 5000}, token=1, peer=slow(server))
    server.turn()
    assert peer.ended == ["aborted"]
    assert server.leftovers() == []


def test_overrun_in_a_session_is_a_lost_connection() -> None:
    """What was said is kept as far as it is kept for anybody, and the session goes on."""
    server = bounded(flood, echo, buffer=50_000)
    session = server.session()
    peer = session.call("flood", {"interval": 0.1}, token=1, peer=slow(server))
    server.seconds(2, 0.1)
    assert peer.ended == ["aborted"]
    assert len(server.calls.running) == 1
    assert session.call("echo", {"text": "x"}, id=2).result["content"][0]["text"] == "x"
    server.seconds(31)
    assert not server.calls.running


def test_a_reader_that_stops_for_good() -> None:
    """A reader that is behind has so long to catch up; then its call ends, though the tool waits patiently."""
    server = Server(steps, limits=Limits(http=HttpLimits(write_stall=10.0)))
    peer = server.call("steps", {"number": 100, "size": 2000}, token=1, peer=slow(server))
    server.seconds(8)
    assert len(server.calls.running) == 1
    server.seconds(6)
    assert peer.ended == ["aborted"]
    assert server.leftovers() == []


def test_a_result_that_nobody_reads() -> None:
    """Also after the end of the call the connection does not stay for ever."""
    server = Server(echo, limits=Limits(http=HttpLimits(write_stall=10.0)))
    peer = server.call("echo", {"text": "x" * 20_000}, peer=slow(server))
    server.seconds(13)
    assert peer.ended == ["aborted"]
    assert not server.site.connections


# --- keep-alive


@pytest.mark.parametrize("era", ERAS)
def test_comments_only_in_silence(era: str) -> None:
    """A stream that talks needs none."""
    server = bounded(steps, keep_alive=5.0)
    peer = ask(server, era).call("steps", {"number": 20, "seconds": 2.0}, token=1)
    server.seconds(39)
    assert peer.comments == 0
    peer.drop()


def test_comments_begin_after_the_last_word() -> None:
    """Silence is counted from what was sent last."""
    witness = Witness()
    server = bounded(silent, *witness.tools(), keep_alive=5.0)
    peer = server.call("take", {"interval": 12.0}, token=1)
    server.seconds(11)
    assert peer.comments == 2
    server.seconds(12)
    assert (len(progress(peer)), peer.comments) == (1, 4)
    peer.drop()


def test_no_comments_for_a_reader_that_is_behind() -> None:
    """There is no need to add to what it has not read."""
    server = bounded(steps, keep_alive=5.0)
    peer = server.call("steps", {"number": 2, "size": 2000}, token=1, peer=slow(server))
    server.seconds(1)
    unread = peer.unread
    server.seconds(25)
    assert peer.unread == unread
    peer.drop()


def test_json_only_clients_get_no_comments() -> None:
    """There is nowhere to put them."""
    server = Server(silent)
    peer = server.call("silent", headers={"Accept": "application/json"})
    server.seconds(59)
    assert not peer.answered
    server.seconds(2)
    assert peer.json["result"]["content"][0]["text"] == "awake"
