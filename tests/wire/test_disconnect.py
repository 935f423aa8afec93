"""The disconnect policy, row by row: what becomes of a call whose response can no longer reach its client."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from mcpserve import Call, Stream, tool
from mcpserve.legacy.session import SessionLimits
from mcpserve.legacy.streams import ResumeLimits
from tests.wire.http import Peer
from tests.wire.server import LATEST_LEGACY, LEGACY, Limits, Server
from tests.wire.tools import Witness, echo

JSON_ONLY = {"Accept": "application/json"}
EVENTS_ONLY = {"Accept": "text/event-stream"}


@pytest.fixture
def witness() -> Witness:
    """What notes what befalls the tools."""
    return Witness()


@pytest.fixture
def server(witness: Witness) -> Server:
    """A server with the tools of the witness."""
    return Server(echo, *witness.tools())


def seconds_pass_in_silence(server: Server, peer: Peer) -> None:
    """Nothing is written to the dead connection, and nothing is logged as an error (conftest sees to that)."""
    writes = len(peer.writes)
    server.seconds(130)
    assert len(peer.writes) == writes


# --- modern: cancelled at once


@pytest.mark.parametrize("accept", [{}, JSON_ONLY, EVENTS_ONLY])
@pytest.mark.parametrize("after", [0, 3, 20])
def test_modern_coroutine(server: Server, witness: Witness, accept: Any, after: int) -> None:
    """A coroutine is cancelled in the turn in which the loss is reported, streaming or silent, JSON or events."""
    peer = server.call("wait", {"progress": True, "every": True}, token=1, headers=accept)
    server.seconds(after)
    assert witness.ticks == after
    peer.drop()
    assert witness.told == ["on_cancel", "finally"]
    assert server.leftovers() == []
    seconds_pass_in_silence(server, peer)
    assert witness.ticks == after


@pytest.mark.parametrize("after", [0, 3, 20])
def test_modern_stream(server: Server, witness: Witness, after: int) -> None:
    """A tool that took the response over: its timers stop in the same turn, its producer is told to stop, once."""
    peer = server.call("take", token=1)
    server.seconds(after)
    assert witness.ticks == after
    peer.drop()
    assert sorted(witness.told) == ["on_cancel", "stop"]
    assert witness.stream is not None
    assert witness.stream.closed
    assert server.leftovers() == []
    seconds_pass_in_silence(server, peer)
    assert (witness.ticks, len(witness.told)) == (after, 2)


def test_modern_paused_stream(server: Server, witness: Witness) -> None:
    """Also when the reader was behind."""
    peer = server.call("take", token=1)
    peer.stall()
    server.seconds(29)
    assert witness.told == ["pause"]
    peer.drop()
    assert sorted(witness.told[1:]) == ["on_cancel", "stop"]
    assert server.leftovers() == []


def test_modern_awaiting_a_stalled_reader(server: Server, witness: Witness) -> None:
    """A coroutine that waits for the reader is cancelled where it waits."""
    peer = server.call("wait", {"progress": True}, token="t" * 900)
    peer.stall()
    server.seconds(5)
    peer.drop()
    assert witness.told == ["on_cancel", "finally"]
    assert server.leftovers() == []


def test_modern_says_goodbye_in_vain() -> None:
    """What a cancelled tool still says goes nowhere."""
    said: list[str] = []

    @tool
    async def talk(call: Call) -> str:
        """Talk to the last."""
        call.on_cancel(lambda: call.progress(2, message="cancelled"))
        try:
            await call.progress(1)
            await call.sleep(10)
        finally:
            await call.progress(3, message="finally")
            await call.log("error", "finally")
            said.append("finally")
        return "late"

    server = Server(talk)
    peer = server.call("talk", token=1)
    writes = len(peer.writes)
    peer.drop()
    assert said == ["finally"]
    assert len(peer.writes) == writes
    server.turn()
    assert server.leftovers() == []


def test_modern_a_tool_that_will_not_die() -> None:
    """A coroutine that swallows its cancelling is heard no more, and its timers do not start again."""
    alive: list[int] = []

    @tool
    async def cling(call: Call) -> str:
        """Go on."""
        for number in range(3):
            try:
                await call.sleep(1)
            except BaseException:
                alive.append(number)
        return "still here"

    server = Server(cling)
    peer = server.call("cling")
    peer.drop()
    seconds_pass_in_silence(server, peer)
    assert alive
    assert server.leftovers() == []


def test_modern_an_on_cancel_that_fails(flush_logged_errors: Callable[..., list[Any]]) -> None:
    """One that fails does not keep the others from being told."""
    told: list[str] = []

    @tool
    def wait(stream: Stream) -> None:
        """Wait."""
        stream.on_cancel(lambda: 1 // 0)
        stream.on_cancel(lambda: told.append("told"))

    server = Server(wait)
    server.call("wait").drop()
    assert told == ["told"]
    assert server.leftovers() == []
    assert len(flush_logged_errors(ZeroDivisionError)) == 1


# --- legacy, nothing to resume: cancelled at once


@pytest.mark.parametrize("version", LEGACY)
@pytest.mark.parametrize("accept", [{}, JSON_ONLY, EVENTS_ONLY])
@pytest.mark.parametrize("name", ["wait", "take"])
def test_legacy_without_event_ids(server: Server, witness: Witness, version: str, accept: Any, name: str) -> None:
    """Before the stream has opened there is nothing to come back with."""
    session = server.session(version)
    peer = session.call(name, token=1, headers=accept)
    peer.drop()
    assert sorted(witness.told) == (["finally", "on_cancel"] if name == "wait" else ["on_cancel", "stop"])
    session.delete()
    assert server.leftovers() == []
    seconds_pass_in_silence(server, peer)


# --- legacy, a resumable stream: goes on until the grace time has passed


@pytest.mark.parametrize("version", LEGACY)
def test_legacy_resumable(server: Server, witness: Witness, version: str) -> None:
    """The call goes on for as long as its client may come back, then it is cancelled."""
    session = server.session(version)
    peer = session.call("take", token=1)
    server.seconds(3)
    peer.drop()
    assert witness.told == []
    server.seconds(29)
    assert (witness.told, witness.ticks) == ([], 32)
    server.seconds(1)
    assert sorted(witness.told) == ["on_cancel", "stop"]
    session.delete()
    assert server.leftovers() == []
    seconds_pass_in_silence(server, peer)


def test_legacy_without_grace(witness: Witness) -> None:
    """An operator who wants no waiting has the call cancelled in the same turn, as in 2026-07-28."""
    limits = Limits(sessions=SessionLimits(resume=ResumeLimits(grace=0)))
    session = Server(echo, *witness.tools(), limits=limits).session()
    peer = session.call("take", token=1)
    session.server.seconds(3)
    peer.drop()
    assert sorted(witness.told) == ["on_cancel", "stop"]
    session.delete()
    assert session.server.leftovers() == []


def test_legacy_lost_again(server: Server, witness: Witness) -> None:
    """Each time that the client comes back it has the whole grace time again."""
    session = server.session()
    peer = session.call("take", token=1)
    server.seconds(2)
    for _ in range(3):
        peer.drop()
        server.seconds(25)
        peer = session.get([event.id for event in peer.events if event.id][-1])
        assert peer.status == 200
    assert witness.told == []
    peer.drop()
    server.seconds(31)
    assert sorted(witness.told) == ["on_cancel", "stop"]


def test_legacy_a_paused_producer_goes_on_unheard(server: Server, witness: Witness) -> None:
    """A reader that was behind and is lost keeps nobody waiting: what is said is kept for it."""
    session = server.session()
    peer = session.call("take", token=1)
    peer.stall()
    server.seconds(20)
    assert witness.told == ["pause"]
    peer.drop()
    assert witness.told == ["pause", "resume"]


# --- on_disconnect="finish"


@pytest.mark.parametrize("accept", [{}, JSON_ONLY])
@pytest.mark.parametrize("progress", [False, True])
def test_finish_modern(server: Server, witness: Witness, accept: Any, progress: bool) -> None:
    """It completes once; nothing is written to the dead connection."""
    peer = server.call("finish", {"progress": progress}, token=1, headers=accept)
    server.seconds(2)
    peer.drop()
    assert witness.told == []
    seconds_pass_in_silence(server, peer)
    assert witness.told == ["done"]
    assert server.leftovers() == []


def test_finish_while_the_reader_is_behind(server: Server, witness: Witness) -> None:
    """It waits for the reader as long as there is one, not for a dead one."""
    peer = server.call("finish", {"progress": True}, token="t" * 2000)
    peer.stall()
    server.seconds(3)
    peer.drop()
    server.seconds(5)
    assert witness.told == ["done"]
    assert server.leftovers() == []


@pytest.mark.parametrize("progress", [False, True])
def test_finish_legacy(server: Server, witness: Witness, progress: bool) -> None:
    """It completes, and what can be resumed is kept for its client."""
    session = server.session()
    peer = session.call("finish", {"progress": progress}, token=1)
    server.seconds(1)
    peer.drop()
    server.seconds(10)
    assert witness.told == ["done"]
    if progress:
        again = session.get(peer.events[0].id)
        assert again.messages[-1]["result"]["content"][0]["text"] == "finished"
    session.delete()
    assert server.leftovers() == []


# --- what is not a disconnect


@pytest.mark.parametrize("era", ["modern", LATEST_LEGACY])
@pytest.mark.parametrize("name", ["wait", "take"])
def test_half_close(server: Server, witness: Witness, era: str, name: str) -> None:
    """A client that shuts down only its sending half gets all that it asked for."""
    asked = server if era == "modern" else server.session(era)
    peer = asked.call(name, {"seconds": 60.5} if name == "take" else {"progress": True}, token=1)  # type: ignore[attr-defined]
    peer.half_close()
    server.seconds(70)
    assert peer.result["content"][0]["text"] in ("waited", "taken")
    assert len(peer.messages) > 50
    assert "on_cancel" not in witness.told


def test_half_close_json_only(server: Server, witness: Witness) -> None:
    """Also where nothing can be written to see whether the client is still there."""
    peer = server.call("wait", headers=JSON_ONLY)
    peer.half_close()
    server.seconds(65)
    assert peer.result["content"][0]["text"] == "waited"


def test_half_close_then_gone(server: Server, witness: Witness) -> None:
    """The loss that follows counts."""
    peer = server.call("wait")
    peer.half_close()
    server.seconds(1)
    assert witness.told == []
    peer.drop()
    assert witness.told == ["on_cancel", "finally"]
    assert server.leftovers() == []


def test_half_close_with_the_request(server: Server) -> None:
    """An EOF right behind a quick request does not lose its answer."""
    peer = server.call("echo", {"text": "hi"})
    peer.half_close()
    assert peer.result["content"][0]["text"] == "hi"


# --- the others


def test_one_lost_client_is_nobody_elses_business(server: Server, witness: Witness) -> None:
    """Other calls of the same tool go on."""
    peers = [server.call("take", {"seconds": 5.5}, token=1) for _ in range(3)]
    server.seconds(2)
    peers[1].drop()
    server.seconds(4)
    assert [peer.complete for peer in peers] == [True, False, True]
    assert server.leftovers() == []


@pytest.mark.parametrize("era", ["modern", LATEST_LEGACY])
def test_many_cycles(server: Server, witness: Witness, era: str) -> None:
    """A hundred clients that come and go leave nothing."""
    for _ in range(100):
        asked = server if era == "modern" else server.session(era)
        peer = asked.call("wait", {"progress": True}, token=1)  # type: ignore[attr-defined]
        server.turn()
        peer.drop()
        if asked is not server:
            asked.delete()  # type: ignore[union-attr]
    assert witness.told.count("finally") == 100
    assert server.leftovers() == []
    assert not server.site.connections or era != "modern"
