"""Ids of another caller, on every way on which one can be said: the answer is that for an id that never was.

    id              POST  batch  cancel  answer  GET  replay  DELETE  get  update  cancel  listen  call
    session          x      x      x       x      x     x       x
    event                                               x
    task                                                               x     x       x       x
    state                                                                                            x
    HTTP with SSE    x

What the owner has under the id goes on as if nobody had asked.
Spec: 2026-07-28, Security Best Practices, Session Hijacking; tasks extension, Security Considerations.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import attrs
import orjson
import pytest

from mcpserve import Call, tool
from mcpserve.protocol.tasks import EXTENSION
from tests.wire.callers import Said, by
from tests.wire.http import Peer
from tests.wire.server import (
    CAPABILITIES,
    CLIENT,
    LEGACY,
    NOTHING,
    Headers,
    Server,
    Session,
    request,
)
from tests.wire.tools import echo, steps

ANN = by("ann", "ops", "all")
THIEVES = [by("bob", "ops", "all"), by("Ann", "ops", "all"), by("ann2", "ops"), by(None, "ops", "all")]
CAN: Mapping[str, Any] = {
    CAPABILITIES: {"extensions": {EXTENSION: {}}, "elicitation": {"form": {}}, "roots": {}, "sampling": {}}
}


@attrs.frozen
class Name:
    """A form."""

    name: str


@tool(task="optional")
async def build(call: Call) -> str:
    """Ask, and build for long."""
    answer = await call.elicit("Your name?", Name)
    await call.sleep(10)
    return f"built for {answer.form.name}"


@tool
async def greet(call: Call) -> str:
    """Ask for a name."""
    answer = await call.elicit("Your name?", Name)
    return f"Hello, {answer.form.name}."


def serving() -> Server:
    """A server that asks who is calling."""
    return Server(echo, steps, build, greet, identity=Said, http_sse=True)


def thief_ids(thief: Headers) -> str:
    """How a test is called."""
    return repr(thief["X-Name"])


# --- sessions


def saying(message: Any) -> Callable[[Server, Headers], Peer]:
    """A POST of this message."""
    return lambda server, headers: server.post(message, headers)


ON_SESSIONS: Mapping[str, Callable[[Server, Headers], Peer]] = {
    "request": saying(request("tools/list")),
    "call": saying(request("tools/call", {"name": "echo"})),
    "notification": saying({"jsonrpc": "2.0", "method": "notifications/initialized"}),
    "cancel": saying({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": 1}}),
    "answer": saying({"jsonrpc": "2.0", "id": "x-1", "result": {"action": "decline"}}),
    "batch": saying([request("ping"), request("ping", id=2)]),
    "listen": lambda server, headers: server.http("GET", headers),
    "replay": lambda server, headers: server.http("GET", {**headers, "Last-Event-ID": "1-1"}),
    "delete": lambda server, headers: server.http("DELETE", headers),
}


@pytest.mark.parametrize("thief", THIEVES, ids=thief_ids)
@pytest.mark.parametrize("version", LEGACY)
def test_a_session(thief: Headers, version: str) -> None:
    """404 on every way, and it stays as it is: its call runs, its stream is open, its questions wait."""
    server = serving()
    answer = server.initialize(version, ANN, capabilities={"elicitation": {}})
    session = Session(server, answer.headers["mcp-session-id"], version)
    standing = session.get(headers=ANN)
    running = session.call("steps", token=1, headers=ANN)
    server.seconds(1)
    made_up = "?" * len(session.id)
    for name, say in ON_SESSIONS.items():
        foreign, unknown = (
            say(server, {**thief, "Mcp-Session-Id": id, "MCP-Protocol-Version": version})
            for id in (session.id, made_up)
        )
        assert foreign.arrived == unknown.arrived, name
        assert (foreign.status, session.id in str(foreign.arrived)) == (404, False)
    assert not standing.complete
    server.seconds(5)
    assert running.result["content"][0]["text"] == "done"
    assert session.ask("ping", headers=ANN, id=9).result == {}


@pytest.mark.parametrize("thief", THIEVES, ids=thief_ids)
def test_an_event_in_a_session_of_ones_own(thief: Headers) -> None:
    """An event id means something in its session alone: another's events are not replayed."""
    server = serving()
    hers = Session(server, server.initialize(headers=ANN).headers["mcp-session-id"], LEGACY[-1])
    own = Session(server, server.initialize(headers=thief).headers["mcp-session-id"], LEGACY[-1])
    running = hers.call("steps", token=1, headers=ANN)
    server.seconds(1)
    event = next(event.id for event in running.events if event.id)
    foreign, unknown = (own.get(last, headers=thief) for last in (event, "77-1"))
    assert foreign.arrived == unknown.arrived
    assert foreign.status == 400


@pytest.mark.parametrize("thief", THIEVES, ids=thief_ids)
def test_an_answer_to_a_question_of_another_session(thief: Headers) -> None:
    """It is accepted like an answer that nobody waits for, and the question stays open."""
    server = serving()
    hers = Session(
        server, server.initialize(headers=ANN, capabilities={"elicitation": {}}).headers["mcp-session-id"], LEGACY[-1]
    )
    own = Session(server, server.initialize(headers=thief).headers["mcp-session-id"], LEGACY[-1])
    running = hers.call("greet", headers=ANN)
    question = running.messages[-1]["id"]
    answer = {"action": "accept", "content": {"name": "Eve"}}
    foreign, unknown = (
        own.post({"jsonrpc": "2.0", "id": id, "result": answer}, thief) for id in (question, "?" * len(question))
    )
    assert foreign.arrived == unknown.arrived
    assert not running.complete
    hers.post({"jsonrpc": "2.0", "id": question, "result": {"action": "accept", "content": {"name": "Ann"}}}, ANN)
    assert running.result["content"][0]["text"] == "Hello, Ann."


# --- tasks


@pytest.mark.parametrize("thief", THIEVES, ids=thief_ids)
def test_a_task(thief: Headers) -> None:
    """Neither seen, nor answered, nor cancelled, nor heard of; and its owner gets it done."""
    server = serving()
    task = server.call("build", headers=ANN, meta=CAN).result["taskId"]
    key = next(iter(server.modern("tasks/get", {"taskId": task}, meta=CAN, headers=ANN).result["inputRequests"]))
    reply = {key: {"action": "accept", "content": {"name": "Eve"}}}
    made_up = "?" * len(task)
    for method, more in (
        ("tasks/get", {}),
        ("tasks/update", {"inputResponses": reply}),
        ("tasks/update", {"inputResponses": 5}),
        ("tasks/cancel", {}),
    ):
        foreign, unknown = (
            server.modern(method, {"taskId": id, **more}, meta=CAN, headers=thief) for id in (task, made_up)
        )
        assert foreign.arrived == unknown.arrived, method
        assert foreign.error["code"] == -32602
    foreign, unknown = (server.listen({"taskIds": [id]}, meta=CAN, headers=thief) for id in (task, made_up))
    server.turn()
    mine = {key: {"action": "accept", "content": {"name": "Ann"}}}
    server.modern("tasks/update", {"taskId": task, "inputResponses": mine}, meta=CAN, headers=ANN)
    server.seconds(11)
    assert foreign.arrived == unknown.arrived
    found = server.modern("tasks/get", {"taskId": task}, meta=CAN, headers=ANN).result
    assert (found["status"], found["result"]["content"][0]["text"]) == ("completed", "built for Ann")
    ended = [server.modern("tasks/get", {"taskId": id}, meta=CAN, headers=thief).arrived for id in (task, made_up)]
    assert ended[0] == ended[1]


# --- what travels with a client between two rounds


def tampered(state: str) -> str:
    """A state of the same length that nobody has sealed."""
    return state[:-20] + ("A" if state[-20] != "A" else "B") + state[-19:]


@pytest.mark.parametrize("thief", THIEVES, ids=thief_ids)
@pytest.mark.parametrize("later", [0, 3600])
def test_a_state(thief: Headers, later: float) -> None:
    """It is refused like one that was made up, also when it has expired; its owner goes on with it."""
    server = serving()
    asked = server.call("greet", headers=ANN, meta=CAN).result
    state, key = asked["requestState"], next(iter(asked["inputRequests"]))
    answers = {key: {"action": "accept", "content": {"name": "Ann"}}}

    def go_on(state: str, who: Headers) -> Peer:
        params = {"name": "greet", "arguments": {}, "requestState": state, "inputResponses": answers}
        return server.modern("tools/call", params, meta=CAN, headers=who)

    server.seconds(later, 3600)
    foreign, unknown = go_on(state, thief), go_on(tampered(state), thief)
    assert foreign.arrived == unknown.arrived
    assert foreign.error["code"] == -32602
    if not later:
        assert go_on(state, ANN).result["content"][0]["text"] == "Hello, Ann."


# --- HTTP with SSE


@pytest.mark.parametrize("thief", THIEVES, ids=thief_ids)
@pytest.mark.parametrize(
    "message",
    [
        request("ping"),
        {"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": 1}},
        {"jsonrpc": "2.0", "id": "x-1", "result": {}},
        [request("ping")],
    ],
)
def test_a_stream_of_http_with_sse(thief: Headers, message: Any) -> None:
    """404 for what another says on it; nothing comes on the stream, and its call goes on."""
    server = serving()
    stream = server.http("GET", {"Content-Type": None, "Accept": "text/event-stream", **ANN}, path="/sse")
    path = str(stream.events[0].data)
    made_up = path.partition("=")[0] + "=" + "?" * len(path.partition("=")[2])

    def post(said: Any, who: Headers, to: str = path) -> Peer:
        peer = server.http("POST", who, orjson.dumps(said), path=to)
        server.turn()
        return peer

    wanted = {"protocolVersion": "2024-11-05", "capabilities": {}, "clientInfo": CLIENT}
    post(request("initialize", wanted, 0), ANN)
    post(request("tools/call", {"name": "steps", "arguments": {}}), ANN)
    before = stream.arrived
    foreign, unknown = post(message, thief), post(message, thief, made_up)
    assert (foreign.arrived, foreign.status) == (unknown.arrived, 404)
    assert stream.arrived == before
    server.seconds(4)
    assert b"done" in stream.arrived


# --- and one's own


def test_ones_own_ids_with_another_credential() -> None:
    """The party counts, not what it shows: with another token of hers the owner goes on."""
    server = serving()
    other: Sequence[Headers] = [by("ann"), by("ann", "hr", "x")]
    session = Session(server, server.initialize(headers=ANN).headers["mcp-session-id"], LEGACY[-1])
    task = server.call("build", headers=ANN, meta=CAN).result["taskId"]
    for who in other:
        assert session.ask("ping", headers=who).result == {}
        assert server.modern("tasks/get", {"taskId": task}, meta=CAN, headers=who).result["taskId"] == task


def test_without_names_an_id_is_all_that_there_is() -> None:
    """Where nobody is asked, whoever knows an id may use it, from whatever address it comes."""
    server = Server(echo)
    session = Session(server, server.initialize(headers=NOTHING).headers["mcp-session-id"], LEGACY[-1])
    assert session.ask("ping").result == {}
