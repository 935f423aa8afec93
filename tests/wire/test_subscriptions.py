"""Listen streams on the wire, and what the standalone stream of a session tells."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from mcpserve import prompt, publish, resource, tool
from mcpserve.features.publish import attach, detach
from mcpserve.protocol.notices import PROMPTS_CHANGED, RESOURCES_CHANGED, TOOLS_CHANGED, resource_updated
from mcpserve.server.subscriptions import SubscriptionLimits
from mcpserve.web.response import StreamLimits
from mcpserve.web.site import HttpLimits
from tests.wire.http import Peer
from tests.wire.server import LATEST_LEGACY, LEGACY, PREFIX, Limits, Server, Session
from tests.wire.tools import echo, silent

ID = PREFIX + "subscriptionId"
TOOLS = {"toolsListChanged": True}
A, B = resource_updated("test://a"), resource_updated("test://b")


@prompt
def ask() -> str:
    """Ask."""
    return "Why?"


@resource("test://{name}")
def thing(name: str) -> str:
    """Be any of many."""
    return name


def serving(*tools: Any, **limits: Any) -> Server:
    """A server that offers tools, prompts and resources."""
    return Server(ask, thing, *tools, limits=Limits(**limits))


def heard(peer: Peer) -> list[str]:
    """What arrived behind the acknowledgement or the handshake: a URI, or else the list that changed."""
    messages = [message for message in peer.messages if not message.get("method", "").endswith("/acknowledged")]
    return [message.get("params", {}).get("uri") or message["method"].split("/")[1] for message in messages]


# --- a listen stream


@pytest.mark.parametrize("id", [1, 0, 2**53, "1", "a b"])
def test_D35_acknowledged_at_once(id: Any) -> None:
    """The stream opens with the acknowledgement, before anything else happens, and stays open."""
    server = serving()
    wanted = {"toolsListChanged": True, "resourceSubscriptions": ["test://a"], "nobodyKnows": True}
    peer = server.listen(wanted, id=id)
    assert (peer.status, peer.type, peer.complete) == (200, "text/event-stream", False)
    assert peer.headers["x-accel-buffering"] == "no"
    (first,) = peer.messages
    assert first == {
        "jsonrpc": "2.0",
        "method": "notifications/subscriptions/acknowledged",
        "params": {
            "_meta": {ID: id},
            "notifications": {"toolsListChanged": True, "resourceSubscriptions": ["test://a"]},
        },
    }
    assert type(first["params"]["_meta"][ID]) is type(id)


def test_D35_told_in_the_same_turn() -> None:
    """A notice leaves in the turn in which it is told, tagged; D32: without event ids."""
    server = serving()
    peer = server.listen({"toolsListChanged": True, "resourceSubscriptions": ["test://a"]}, id="x")
    server.tell(TOOLS_CHANGED, A, B, PROMPTS_CHANGED)
    assert peer.messages[1:] == [
        {"jsonrpc": "2.0", "method": "notifications/tools/list_changed", "params": {"_meta": {ID: "x"}}},
        {
            "jsonrpc": "2.0",
            "method": "notifications/resources/updated",
            "params": {"_meta": {ID: "x"}, "uri": "test://a"},
        },
    ]
    assert all(event.id is None and event.retry is None for event in peer.events)


@pytest.mark.parametrize("wanted", [{}, {"promptsListChanged": False}, {"nobodyKnows": 1}])
def test_D36_an_empty_filter(wanted: Any) -> None:
    """It is acknowledged and held open, also where there is nothing to hear."""
    server = Server()
    peer = server.listen(wanted)
    assert peer.messages[0]["params"]["notifications"] == {}
    server.tell(TOOLS_CHANGED)
    server.seconds(120)
    assert (len(peer.messages), peer.complete) == (1, False)
    assert peer.comments >= 7


def test_what_is_not_served_is_not_honoured() -> None:
    """A server without prompts and resources agrees to tools alone."""
    wanted = {**TOOLS, "promptsListChanged": True, "resourcesListChanged": True, "resourceSubscriptions": ["a:"]}
    assert Server().listen(wanted).messages[0]["params"]["notifications"] == TOOLS


@pytest.mark.parametrize(
    "params",
    [{}, {"notifications": None}, {"notifications": [TOOLS]}, {"notifications": {"toolsListChanged": "true"}}],
)
def test_D15_a_bad_filter(params: Any) -> None:
    """It is answered with JSON; no stream was opened."""
    peer = serving().modern("subscriptions/listen", params)
    assert (peer.status, peer.error["code"], peer.json["id"]) == (200, -32602, 1)


def test_a_client_that_takes_json_only() -> None:
    """It is refused at once: it would wait for ever."""
    server = serving()
    peer = server.listen(TOOLS, headers={"Accept": "application/json"})
    assert (peer.status, peer.complete) == (406, True)
    assert "text/event-stream" in peer.error["message"]
    assert len(server.subscriptions) == 0


def test_a_client_that_takes_events_only() -> None:
    """That is all it needs."""
    assert serving().listen(TOOLS, headers={"Accept": "text/event-stream"}).messages


def test_a_session_does_not_know_the_method() -> None:
    """It has a stream of its own."""
    assert serving().session().ask("subscriptions/listen", {"notifications": {}}).error["code"] == -32601


def test_several_streams_of_one_client() -> None:
    """Each is what it asked for, also with the same id on two connections."""
    server = serving()
    peers = [
        server.listen({name: True}, id=1) for name in ("toolsListChanged", "promptsListChanged", "resourcesListChanged")
    ]
    server.tell(PROMPTS_CHANGED, RESOURCES_CHANGED, TOOLS_CHANGED)
    assert [heard(peer) for peer in peers] == [["tools"], ["prompts"], ["resources"]]


def test_a_silent_stream_outlives_all_deadlines() -> None:
    """Idle and header timeouts are for connections that wait for a request; what is told later still arrives."""
    server = serving(http=HttpLimits(idle_timeout=2.0, header_timeout=2.0, body_timeout=2.0, write_stall=5.0))
    peer = server.listen(TOOLS)
    server.seconds(3600)
    server.tell(TOOLS_CHANGED)
    assert (heard(peer), peer.complete) == (["tools"], False)


def test_calls_go_on_beside_it() -> None:
    """Progress and log messages of a call are never on a listen stream."""
    server = serving(echo)
    peer = server.listen(TOOLS)
    assert server.call("echo", {"text": "x"}, token=1, meta={PREFIX + "logLevel": "debug"}).status == 200
    server.turn()
    assert len(peer.messages) == 1


@tool
def touch(uri: str = "test://a") -> str:
    """Change something, twice."""
    publish.resource_updated(uri)
    publish.resource_updated(uri)
    return "touched"


def test_a_tool_publishes() -> None:
    """It is told once, to whoever listens, also to the caller itself; nothing of it is in the call's answer."""
    server = serving(touch)
    attach(server.publisher)
    try:
        peer = server.listen({"resourceSubscriptions": ["test://a"]})
        answer = server.call("touch", token=1)
        server.turn()
    finally:
        detach(server.publisher)
    assert answer.json["result"]["content"][0]["text"] == "touched"
    assert heard(peer) == ["test://a"]


# --- its end


@pytest.mark.parametrize("way", ["drop", "half_close"])
def test_D34_the_client_goes(way: str) -> None:
    """Nothing is left; a client that only shuts its sending half down may still read."""
    server = serving()
    peer = server.listen(TOOLS)
    getattr(peer, way)()
    server.seconds(20)
    server.tell(TOOLS_CHANGED)
    assert len(server.subscriptions) == (0 if way == "drop" else 1)
    assert heard(peer) == ([] if way == "drop" else ["tools"])
    peer.drop()
    assert (server.leftovers(), server.publisher.listened_to()) == ([], 0)


def test_D35_the_server_stops() -> None:
    """The last event is the result, empty but for its id; then the stream is closed. Others are refused."""
    server = serving()
    peers = [server.listen(TOOLS, id=id) for id in (7, "x")]
    server.tell(TOOLS_CHANGED)
    server.subscriptions.end_all()
    for peer, id in zip(peers, (7, "x"), strict=True):
        assert peer.complete
        assert peer.reply["id"] == id
        assert peer.result["resultType"] == "complete"
        assert peer.result["_meta"][ID] == id
        assert set(peer.result) == {"resultType", "_meta"}
    assert server.leftovers() == []
    assert server.listen(TOOLS).status == 503


def test_too_many() -> None:
    """One more is refused with 503, and those that are there stay."""
    server = serving(subscriptions=SubscriptionLimits(streams=2))
    peers = [server.listen(TOOLS) for _ in range(3)]
    assert [peer.status for peer in peers] == [200, 200, 503]
    peers[0].drop()
    assert server.listen(TOOLS).status == 200
    server.tell(TOOLS_CHANGED)
    assert heard(peers[1]) == ["tools"]


# --- a slow reader


def slow(server: Server) -> Peer:
    """A connection whose client does not read."""
    peer = server.connect()
    peer.stall()
    return peer


def test_a_stalled_reader_ends_alone() -> None:
    """2,000 notices: whoever reads gets all of them; whoever does not costs next to nothing, and is given up."""
    server = serving(http=HttpLimits(write_stall=10.0))
    uris = [f"test://{n}" for n in range(1000)]
    wanted = {"resourceSubscriptions": uris}
    stalled, good = server.listen(wanted, peer=slow(server)), server.listen(wanted)
    updates = [resource_updated(uri) for uri in uris]
    for _ in range(2):
        for update in updates:
            server.tell(update)
    assert len(heard(good)) == 2000
    assert not stalled.ended
    assert stalled.unread < 100_000
    server.seconds(15)
    assert stalled.ended == ["aborted"]
    server.tell(A, updates[0])
    assert len(heard(good)) == 2001
    assert len(server.subscriptions) == 1


def test_a_reader_that_reads_on() -> None:
    """It hears of everything that has changed meanwhile, once."""
    server = serving(stream=StreamLimits(buffer=4096))
    wanted = {"toolsListChanged": True, "resourceSubscriptions": ["test://a", "test://b"]}
    peer = server.listen(wanted)
    peer.stall()
    for _ in range(1000):
        server.tell(TOOLS_CHANGED, A, B)
    assert not peer.ended, "what is told again and again does not pass the bound"
    peer.read_on()
    server.turn()
    arrived = heard(peer)
    assert len(arrived) < 100
    assert {*arrived[-3:]} == {"tools", "test://a", "test://b"}
    server.tell(B)
    assert heard(peer)[len(arrived) :] == ["test://b"]


# --- sessions


@pytest.mark.parametrize("version", LEGACY)
def test_F27_a_session_hears_of_lists(version: str) -> None:
    """On its standalone stream, with an event id, and without a subscription's."""
    server = serving()
    peer = server.session(version).get()
    server.tell(TOOLS_CHANGED, A, PROMPTS_CHANGED)
    assert peer.messages == [
        {"jsonrpc": "2.0", "method": "notifications/tools/list_changed"},
        {"jsonrpc": "2.0", "method": "notifications/prompts/list_changed"},
    ]
    assert all(event.id for event in peer.events if event.data)


def test_F27_on_one_stream_only() -> None:
    """Neither on the stream of a call nor on that of another session's subscription."""
    server = serving(silent)
    session = server.session()
    call, peer = session.call("silent", token=1), session.get()
    server.seconds(16)
    server.tell(TOOLS_CHANGED)
    assert (heard(call), heard(peer)) == ([], ["tools"])


def test_a_session_without_a_stream() -> None:
    """It hears once of what has changed when it opens one."""
    server = serving()
    session = server.session()
    for _ in range(3):
        server.tell(TOOLS_CHANGED)
    peer = session.get()
    assert heard(peer) == ["tools"]
    server.tell(TOOLS_CHANGED)
    assert heard(peer) == ["tools", "tools"]


@pytest.mark.parametrize("version", LEGACY)
def test_a_stream_that_broke_off(version: str) -> None:
    """What was told meanwhile is kept as events, and replayed by the id of the last one, in order and once."""
    server = serving()
    session = server.session(version)
    peer = session.get()
    server.tell(TOOLS_CHANGED)
    last = [event.id for event in peer.events if event.id][-1]
    peer.drop()
    server.tell(PROMPTS_CHANGED)
    server.tell(TOOLS_CHANGED)
    again = session.get(last)
    assert heard(again) == ["prompts", "tools"]
    server.tell(RESOURCES_CHANGED)
    assert heard(again) == ["prompts", "tools", "resources"]


def test_a_stream_that_nobody_resumed() -> None:
    """After the grace time its events are gone; what changes from then on waits for another stream."""
    server = serving()
    session = server.session()
    session.get().drop()
    server.tell(PROMPTS_CHANGED)
    server.seconds(31)
    server.tell(TOOLS_CHANGED)
    assert heard(session.get()) == ["tools"]


def subscribe(session: Session, uri: Any, what: str = "subscribe") -> Peer:
    """Ask to hear, or to hear no more, of a resource."""
    return session.ask(f"resources/{what}", {"uri": uri})


@pytest.mark.parametrize("version", LEGACY)
def test_resources_subscribe(version: str) -> None:
    """The answer is empty; from then on that session, and no other, hears of the resource, until it unsubscribes."""
    server = serving()
    session, other = server.session(version), server.session(version)
    peers = session.get(), other.get()
    server.tell(A)
    for _ in range(2):
        assert subscribe(session, "test://a").json == {"jsonrpc": "2.0", "id": 1, "result": {}}
    server.tell(A, B)
    assert peers[0].messages == [
        {"jsonrpc": "2.0", "method": "notifications/resources/updated", "params": {"uri": "test://a"}}
    ]
    for _ in range(2):
        assert subscribe(session, "test://a", "unsubscribe").result == {}
    server.tell(A)
    assert (len(peers[0].messages), peers[1].messages) == (1, [])


@pytest.mark.parametrize("what", ["subscribe", "unsubscribe"])
@pytest.mark.parametrize("uri", [None, 1, ["test://a"], ...])
def test_resources_subscribe_to_no_uri(what: str, uri: Any) -> None:
    """Params that do not fit are an error; the session goes on."""
    session = serving().session()
    params = {} if uri is ... else {"uri": uri}
    assert session.ask(f"resources/{what}", params).error["code"] == -32602
    assert session.ask("ping").result == {}


@pytest.mark.parametrize("version", LEGACY)
def test_F16_subscribe_to_an_unknown_resource(version: str) -> None:
    """It is an error with the URI; to unsubscribe from it is none."""
    session = serving().session(version)
    peer = subscribe(session, "other://a")
    assert (peer.status, peer.error["code"], peer.error["data"]) == (200, -32002, {"uri": "other://a"})
    assert subscribe(session, "other://a", "unsubscribe").result == {}


@pytest.mark.parametrize("what", ["subscribe", "unsubscribe"])
def test_resources_that_are_not_served(what: str) -> None:
    """Without resources there is no such method; in the modern era there never is."""
    assert subscribe(Server().session(), "test://a", what).error["code"] == -32601
    peer = serving().modern(f"resources/{what}", {"uri": "test://a"})
    assert (peer.status, peer.error["code"]) == (404, -32601)


def test_too_many_resources() -> None:
    """The number is bounded, for each session."""
    server = serving(subscriptions=SubscriptionLimits(named=1))
    session, other = server.session(), server.session()
    assert subscribe(session, "test://a").result == {}
    assert subscribe(session, "test://b").error["code"] == -32602
    assert subscribe(other, "test://b").result == {}


@pytest.mark.parametrize("end", ["delete", "idle"])
def test_the_end_of_a_session(end: str) -> None:
    """Nothing is left of what it listened to."""
    server = serving()
    session = server.session()
    subscribe(session, "test://a")
    assert server.publisher.listened_to() == 4
    if end == "delete":
        session.delete()
    else:
        server.seconds(3 * 3600, 60)
    assert server.publisher.listened_to() == 0


def test_a_session_whose_reader_is_slow() -> None:
    """It falls behind alone, and comes back for what it missed."""
    server = serving(stream=StreamLimits(buffer=4096))
    session, other = server.session(), server.session()
    peers = [session.get(), other.get()]
    peers[0].stall()
    for _ in range(200):
        server.tell(TOOLS_CHANGED)
    assert peers[0].ended == ["aborted"]
    assert heard(peers[1]) == ["tools"] * 200
    last = [event.id for event in peers[0].events if event.id][-1]
    assert heard(session.get(last)) == ["tools"] * 200


def kinds(peers: Sequence[Peer]) -> list[list[str]]:
    """What each has heard."""
    return [heard(peer) for peer in peers]


def test_both_eras_at_once() -> None:
    """One notice reaches all of them, each in its own form."""
    server = serving()
    peers = [server.listen(TOOLS), server.session("2025-03-26").get(), server.session(LATEST_LEGACY).get()]
    server.tell(TOOLS_CHANGED)
    assert kinds(peers) == [["tools"]] * 3
