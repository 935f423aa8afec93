"""Asking the client before 2026-07-28: a request on the call's own stream, and the answer in a POST of its own."""

from __future__ import annotations

from typing import Any

import pytest

from mcpserve import Call, tool
from tests.wire.questions import (
    DECLINED,
    ROOTS,
    TOOLS,
    URL,
    Name,
    Runs,
    accepted,
    legacy_session,
    said,
)
from tests.wire.server import LATEST_LEGACY, LEGACY, Server, Session, call_params, request

JSON_ONLY = {"Accept": "application/json"}
FORM = {"type": "object", "properties": {"name": {"type": "string"}}, "required": ["name"]}


@pytest.fixture
def server() -> Server:
    """A server whose tools ask."""
    return Server(*TOOLS)


def answer(session: Session, asked: Any, result: Any = None, **members: Any) -> Any:
    """POST the response to a request of the server."""
    peer = session.post({"jsonrpc": "2.0", "id": asked["id"], **(members or {"result": result})})
    session.server.turn()
    return peer


def called(session: Session, name: str, **more: Any) -> Any:
    """Call a tool, and let the reactor turn, so that all that is said at once has left."""
    peer = session.call(name, **more)
    session.server.turn()
    return peer


def text(peer: Any) -> Any:
    """The text of the one block of a result."""
    return peer.result["content"][0]["text"]


@pytest.mark.parametrize("version", ["2025-06-18", LATEST_LEGACY])
def test_a_question_and_its_answer(server: Server, version: str) -> None:
    """The question opens the stream of the call, the answer is accepted, and the result ends the stream."""
    session = legacy_session(server, version)
    peer = called(session, "greet")
    assert peer.type == "text/event-stream"
    (asked,) = peer.messages
    params = {"message": "Your name?", "requestedSchema": FORM}
    assert asked == {"jsonrpc": "2.0", "id": asked["id"], "method": "elicitation/create", "params": params}
    assert isinstance(asked["id"], str)
    assert not peer.complete
    accepting = answer(session, asked, accepted(name="Ada"))
    assert (accepting.status, accepting.body) == (202, b"")
    assert text(peer) == "Hello, Ada!"
    assert "resultType" not in peer.result


def test_the_question_has_an_event_id(server: Server) -> None:
    """So that a client that lost its connection gets it when it comes back, and can answer then."""
    session = legacy_session(server)
    peer = called(session, "greet")
    first = peer.events[0].id
    assert peer.events[1].id
    peer.drop()
    resumed = session.get(first)
    (asked,) = resumed.messages
    answer(session, asked, accepted(name="Ada"))
    assert resumed.messages[-1]["result"]["content"][0]["text"] == "Hello, Ada!"


def test_several_rounds(server: Server) -> None:
    """The function waits for each answer, and is not called again."""
    session = legacy_session(server)
    peer = called(session, "two_rounds")
    answer(session, peer.messages[0], accepted(name="A"))
    assert peer.messages[0]["id"] != peer.messages[1]["id"]
    answer(session, peer.messages[1], accepted(name="B"))
    assert text(peer).endswith(": A, B")


def test_several_at_once(server: Server) -> None:
    """All go out together, and may be answered in any order."""
    session = legacy_session(server)
    peer = called(session, "several")
    who, what, where = peer.messages
    assert where == {"jsonrpc": "2.0", "id": where["id"], "method": "roots/list"}
    assert what["params"]["maxTokens"] > 0
    for asked, result in ((where, ROOTS), (who, accepted(name="Ada")), (what, said("is at"))):
        assert not peer.complete
        assert answer(session, asked, result).status == 202
    assert text(peer) == "Ada is at file:///home"


def test_two_calls_at_once(server: Server) -> None:
    """Each asks on its own stream, and gets its own answer."""
    session = legacy_session(server)
    one, two = called(session, "greet", id=1), called(session, "greet", id=2)
    answer(session, two.messages[0], accepted(name="Two"))
    assert not one.complete
    answer(session, one.messages[0], accepted(name="One"))
    assert (text(one), text(two)) == ("Hello, One!", "Hello, Two!")


@pytest.mark.parametrize(
    ("method", "params", "expected"),
    [
        ("prompts/get", {"name": "about"}, "Write a short text about Ada"),
        ("resources/read", {"uri": "notes://monday"}, "Ada on monday"),
    ],
)
def test_prompts_and_resources_ask_too(server: Server, method: str, params: dict[str, Any], expected: str) -> None:
    """On their own streams, as tools do; what goes wrong is an error of the protocol."""
    session = legacy_session(server)
    peer = session.ask(method, params)
    answer(session, peer.messages[0], accepted(name="Ada"))
    assert expected in str(peer.result)
    failing = session.ask(method, params, id=2)
    answer(session, failing.messages[0], accepted(name=5))
    assert "does not fit" in failing.error["message"]


# --- answers that are none


def test_an_error_is_told_to_the_tool(server: Server) -> None:
    """With the client's words; the tool may go on without."""
    session = legacy_session(server)
    peer = called(session, "careful")
    answer(session, peer.messages[0], error={"code": -1, "message": "User rejected sampling request"})
    assert text(peer) == "alone: The client did not answer sampling/createMessage: User rejected sampling request"


def test_an_answer_that_does_not_fit(server: Server) -> None:
    """Is an error of the tool, that says what was wrong; the answer itself was accepted."""
    session = legacy_session(server)
    peer = called(session, "greet")
    assert answer(session, peer.messages[0], accepted(name=5)).status == 202
    assert peer.result["isError"]
    assert text(peer).startswith("The client's answer to elicitation/create does not fit: name: ")


def test_one_without_an_answer_takes_the_others_back(server: Server) -> None:
    """The client is told that nobody waits for them any more, before the result."""
    session = legacy_session(server)
    peer = called(session, "several")
    who, what, where = peer.messages
    answer(session, what, error={"code": -1, "message": "no"})
    cancelled = [m["params"]["requestId"] for m in peer.messages if m.get("method") == "notifications/cancelled"]
    assert cancelled == [who["id"], where["id"]]
    assert peer.result["isError"]
    assert answer(session, who, accepted(name="late")).status == 202


def test_a_user_who_declines(server: Server) -> None:
    """Ends a call that does not look."""
    session = legacy_session(server)
    peer = called(session, "greet")
    answer(session, peer.messages[0], DECLINED)
    assert (peer.result["isError"], text(peer)) == (True, "The user declined to answer")


def test_unknown_answers_are_dropped(server: Server) -> None:
    """Of another type, of another session, or given before: accepted, and without effect."""
    session, other = legacy_session(server), legacy_session(server)
    peer = called(session, "greet")
    (asked,) = peer.messages
    for stranger in (other, session):
        wrong = asked["id"] if stranger is other else "nobody"
        assert answer(stranger, {"id": wrong}, accepted(name="Eve")).status == 202
    for number in (0, 1):
        assert answer(session, {"id": number}, accepted(name="Eve")).status == 202
    assert not peer.complete
    answer(session, asked, accepted(name="Ada"))
    assert answer(session, asked, accepted(name="Eve")).status == 202
    assert text(peer) == "Hello, Ada!"


# --- calls that end before the answer


@pytest.mark.parametrize("end", ["cancelled", "session", "grace"])
def test_a_call_that_ends_forgets_its_questions(end: str) -> None:
    """Its function is cancelled, and the answer that comes too late is dropped."""
    runs = Runs()
    server = Server(runs.stubborn())
    session = legacy_session(server)
    peer = called(session, "stubborn", id=7)
    (asked,) = peer.messages
    if end == "cancelled":
        session.notify("notifications/cancelled", {"requestId": 7})
    elif end == "session":
        session.delete()
    else:
        peer.drop()
        server.seconds(40)
    assert runs.told == ["on_cancel", "CancelledError", "finally"]
    assert [message.get("method") for message in peer.messages] == ["elicitation/create"]
    assert answer(session, asked, accepted(name="late")).status == (404 if end == "session" else 202)
    assert runs.told[-1] == "finally"


def test_a_question_that_is_taken_back() -> None:
    """Its client is told, on the same stream, and the call goes on."""
    runs = Runs()
    server = Server(runs.stubborn())
    peer = called(legacy_session(server), "stubborn")
    assert runs.waiting is not None
    runs.waiting.cancel()
    asked, cancelled, reply = peer.messages
    assert cancelled["method"] == "notifications/cancelled"
    assert cancelled["params"]["requestId"] == asked["id"]
    assert reply["result"]["content"][0]["text"] == "swallowed"
    assert runs.told == ["CancelledError", "finally"]


def test_a_tool_may_set_a_time_limit(server: Server) -> None:
    """A Deferred has one; the clock is that of the call."""

    @tool
    async def impatient(call: Call) -> str:
        """Wait for a minute."""
        await call.elicit("Quick!", Name).addTimeout(60, call.clock)
        return "never"

    server = Server(impatient)
    peer = called(legacy_session(server), "impatient")
    server.seconds(61)
    assert peer.messages[1]["method"] == "notifications/cancelled"
    assert peer.result["isError"]


# --- clients that can't be asked


@pytest.mark.parametrize(
    ("version", "capabilities", "tool_name", "words"),
    [
        (LATEST_LEGACY, {}, "greet", "does not declare elicitation.form"),
        (LATEST_LEGACY, {"elicitation": {"url": {}}}, "greet", "does not declare elicitation.form"),
        (LATEST_LEGACY, {"elicitation": {}}, "visit", "does not declare elicitation.url"),
        (LATEST_LEGACY, {"elicitation": {}}, "several", "does not declare roots, sampling"),
        ("2025-06-18", {"elicitation": {"url": {}}}, "visit", "sends no user to a URL"),
        ("2025-03-26", {"elicitation": {}}, "greet", "has no elicitation"),
        ("2024-11-05", {"elicitation": {}}, "greet", "has no elicitation"),
    ],
)
def test_what_can_not_be_asked(server: Server, version: str, capabilities: Any, tool_name: str, words: str) -> None:
    """The tool sees an error at once, and nothing of it is sent."""
    peer = called(legacy_session(server, version, capabilities), tool_name)
    assert peer.type == "application/json"
    assert (peer.result["isError"], words in text(peer)) == (True, True)
    assert not server.calls.running


def test_a_client_that_takes_only_json(server: Server) -> None:
    """There is no way to ask it; a page to visit is told with -32042 where that exists."""
    session = legacy_session(server)
    peer = called(session, "greet", headers=JSON_ONLY)
    assert peer.type == "application/json"
    assert "takes the reply as JSON" in text(peer)
    assert called(session, "visit", headers=JSON_ONLY).error["code"] == -32042


def test_a_batch_asks_nothing(server: Server) -> None:
    """Its calls share one response; but it may carry answers."""
    session = legacy_session(server, "2025-03-26")
    batch = session.post([request("tools/call", call_params("careful"))])
    assert "can't be asked" in batch.json[0]["result"]["content"][0]["text"]
    peer = called(session, "careful", id=2)
    (asked,) = peer.messages
    assert session.post([{"jsonrpc": "2.0", "id": asked["id"], "result": said("hi")}]).status == 202
    assert text(peer) == "hi"


@pytest.mark.parametrize("version", LEGACY)
def test_sampling_and_roots_are_in_all_revisions(server: Server, version: str) -> None:
    """They are as old as the protocol."""
    session = legacy_session(server, version)
    peer = called(session, "careful")
    answer(session, peer.messages[0], said("hi"))
    assert text(peer) == "hi"
    stream = called(session, "by_callback", id=2)
    answer(session, stream.messages[0], ROOTS)
    assert text(stream) == "file:///home"


# --- pages to visit


def test_a_page_to_visit(server: Server) -> None:
    """In 2025-11-25 it has an id."""
    session = legacy_session(server)
    peer = called(session, "visit")
    (asked,) = peer.messages
    assert asked["params"] == {"mode": "url", "message": "Please connect", "url": URL, "elicitationId": "v1"}
    answer(session, asked, {"action": "accept"})
    assert text(peer) == "accept"


def test_a_page_that_must_be_visited(server: Server) -> None:
    """The error -32042 says where, to clients that can show it; to others the model reads it."""
    error = called(legacy_session(server), "connected_only").error
    assert error["code"] == -32042
    assert error["data"] == {
        "elicitations": [{"mode": "url", "message": "Please connect first:", "url": URL, "elicitationId": "v2"}]
    }
    for session in (legacy_session(server, "2025-06-18"), legacy_session(server, capabilities={"elicitation": {}})):
        peer = called(session, "connected_only")
        assert (peer.result["isError"], text(peer)) == (True, f"Please connect first: {URL}")
