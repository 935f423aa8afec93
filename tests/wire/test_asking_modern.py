"""Asking the client in 2026-07-28: input_required, the request sent again, and state that nobody can bend."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.wire.questions import (
    ALL,
    DECLINED,
    ROOTS,
    TOOLS,
    URL,
    Runs,
    accepted,
    ask_modern,
    said,
)
from tests.wire.server import CAPABILITIES, PREFIX, Server
from tests.wire.tools import echo

FORM = {"type": "object", "properties": {"name": {"type": "string"}}, "required": ["name"]}


@pytest.fixture
def server() -> Server:
    """A server whose tools ask."""
    return Server(*TOOLS, echo)


def again(server: Server, name: str, first: Any, answers: Any, **more: Any) -> Any:
    """Send a request again, with answers and the state that came with the questions."""
    params = {"inputResponses": answers, "requestState": first.result["requestState"]}
    return ask_modern(server, name, params, id=2, **more)


def test_a_round(server: Server) -> None:
    """The call ends with the question, and the request that brings the answer with the result."""
    first = ask_modern(server, "greet")
    assert (first.status, first.type) == (200, "application/json")
    assert first.result["resultType"] == "input_required"
    assert first.result["_meta"][PREFIX + "serverInfo"]["name"] == "tested"
    assert first.result["inputRequests"] == {
        "elicit-1": {"method": "elicitation/create", "params": {"message": "Your name?", "requestedSchema": FORM}}
    }
    assert not server.leftovers()
    second = again(server, "greet", first, {"elicit-1": accepted(name="Ada")})
    assert second.result["content"] == [{"type": "text", "text": "Hello, Ada!"}]
    assert second.result["resultType"] == "complete"
    assert not server.leftovers()


def test_what_is_nested_too_deeply_to_come_back_to(server: Server) -> None:
    """Refused before any work."""
    deep = orjson.Fragment(b"[" * 400 + b"]" * 400)
    answer = ask_modern(server, "greet", {"requestState": "x", "junk": deep})
    assert (answer.status, answer.error["code"]) == (400, -32600)
    assert not server.leftovers()


def test_several_rounds(server: Server) -> None:
    """Earlier answers and what was done once travel in the state; the client sends only the new ones."""
    first = ask_modern(server, "two_rounds", arguments={"start": 100})
    assert list(first.result["inputRequests"]) == ["first"]
    second = again(server, "two_rounds", first, {"first": accepted(name="A")}, arguments={"start": 100})
    assert list(second.result["inputRequests"]) == ["second"]
    assert second.result["requestState"] != first.result["requestState"]
    third = again(server, "two_rounds", second, {"second": accepted(name="B")}, arguments={"start": 100})
    number, _, names = third.result["content"][0]["text"].partition(": ")
    assert names == "A, B"
    repeated = again(server, "two_rounds", second, {"second": accepted(name="C")}, arguments={"start": 100})
    assert repeated.result["content"][0]["text"] == f"{number}: A, C"


def test_an_answer_that_was_taken_stays(server: Server) -> None:
    """A client can't take back in a later round what it said in an earlier one."""
    first = ask_modern(server, "two_rounds")
    second = again(server, "two_rounds", first, {"first": accepted(name="A")})
    third = again(server, "two_rounds", second, {"first": accepted(name="X"), "second": accepted(name="B")})
    assert third.result["content"][0]["text"].endswith(": A, B")


def test_several_at_once(server: Server) -> None:
    """All questions go out together; what is missing is asked for again, and what came is kept."""
    first = ask_modern(server, "several")
    asked = {key: request["method"] for key, request in first.result["inputRequests"].items()}
    assert asked == {"who": "elicitation/create", "what": "sampling/createMessage", "where": "roots/list"}
    assert "params" not in first.result["inputRequests"]["where"]
    second = again(server, "several", first, {"who": accepted(name="Ada"), "where": ROOTS})
    assert list(second.result["inputRequests"]) == ["what"]
    third = again(server, "several", second, {"what": said("sleeps at")})
    assert third.result["content"][0]["text"] == "Ada sleeps at file:///home"


def test_answers_without_state(server: Server) -> None:
    """A client that knows the keys may answer before it is asked."""
    assert "Ada" in str(ask_modern(server, "greet", {"inputResponses": {"elicit-1": accepted(name="Ada")}}).result)


def test_unknown_keys_are_ignored(server: Server) -> None:
    """Alone they lead to the question again, beside the right one to the result."""
    alone = ask_modern(server, "greet", {"inputResponses": {"other": accepted(name="Ada")}})
    assert alone.result["resultType"] == "input_required"
    beside = ask_modern(server, "greet", {"inputResponses": {"other": 5, "elicit-1": accepted(name="Ada")}})
    assert beside.result["resultType"] == "complete"


@pytest.mark.parametrize(
    "responses",
    [None, 5, [], "x", {"elicit-1": 12345}, {"elicit-1": {}}, {"elicit-1": accepted()}, {"elicit-1": accepted(name=5)}],
)
def test_answers_that_do_not_fit(server: Server, responses: Any) -> None:
    """They are refused with -32602 and 200, and nothing is left of the call."""
    peer = ask_modern(server, "greet", {"inputResponses": responses})
    assert (peer.status, peer.error["code"]) == (200, -32602)
    assert "inputResponses" in peer.error["message"]
    assert not server.leftovers()


def test_a_user_who_declines(server: Server) -> None:
    """Ends a call that does not look with an error for the model."""
    result = ask_modern(server, "greet", {"inputResponses": {"elicit-1": DECLINED}}).result
    assert (result["isError"], result["content"][0]["text"]) == (True, "The user declined to answer")


def test_progress_comes_before_the_question(server: Server) -> None:
    """A stream carries no request: the question is in the result that ends it."""
    peer = ask_modern(server, "after_progress", meta={"progressToken": "t"})
    notice, last = peer.messages
    assert notice["method"] == "notifications/progress"
    assert last["result"]["resultType"] == "input_required"
    assert peer.complete


OTHERS = [
    ("prompts/get", {"name": "about", "arguments": {"length": "long"}}, "Write a long text about Ada"),
    ("resources/read", {"uri": "notes://monday"}, "Ada on monday"),
]


@pytest.mark.parametrize(("method", "params", "expected"), OTHERS)
def test_prompts_and_resources_ask_too(server: Server, method: str, params: dict[str, Any], expected: str) -> None:
    """As tools do, and their state is good for them alone."""
    meta = {CAPABILITIES: ALL}
    first = server.modern(method, params, meta=meta).result
    assert first["resultType"] == "input_required"
    assert "ttlMs" not in first
    brought = {"inputResponses": {"elicit-1": accepted(name="Ada")}, "requestState": first["requestState"]}
    second = server.modern(method, {**params, **brought}, meta=meta).result
    assert (second["resultType"], expected in str(second)) == ("complete", True)
    for other, about, _ in OTHERS:
        if other != method:
            refused(server.modern(other, {**about, **brought}, meta=meta), "another request")
    peer = server.modern(method, params)
    assert (peer.status, peer.error["code"]) == (400, -32021)
    refused(server.modern(method, {**params, "inputResponses": {"elicit-1": 5}}, meta=meta), "inputResponses.elicit-1")


# --- what nobody can bend


def refused(peer: Any, words: str) -> None:
    """It was refused, and the client is told how to go on."""
    assert (peer.status, peer.error["code"]) == (200, -32602)
    assert words in peer.error["message"]


@pytest.mark.parametrize("state", [5, None, {}, ["x"]])
def test_a_state_of_another_type(server: Server, state: Any) -> None:
    """It is refused."""
    refused(ask_modern(server, "greet", {"requestState": state}), "requestState must be a string")


def test_a_state_that_was_changed(server: Server) -> None:
    """It is refused, and not asked for again."""
    first = ask_modern(server, "greet")
    first.result["requestState"] += "-TAMPERED"
    state = first.result["requestState"] + "-TAMPERED"
    refused(ask_modern(server, "greet", {"requestState": state}), "it was changed")


@given(st.data())
def test_a_state_with_any_other_character(data: st.DataObject) -> None:
    """Wherever it is."""
    server = Server(*TOOLS)
    state = ask_modern(server, "greet").result["requestState"]
    place = data.draw(st.integers(0, len(state) - 1))
    other = data.draw(st.sampled_from("AQgwZ_-9=").filter(lambda c: c != state[place]))
    refused(ask_modern(server, "greet", {"requestState": state[:place] + other + state[place + 1 :]}), "changed")


def test_the_state_of_another_request(server: Server) -> None:
    """It is good for one tool and one set of arguments; also a tool that never asks refuses it."""
    state = ask_modern(server, "two_rounds", arguments={"start": 1}).result["requestState"]
    for name, arguments in (("two_rounds", {"start": 2}), ("two_rounds", {}), ("greet", {}), ("echo", {})):
        refused(ask_modern(server, name, {"requestState": state}, arguments=arguments), "another request")
    fine = ask_modern(server, "two_rounds", {"requestState": state}, arguments={"start": 1})
    assert fine.result["resultType"] == "input_required"


def test_the_state_of_another_server(server: Server) -> None:
    """Each makes its key when it starts."""
    state = ask_modern(Server(*TOOLS), "greet").result["requestState"]
    refused(ask_modern(server, "greet", {"requestState": state}), "another server")


def test_a_state_that_has_expired(server: Server) -> None:
    """A quarter of an hour is what a user may take."""
    first = ask_modern(server, "greet")
    server.seconds(900, 100)
    assert again(server, "greet", first, {}).result["resultType"] == "input_required"
    server.seconds(1)
    refused(again(server, "greet", first, {}), "it has expired")


# --- what a client can be asked


@pytest.mark.parametrize(
    ("tool", "capabilities", "required"),
    [
        ("greet", {}, {"elicitation": {"form": {}}}),
        ("greet", {"elicitation": {"url": {}}}, {"elicitation": {"form": {}}}),
        ("visit", {"elicitation": {}}, {"elicitation": {"url": {}}}),
        ("several", {"roots": {}}, {"elicitation": {"form": {}}, "sampling": {}}),
        ("by_callback", {"sampling": {}}, {"roots": {}}),
    ],
)
def test_what_was_not_declared_is_not_asked(server: Server, tool: str, capabilities: Any, required: Any) -> None:
    """400 and -32021, with what is missing; nothing of it goes out."""
    peer = ask_modern(server, tool, capabilities=capabilities)
    assert (peer.status, peer.error["code"]) == (400, -32021)
    assert peer.error["data"] == {"requiredCapabilities": required}
    assert not server.leftovers()


def test_a_tool_may_do_without(server: Server) -> None:
    """It sees the error at once, and goes on."""
    text = ask_modern(server, "careful", capabilities={}).result["content"][0]["text"]
    assert text == "alone: This client can't be asked: it does not declare sampling"


def test_a_page_to_visit(server: Server) -> None:
    """In URL mode there is no id, and the answer says only that the user agreed."""
    first = ask_modern(server, "visit")
    assert first.result["inputRequests"]["elicit-1"]["params"] == {
        "mode": "url",
        "message": "Please connect",
        "url": URL,
    }
    assert again(server, "visit", first, {"elicit-1": {"action": "accept"}}).result["content"][0]["text"] == "accept"


def test_a_page_that_must_be_visited(server: Server) -> None:
    """The client is sent there, and again as long as the tool insists; one that can't show it has the model tell."""
    first = ask_modern(server, "connected_only")
    (request,) = first.result["inputRequests"].values()
    assert request["params"]["url"] == URL
    (key,) = first.result["inputRequests"]
    second = again(server, "connected_only", first, {key: {"action": "accept"}})
    assert second.result["resultType"] == "input_required"
    told = ask_modern(server, "connected_only", capabilities={"elicitation": {}}).result
    assert (told["isError"], told["content"][0]["text"]) == (True, f"Please connect first: {URL}")


# --- how a call ends that has asked


def test_nobody_keeps_a_call_from_its_end() -> None:
    """The function is cancelled where it waits, its `finally` runs, and what it makes of that does not count."""
    runs = Runs()
    server = Server(runs.stubborn())
    peer = ask_modern(server, "stubborn")
    assert peer.result["resultType"] == "input_required"
    assert runs.told == ["on_cancel", "CancelledError", "finally"]
    server.turn()
    assert not server.leftovers()


def test_a_stream_asks_too(server: Server) -> None:
    """With callbacks instead of a coroutine; those are told that nothing comes any more."""
    first = ask_modern(server, "by_callback")
    server.turn()
    assert not server.leftovers()
    assert again(server, "by_callback", first, {"roots-1": ROOTS}).result["content"][0]["text"] == "file:///home"


def test_what_is_not_asked_for_carries_nothing(server: Server) -> None:
    """A tool that asks nothing answers as always, whatever is sent along."""
    result = ask_modern(server, "echo", {"inputResponses": {"x": 1}}, arguments={"text": "hi"}).result
    assert result["content"][0]["text"] == "hi"


def test_all_is_declared() -> None:
    """What the tests declare is what there is to be asked."""
    assert set(ALL) == {"elicitation", "sampling", "roots"}
