"""Table F of the wire: how sessions begin, live and end, and their standalone stream."""

from __future__ import annotations

from typing import Any

import pytest

from mcpserve.legacy.session import SessionLimits
from mcpserve.policy.callers import Caller
from mcpserve.protocol.jsonrpc import Batch, Message
from mcpserve.web.endpoint import LegacyFace
from mcpserve.web.facts import Facts
from mcpserve.web.request import McpRequest
from tests.wire.http import Peer
from tests.wire.server import LATEST_LEGACY, LEGACY, Limits, Server, Session, request
from tests.wire.tools import Witness, echo, silent, steps

MINUTE = 60.0


def assert_refused(peer: Peer, status: int) -> None:
    """The answer is -32600 without an id."""
    assert (peer.status, peer.error["code"], "id" in peer.json) == (status, -32600, False)


def limited(*tools: Any, **limits: Any) -> Server:
    """A server with limits on its sessions."""
    return Server(*tools, limits=Limits(sessions=SessionLimits(**limits)))


# --- their end


@pytest.mark.parametrize("id", ["no-such-session", "", "x" * 1000, "\xe9"])
def test_F6_unknown(id: str) -> None:
    """A session that is not there is 404, whatever is asked of it: the client begins another."""
    server = Server()
    headers = {"Mcp-Session-Id": id}
    assert_refused(server.post(request("ping"), headers), 404)
    assert_refused(server.post({"jsonrpc": "2.0", "method": "notifications/initialized"}, headers), 404)
    assert_refused(server.post([request("ping")], headers), 404)
    assert_refused(server.http("GET", headers), 404)
    assert_refused(server.http("DELETE", headers), 404)


def test_F6_deleted() -> None:
    """A deleted session is unknown."""
    session = Server().session()
    assert session.delete().status == 204
    assert_refused(session.ask("ping"), 404)
    assert_refused(session.get(), 404)
    assert_refused(session.delete(), 404)


def test_F6_expired_after_half_an_hour() -> None:
    """A session that nobody uses ends; one that is used at all goes on."""
    server = Server()
    used, unused = server.session(), server.session()
    server.seconds(29 * MINUTE, 30)
    assert used.ask("ping").status == 200
    server.seconds(2 * MINUTE, 30)
    assert used.ask("ping").status == 200
    assert_refused(unused.ask("ping"), 404)


def test_an_expired_session_leaves_nothing() -> None:
    """It goes without anybody asking for it, and so does its sweep."""
    server = Server()
    server.session()
    server.seconds(32 * MINUTE, 30)
    assert len(server.sessions) == 0
    assert server.leftovers() == []


def test_a_session_in_use_does_not_expire() -> None:
    """An open stream or a running call is use."""
    server = limited(silent, idle=10.0)
    listening, calling = server.session(), server.session()
    stream, call = listening.get(), calling.call("silent", {"seconds": 100.0})
    server.seconds(60)
    assert len(server.sessions) == 2
    stream.drop()
    server.seconds(45)
    assert call.complete
    assert listening.ask("ping").status == 404, "30 s of grace and 10 s idle have passed"


def test_the_idle_time_begins_with_the_end_of_the_last_stream() -> None:
    """Not with the last request, which may be long ago."""
    server = limited(silent, idle=10.0)
    session = server.session()
    session.call("silent", {"seconds": 31.5})
    server.seconds(40.5, 0.5)
    assert session.ask("ping").status == 200


def test_lifetime() -> None:
    """A session ends after so long even in use, and its streams and calls with it."""
    witness = Witness()
    server = limited(*witness.tools(), lifetime=100.0)
    session = server.session()
    server.seconds(95)
    stream, call = session.get(), session.call("wait")
    server.seconds(MINUTE)
    assert_refused(session.ask("ping"), 404)
    assert stream.complete
    assert call.complete
    assert witness.told == ["on_cancel", "finally"]
    assert server.leftovers() == []


def test_as_many_as_there_may_be() -> None:
    """Past the cap none begins: 503, and when to try again. Room is made as soon as one has ended."""
    server = limited(count=2, idle=100.0)
    sessions = [server.session(), server.session()]
    peer = server.initialize()
    assert (peer.status, peer.error["code"], peer.json["id"]) == (503, 503, 0)
    assert int(peer.headers["retry-after"]) > 0
    assert "mcp-session-id" not in peer.headers
    sessions[0].delete()
    assert server.initialize().status == 200
    assert server.initialize().status == 503
    server.clock.advance(100)
    assert server.initialize().status == 200, "those that have expired make room, swept or not"


def test_two_hundred_times_initialize_and_delete() -> None:
    """Nothing is left of them."""
    server = Server()
    for _ in range(200):
        assert server.session().delete().status == 204
    assert len(server.sessions) == 0
    assert server.leftovers() == []


# --- whose they are


class Named:
    """Lets each request name its caller, as authentication will. Implements `web.endpoint.LegacyFace`."""

    def __init__(self, face: LegacyFace) -> None:
        self._face = face

    def message(self, request: McpRequest, facts: Facts, caller: Caller, message: Message) -> None:
        """Pass it on."""
        self._face.message(request, facts, named(request), message)

    def batch(self, request: McpRequest, facts: Facts, caller: Caller, batch: Batch) -> None:
        """Pass it on."""
        self._face.batch(request, facts, named(request), batch)

    def get(self, request: McpRequest, facts: Facts, caller: Caller) -> None:
        """Pass it on."""
        self._face.get(request, facts, named(request))

    def delete(self, request: McpRequest, facts: Facts, caller: Caller) -> None:
        """Pass it on."""
        self._face.delete(request, facts, named(request))


def named(request: McpRequest) -> Caller:
    """The caller that a header names."""
    name = request.header(b"x-caller")
    return Caller(name=None if name is None else name.decode())


@pytest.mark.parametrize("thief", ["bob", "Ann", None])
def test_a_session_of_somebody_else(thief: str | None) -> None:
    """It is as unknown as one that never was: to POST, GET, DELETE and replay; and it stays as it is."""
    server = Server(steps, wrap=Named)
    ann = {"X-Caller": "ann"}
    answer = server.initialize("2025-03-26", ann)
    session = Session(server, answer.headers["mcp-session-id"], "2025-03-26")
    running = session.call("steps", token=1, headers=ann)
    server.seconds(1)
    seen = {}
    for name, id in (("hers", session.id), ("none", "no-such-session")):
        headers = {"X-Caller": thief, "Mcp-Session-Id": id, "MCP-Protocol-Version": "2025-03-26"}
        peers = [
            server.post(request("ping"), headers),
            server.post({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": 1}}, headers),
            server.post([request("ping")], headers),
            server.http("GET", headers),
            server.http("GET", {**headers, "Last-Event-ID": running.events[0].id}),
            server.http("DELETE", headers),
        ]
        seen[name] = [peer.arrived for peer in peers]
        assert {peer.status for peer in peers} == {404}
    assert seen["hers"] == seen["none"]
    server.seconds(5)
    assert running.complete
    assert session.ask("ping", headers=ann).result == {}


# --- the standalone stream


@pytest.mark.parametrize("accept", ["application/json", "text/html", "text/event-stream;q=0"])
def test_F25_get_without_events(accept: str) -> None:
    """A stream is all that GET has."""
    assert_refused(Server().session().get(headers={"Accept": accept}), 406)


@pytest.mark.parametrize("method", ["GET", "DELETE"])
@pytest.mark.parametrize("version", [None, LATEST_LEGACY])
def test_F26_F32_no_session_id(method: str, version: str | None) -> None:
    """GET and DELETE need a session."""
    assert_refused(Server().http(method, {"MCP-Protocol-Version": version}), 400)


@pytest.mark.parametrize("accept", [None, "*/*", "text/event-stream", "application/json, text/event-stream"])
def test_F27_listen(accept: str | None) -> None:
    """The stream opens at once, begins with an event id to come back with, and is kept alive by comments."""
    server = Server()
    peer = server.session().get(headers={"Accept": accept, "Content-Type": None})
    assert (peer.status, peer.type, peer.complete) == (200, "text/event-stream", False)
    assert [(event.data, event.retry is not None) for event in peer.events] == [("", True)]
    assert peer.events[0].id
    server.seconds(31)
    assert peer.comments == 2
    assert not peer.messages


@pytest.mark.parametrize("version", [version for version in LEGACY if version != LATEST_LEGACY])
def test_F27_listen_before_priming_events(version: str) -> None:
    """The first byte comes at once here too, as a comment."""
    assert [event.comment for event in Server().session(version).get().events] == [True]


def test_F28_a_second_stream_replaces_the_first() -> None:
    """A connection that died without a word must not lock its client out."""
    server = Server()
    session = server.session()
    first = session.get()
    second = session.get()
    assert first.complete
    assert (second.status, second.complete) == (200, False)
    server.seconds(16)
    assert second.comments == 1
    second.drop()
    assert session.get().status == 200


def test_F28_a_first_stream_that_stalls() -> None:
    """Also when the first one's client has stopped reading."""
    session = Server().session()
    first = session.get()
    first.stall()
    second = session.get()
    assert not second.complete
    first.read_on()
    assert first.complete


def test_F28_sessions_have_their_own_stream() -> None:
    """A stream replaces none of another session."""
    server = Server()
    streams = [server.session().get() for _ in range(3)]
    assert not any(stream.complete for stream in streams)


def test_F31_delete_kills_streams_and_calls() -> None:
    """All ends with the session: streams are closed, calls stopped without a reply, in this turn."""
    witness = Witness()
    server = Server(*witness.tools())
    session, other = server.session(), server.session()
    stream, quiet, talking = session.get(), session.call("wait"), session.call("take", id=2, token=1)
    batchless = other.call("wait", id=1)
    server.seconds(2)
    peer = session.delete()
    assert (peer.status, peer.body, peer.complete) == (204, b"", True)
    assert sorted(witness.told) == ["finally", "on_cancel", "on_cancel", "stop"]
    for one in (stream, quiet, talking):
        assert one.complete
        assert all("id" not in message for message in one.messages)
    assert not batchless.answered, "another session's call goes on"
    batchless.drop()
    other.delete()
    assert server.leftovers() == []


def test_F31_delete_of_a_detached_stream() -> None:
    """A call whose client was lost, and might have come back, ends too."""
    witness = Witness()
    server = Server(*witness.tools())
    session = server.session()
    peer = session.call("take", token=1)
    server.seconds(2)
    peer.drop()
    assert witness.told == []
    session.delete()
    assert sorted(witness.told) == ["on_cancel", "stop"]
    assert server.leftovers() == []


def test_one_unread_stream_does_not_block_the_session() -> None:
    """Other calls of the session go on while a reader has stopped."""
    witness = Witness()
    server = Server(echo, *witness.tools())
    session = server.session()
    peer = session.call("take", token=1)
    peer.stall()
    server.seconds(60)
    assert session.call("echo", {"text": "x"}, id=2).result["content"][0]["text"] == "x"
    session.delete()


@pytest.mark.parametrize("name", ["Mcp-Session-Id", "MCP-Protocol-Version", "Last-Event-ID"])
def test_a_header_twice(name: str) -> None:
    """Two of them could mean two things, on every method and for every message."""
    server = Server()
    session = server.session()
    headers = {**session.headers, name: [session.id if name == "Mcp-Session-Id" else LATEST_LEGACY] * 2}
    peers = [
        server.http("GET", headers),
        server.http("DELETE", headers),
        server.post({"jsonrpc": "2.0", "method": "x"}, headers),
        server.post([request("ping")], headers),
    ]
    assert [(peer.status, peer.error["code"], "id" in peer.json) for peer in peers] == [(400, -32020, False)] * 4
    assert server.post(request("ping"), headers).json["id"] == 1
    assert session.ask("ping").status == 200
