"""Streams whose connection the server closes before they have ended, and that the client polls (SEP-1699)."""

from __future__ import annotations

from pathlib import Path

import pytest

from mcpserve import Call, ToolError, tool
from mcpserve.legacy.session import SessionLimits
from mcpserve.legacy.streams import ResumeLimits
from tests.wire.http import Event, Peer
from tests.wire.server import LEGACY, Limits
from tests.wire.stored import Kept
from tests.wire.tools import polled

OLDER = [version for version in LEGACY if version != "2025-11-25"]

KEPT = Kept()


@pytest.fixture(autouse=True, params=["memory", "sqlite"])
def kept(request: pytest.FixtureRequest, tmp_path: Path) -> None:
    """All of this holds whether or not streams are written down."""
    KEPT.path = tmp_path if request.param == "sqlite" else None


def values(peer: Peer) -> list[float]:
    """The progress that has arrived."""
    return [message["params"]["progress"] for message in peer.messages if "method" in message]


def text(peer: Peer) -> str:
    """The text of the result."""
    assert peer.complete
    return str(peer.messages[-1]["result"]["content"][0]["text"])


def cursor(peer: Peer) -> str:
    """The last event id."""
    return [event.id for event in peer.events if event.id][-1]


def test_F21_retry_before_an_early_close() -> None:
    """The connection ends in order after all that was said, with the time to come back as its last words."""
    server = KEPT.server(polled)
    session = server.session()
    peer = session.call("polled", {"retry_ms": 250}, token=1)
    server.seconds(2)
    assert peer.complete
    assert values(peer) == [1, 2]
    assert peer.events[-1] == Event(retry=250)
    again = session.get(cursor(peer))
    server.seconds(2)
    assert values(again) == [3, 4]
    assert text(again) == "polled"


def test_the_usual_time_to_come_back() -> None:
    """It is the one of the priming event."""
    server = KEPT.server(polled)
    peer = server.session().call("polled", token=1)
    server.seconds(2)
    assert peer.events[-1].retry == peer.events[0].retry == 1000


def test_closed_before_anything_was_said() -> None:
    """The client gets an id first: a stream that it can't come back to is not closed."""
    server = KEPT.server(polled)
    session = server.session()
    peer = session.call("polled", {"closes": [0]}, token=1)
    server.turn()
    assert peer.complete
    assert [(event.data, event.retry) for event in peer.events] == [("", 1000), (None, 1000)]
    server.seconds(10)
    again = session.get(cursor(peer))
    assert (values(again), text(again)) == ([1, 2, 3, 4], "polled")


def test_polled_many_times() -> None:
    """The server may close each connection that the client comes back with."""
    server = KEPT.server(polled)
    session = server.session()
    peer = session.call("polled", {"closes": [1, 2, 3]}, token=1)
    got: list[float] = []
    for _ in range(3):
        server.seconds(1)
        assert peer.complete
        got += values(peer)
        peer = session.get(cursor(peer))
    server.seconds(1)
    assert [*got, *values(peer)] == [1, 2, 3, 4]
    assert text(peer) == "polled"


def test_closed_while_nobody_is_there() -> None:
    """There is nothing to close."""
    server = KEPT.server(polled)
    session = server.session()
    peer = session.call("polled", {"closes": [1, 2, 3]}, token=1)
    server.seconds(5)
    again = session.get(cursor(peer))
    assert (values(again), text(again)) == ([2, 3, 4], "polled")


def test_the_grace_time_begins_when_the_client_may_come_back() -> None:
    """A client that does as it is told is not too late."""
    server = KEPT.server(polled)
    session = server.session()
    wait = 100_000
    late, punctual = [session.call("polled", {"retry_ms": wait, "number": 200}, token=id, id=id) for id in (1, 2)]
    server.seconds(2 + 100 + 29)
    assert len(server.calls.running) == 2
    assert len(values(session.get(cursor(punctual)))) == 129
    server.seconds(2)
    assert len(server.calls.running) == 1
    assert session.get(cursor(late)).status == 400


@pytest.mark.parametrize("version", OLDER)
def test_older_clients(version: str) -> None:
    """They don't expect it: "the server SHOULD NOT close the SSE stream before sending the JSON-RPC response"."""
    server = KEPT.server(polled)
    peer = server.session(version).call("polled", token=1)
    server.seconds(4)
    assert (values(peer), text(peer)) == ([1, 2, 3, 4], "polled")
    assert all(event.retry is None for event in peer.events)


def test_where_nothing_can_be_resumed() -> None:
    """A client of 2026-07-28, one that takes JSON only, a batch: they get their results as if nothing was said."""
    server = KEPT.server(polled)
    modern = server.call("polled", {"closes": [0, 2]}, token=1)
    plain = server.session().call("polled", {"closes": [0]}, headers={"Accept": "application/json"})
    call = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "polled", "arguments": {}}}
    batch = server.session("2025-03-26").post([call])
    server.seconds(4)
    assert (values(modern), text(modern)) == ([1, 2, 3, 4], "polled")
    assert plain.result["content"][0]["text"] == "polled"
    assert batch.json[0]["result"]["content"][0]["text"] == "polled"


def test_a_reader_that_is_behind() -> None:
    """What it has not read goes out on the next connection; the tool does not wait for the old one."""
    server = KEPT.server(_closing_when_behind())
    session = server.session()
    peer = session.call("closing", token=1)
    server.seconds(1)
    peer.stall()
    server.seconds(10)
    again = session.get("1-1")
    server.seconds(10)
    assert values(again) == [2, 3, 4, 5, 6, 7, 8]
    assert text(again) == "through"


def _closing_when_behind() -> object:
    @tool
    async def closing(call: Call) -> str:
        """Say much, and close the stream of whoever does not read it."""
        for step in range(1, 9):
            await call.sleep(1.0)
            call.progress(step, message="." * 600)
            if call.paused:
                await call.close_stream()
        return "through"

    return closing


@tool
async def hasty(call: Call) -> str:
    """Say several things at once, and close the stream."""
    call.progress(1, message="." * 600)
    await call.sleep(1.0)
    for value in (2, 3):
        call.progress(value, message="." * 600)
    await call.close_stream()
    await call.sleep(1.0)
    return "read"


@tool
async def patient(call: Call) -> str:
    """Close the stream of whoever has not read for a second, and then wait until there is room for more."""
    call.progress(1, message="." * 600)
    await call.sleep(1.0)
    for value in (2, 3):
        call.progress(value, message="." * 600)
    await call.sleep(1.0)
    for value in (4, 5):
        call.progress(value, message="." * 600)
    await call.close_stream()
    await call.sleep(1.0)
    await call.progress(6)
    return "said"


def test_what_was_said_just_before() -> None:
    """A reader that keeps up gets all of it before the connection is closed."""
    server = KEPT.server(hasty)
    session = server.session()
    peer = session.call("hasty", token=1)
    server.seconds(1)
    server.turn()
    assert peer.complete
    assert values(peer) == [1, 2, 3]
    server.seconds(1)
    assert text(session.get(cursor(peer))) == "read"


def test_a_reader_that_is_behind_gets_the_rest_elsewhere() -> None:
    """A message is sent on one connection only; and a tool that waits for this reader waits no longer."""
    server = KEPT.server(patient)
    session = server.session()
    peer = session.call("patient", token=1)
    server.turn()
    peer.stall()
    server.seconds(5)
    again = session.get("1-3")
    assert (values(again), text(again)) == ([4, 5, 6], "said")
    peer.read_on()
    assert peer.complete
    assert values(peer) == [1, 2, 3]


@pytest.mark.parametrize("wrong", [-1, 1.5, "1", True])
def test_what_is_no_time(wrong: object) -> None:
    """The author is told."""

    @tool
    async def closes(call: Call) -> None:
        """Close it."""
        try:
            call.close_stream(wrong)  # type: ignore[arg-type]
        except ValueError as error:
            raise ToolError(str(error)) from None

    result = KEPT.server(closes).session().call("closes").result
    assert "retry_ms is a whole number" in result["content"][0]["text"]


def test_after_the_end() -> None:
    """Nothing happens."""
    calls: list[Call] = []

    @tool
    async def ended(call: Call) -> str:
        """End at once."""
        calls.append(call)
        await call.progress(1, message="one")
        return "over"

    server = KEPT.server(ended)
    session = server.session()
    peer = session.call("ended", token=1)
    server.turn()
    calls[0].close_stream()
    assert text(peer) == "over"
    assert peer.events[-1].retry is None
    assert session.get(cursor(peer)).events == [], "it was read to its end: no id that calls the client back"


def test_what_is_left() -> None:
    """Nothing, in the end."""
    server = KEPT.server(polled, limits=Limits(sessions=SessionLimits(resume=ResumeLimits(grace=5.0))))
    session = server.session()
    peer = session.call("polled", token=1)
    server.seconds(3)
    session.get(cursor(peer))
    server.seconds(10)
    session.delete()
    server.turn()
    assert server.leftovers() == []
