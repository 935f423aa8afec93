"""Table B of the wire: JSON arrays."""

from __future__ import annotations

from typing import Any

import pytest

from tests.wire.http import Peer
from tests.wire.server import LATEST_LEGACY, LEGACY, MODERN, VERSION, Headers, Server, call_params, request
from tests.wire.tools import Witness, burst, echo, silent, steps

OLD = "2025-03-26"
NOTIFICATION = {"jsonrpc": "2.0", "method": "notifications/initialized"}
RESPONSE = {"jsonrpc": "2.0", "id": 9, "result": {}}
CLAIMING = {**request("ping"), "params": {"_meta": {VERSION: MODERN}}}
WITHOUT_BATCHES = [version for version in LEGACY if version != OLD]


def assert_refused(peer: Peer) -> None:
    """The answer is -32600 without an id."""
    assert (peer.status, peer.error["code"]) == (400, -32600)
    assert "id" not in peer.json


def call(id: Any, tool: str, token: Any = None, **arguments: Any) -> dict[str, Any]:
    """One call in a batch."""
    return request("tools/call", call_params(tool, arguments, token), id)


def text(reply: Any) -> str:
    """The text of a result."""
    return str(reply["result"]["content"][0]["text"])


@pytest.mark.parametrize("version", [None, MODERN, *LEGACY])
def test_B1_empty(version: str | None) -> None:
    """An empty array holds no message, whatever the era."""
    server = Server()
    assert_refused(server.post([], {"MCP-Protocol-Version": version}))
    assert_refused(server.session(OLD).post([]))


@pytest.mark.parametrize(
    ("batch", "headers"),
    [
        ([CLAIMING], {}),
        ([request("ping"), 1, CLAIMING], {}),
        ([request("ping")], {"MCP-Protocol-Version": MODERN}),
        ([NOTIFICATION], {"MCP-Protocol-Version": MODERN}),
    ],
)
def test_B2_modern(batch: list[Any], headers: Headers) -> None:
    """There are no batches in the modern era, not even in a session that knows them."""
    server = Server()
    assert_refused(server.post(batch, headers))
    assert_refused(server.session(OLD).post(batch, headers))


@pytest.mark.parametrize("accept", ["application/json, text/event-stream", "application/json", "text/event-stream"])
@pytest.mark.parametrize("batch", [[NOTIFICATION], [RESPONSE], [NOTIFICATION, RESPONSE, RESPONSE]])
def test_B3_nothing_to_answer(batch: list[Any], accept: str) -> None:
    """Notifications and responses alone are accepted, with nothing said."""
    peer = Server().session(OLD).post(batch, {"Accept": accept})
    assert (peer.status, peer.body, peer.complete) == (202, b"", True)


def test_B3_quick_requests() -> None:
    """Quick requests are answered by an array with one response each."""
    server = Server(echo)
    session = server.session(OLD)
    peer = session.post(
        [call(1, "echo", text="a"), NOTIFICATION, call("1", "echo", text="b"), request("no/such", None, 3)]
    )
    replies = {(type(reply["id"]), reply["id"]): reply for reply in peer.json}
    assert len(replies) == len(peer.json) == 3
    assert text(replies[int, 1]) == "a"
    assert text(replies[str, "1"]) == "b"
    assert replies[int, 3]["error"]["code"] == -32601


def test_B3_a_single_request_is_still_an_array() -> None:
    """An array is answered by an array."""
    assert [reply["id"] for reply in Server().session(OLD).post([request("ping")]).json] == [1]


def test_B3_slow_requests() -> None:
    """A slow request delays the array until all is there."""
    server = Server(echo, silent)
    peer = server.session(OLD).post([call(1, "silent", seconds=3.0), call(2, "echo")])
    server.seconds(2)
    assert not peer.answered
    server.seconds(2)
    assert {reply["id"] for reply in peer.json} == {1, 2}


def test_B3_events_only() -> None:
    """A client that takes events only gets each reply when it is there."""
    server = Server(echo, silent)
    peer = server.session(OLD).post([call(1, "silent", seconds=3.0), call(2, "echo")], {"Accept": "text/event-stream"})
    assert [message["id"] for message in peer.messages] == [2]
    server.seconds(3)
    assert [message["id"] for message in peer.messages] == [2, 1]
    assert peer.complete


def test_B3_progress_opens_a_stream() -> None:
    """As soon as a call has something to say before its reply, all replies become events, each once."""
    server = Server(echo, steps)
    peer = server.session(OLD).post([call(1, "echo"), call(2, "steps", "two", number=2), call(3, "steps", 3, number=1)])
    server.seconds(1)
    progress = [message["params"]["progressToken"] for message in peer.messages if "method" in message]
    assert sorted(map(str, progress)) == ["3", "two"]
    server.seconds(2)
    assert sorted(message["id"] for message in peer.messages if "id" in message) == [1, 2, 3]
    assert peer.complete
    last_words = {token: i for i, m in enumerate(peer.messages) if (token := m.get("params", {}).get("progressToken"))}
    places = {message["id"]: i for i, message in enumerate(peer.messages) if "id" in message}
    assert last_words["two"] < places[2]
    assert last_words[3] < places[3]


def test_B3_progress_in_the_first_turn() -> None:
    """A call may talk before the next element was looked at."""
    server = Server(burst, echo)
    peer = server.session(OLD).post([call(1, "burst", 1), call(2, "burst", 2), call(3, "echo")])
    server.turn()
    assert sorted(message["id"] for message in peer.messages if "id" in message) == [1, 2, 3]
    assert sum("method" in message for message in peer.messages) == 6
    assert peer.complete


def test_B3_a_stream_has_no_event_ids() -> None:
    """Such a stream can't be resumed, so it does not say that it can."""
    server = Server(burst)
    peer = server.session(OLD).post([call(1, "burst", 1)])
    server.turn()
    assert {(event.id, event.retry) for event in peer.events} == {(None, None)}


def test_B3_keep_alive() -> None:
    """A silent batch is kept alive like any other response, and ends as a stream."""
    server = Server(silent)
    peer = server.session(OLD).post([call(1, "silent", seconds=20.0)])
    server.seconds(16)
    assert peer.comments == 1
    server.seconds(5)
    assert [message["id"] for message in peer.messages] == [1]


def test_B3_losing_the_connection_cancels_all() -> None:
    """Without event ids nobody can come back for the replies."""
    witness = Witness()
    server = Server(*witness.tools())
    session = server.session(OLD)
    peer = session.post([call(1, "wait", 1, progress=True), call(2, "take", 2)])
    peer.drop()
    assert sorted(witness.told) == ["finally", "on_cancel", "on_cancel", "stop"]
    assert not server.sessions.get(session.id).calls
    session.delete()
    server.seconds(1)
    assert server.leftovers() == []


def test_B3_cancelling_one_of_a_batch() -> None:
    """One call is withdrawn, the other gets its reply."""
    witness = Witness()
    server = Server(echo, *witness.tools())
    session = server.session(OLD)
    peer = session.post([call(1, "wait"), call(2, "echo")])
    assert not peer.answered
    session.notify("notifications/cancelled", {"requestId": 1})
    assert [reply["id"] for reply in peer.json] == [2]
    assert "finally" in witness.told


def test_B3_cancelling_all_of_a_batch() -> None:
    """Nothing is left to answer: the response ends as an empty stream, for an array is never empty."""
    witness = Witness()
    server = Server(*witness.tools())
    session = server.session(OLD)
    peer = session.post([call(1, "wait"), call(2, "wait")])
    session.notify("notifications/cancelled", {"requestId": 1})
    session.notify("notifications/cancelled", {"requestId": 2})
    assert (peer.status, peer.messages, peer.complete) == (200, [], True)


def test_B3_elements_that_are_no_messages() -> None:
    """What is no message is answered with -32600 in its place, with its id if it has one."""
    peer = Server().session(OLD).post([1, [], {"jsonrpc": "2.0", "id": 7}, request("ping", None, 8)])
    errors = [reply for reply in peer.json if "error" in reply]
    assert [error["error"]["code"] for error in errors] == [-32600] * 3
    assert [error.get("id") for error in errors] == [None, None, 7]
    assert peer.json[-1] == {"jsonrpc": "2.0", "id": 8, "result": {}}


def test_B3_an_id_twice() -> None:
    """The second request with the id of a running one is refused, also within a batch."""
    server = Server(silent)
    peer = server.session(OLD).post([call(1, "silent", seconds=1.0), call(1, "silent", seconds=1.0)])
    server.seconds(1)
    refused, answered = sorted(peer.json, key=lambda reply: "result" in reply)
    assert refused["error"]["code"] == -32600
    # With the id, it would be taken for the reply to the call that runs.
    assert "id" not in refused
    assert answered["id"] == 1


def test_B3_more_than_a_batch_may_hold() -> None:
    """A few bytes an element can't be made to cost a hundred times as many in the answer."""
    peer = Server().session(OLD).post([0] * 1001)
    assert (peer.status, peer.error["code"]) == (400, -32600)
    assert "1000" in peer.error["message"]
    assert len(Server().session(OLD).post([0] * 1000).json) == 1000


def test_B4_initialize_in_a_batch() -> None:
    """initialize is refused, and opens nothing; the rest is served."""
    server = Server()
    session = server.session(OLD)
    peer = session.post([request("initialize", {"protocolVersion": OLD}, 1), request("ping", None, 2)])
    assert [(reply["id"], "error" in reply) for reply in peer.json] == [(1, True), (2, False)]
    assert peer.json[0]["error"]["code"] == -32600
    assert len(server.sessions) == 1


@pytest.mark.parametrize("version", WITHOUT_BATCHES)
@pytest.mark.parametrize("batch", [[request("ping")], [NOTIFICATION]])
def test_B5_another_revision(version: str, batch: list[Any]) -> None:
    """Other revisions have no batches."""
    assert_refused(Server().session(version).post(batch))


@pytest.mark.parametrize("version", [None, OLD, LATEST_LEGACY])
def test_B5_no_session(version: str | None) -> None:
    """Without a session nobody has agreed on batches."""
    assert_refused(Server().post([request("ping")], {"MCP-Protocol-Version": version}))


def test_B5_the_negotiated_revision_counts() -> None:
    """The header does not change what was negotiated."""
    session = Server().session(LATEST_LEGACY)
    assert_refused(session.post([request("ping")], {"MCP-Protocol-Version": OLD}))


def test_an_unknown_version_header() -> None:
    """It is refused as for a single message."""
    peer = Server().session(OLD).post([request("ping")], {"MCP-Protocol-Version": "2031-01-01"})
    assert (peer.status, peer.error["code"], "id" in peer.json) == (400, -32022, False)
