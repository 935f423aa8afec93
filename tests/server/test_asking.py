"""What becomes of questions where the wire does not show it: callers, reloads, and code that takes no end."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mcpserve import Call, Stream, tool
from mcpserve.policy.callers import Caller
from mcpserve.protocol.exchange import Exchange
from mcpserve.protocol.jsonrpc import Request
from mcpserve.protocol.metadata import RequestMetadata
from mcpserve.protocol.revisions import V2025_11_25, V2026_07_28, Revision
from mcpserve.server.asking import purpose_of
from tests.recording import RecordingCarrier
from tests.server.desk import Desk

NOBODY = Caller()
ALL = {"elicitation": {}, "sampling": {}, "roots": {}}
NAME = {"type": "object", "properties": {"name": {"type": "string"}}, "required": ["name"]}
AGE = {"type": "object", "properties": {"age": {"type": "integer"}}, "required": ["age"]}


def send(
    desk: Desk,
    caller: Caller = NOBODY,
    revision: Revision = V2026_07_28,
    method: str = "tools/call",
    **params: Any,
) -> Any:
    """Call the tool "t", and give the reply."""
    carrier = RecordingCarrier()
    exchange = Exchange(Request(1, method, {"name": "t", "arguments": {}, **params}), revision, carrier)
    desk.dispatcher.dispatch(exchange, RequestMetadata(revision=revision, capabilities=ALL), caller)
    desk.clock.advance(0)
    return carrier.replies[0]


def asking(schema: Any, *more: Any) -> Desk:
    """A desk with a tool that asks for forms, one after the other."""

    @tool(name="t")
    async def t(call: Call) -> str:
        """Ask."""
        return str([(await call.elicit("?", each)).form for each in (schema, *more)])

    return Desk(t)


def test_the_state_of_another_caller() -> None:
    """It is refused, whether one of them has a name or both."""
    desk = asking(NAME)
    callers = [Caller(), Caller(name="ada"), Caller(name="eve")]
    states = [send(desk, caller)["result"]["requestState"] for caller in callers]
    for caller, own in zip(callers, states, strict=True):
        for state in states:
            reply = send(desk, caller, requestState=state)
            assert ("result" in reply) is (state is own)
            assert state is own or reply["error"]["code"] == -32602


REQUESTS = st.tuples(
    st.none() | st.text(max_size=3),
    st.sampled_from(["tools/call", "prompts/get", "resources/read"]),
    st.dictionaries(
        st.sampled_from(["name", "uri", "arguments"]), st.none() | st.text(max_size=2) | st.integers(-(2**53), 2**53)
    ),
)
ROUNDS = st.dictionaries(st.sampled_from(["_meta", "requestState", "inputResponses"]), st.text(max_size=3))


@given(REQUESTS, REQUESTS, ROUNDS, ROUNDS)
def test_what_a_state_is_good_for(one: Any, other: Any, first: Any, second: Any) -> None:
    """Two requests share it only if caller, method and params are the same; their ids and rounds do not count."""

    def purpose(request_id: int, parts: Any, more: Any) -> str:
        caller, method, params = parts
        return purpose_of(Request(request_id, method, {**params, **more}), Caller(name=caller))

    assert purpose(1, one, first) == purpose(2, one, second)
    assert (purpose(1, one, first) == purpose(1, other, second)) is (one == other)


def test_a_state_means_nothing_in_a_session() -> None:
    """Before 2026-07-28 its name is that of any other param."""

    @tool(name="t")
    async def t(call: Call) -> str:
        """Ask nothing."""
        return "done"

    reply = send(Desk(t), revision=V2025_11_25, requestState="x", inputResponses=5)
    assert reply["result"]["content"][0]["text"] == "done"


def test_a_question_that_is_another_after_a_reload() -> None:
    """An answer from before that does not fit it any more is asked for again."""
    desk = asking(NAME, NAME)
    first = send(desk, inputResponses={"elicit-1": {"action": "accept", "content": {"name": "Ada"}}})["result"]
    assert list(first["inputRequests"]) == ["elicit-2"]
    desk.tools.catalog = asking(AGE, NAME).tools.catalog
    second = send(desk, requestState=first["requestState"])["result"]
    assert list(second["inputRequests"]) == ["elicit-1"]


def test_whoever_waits_is_told_that_nothing_comes() -> None:
    """Also a callback that no coroutine stands behind; what it raises then is not lost on anybody."""
    told: list[str] = []

    @tool(name="t")
    def t(stream: Stream) -> None:
        """Ask without a coroutine."""
        stream.roots().addErrback(lambda failure: told.append(failure.type.__name__))

    desk = Desk(t)
    assert send(desk)["result"]["resultType"] == "input_required"
    assert told == ["CancelledError"]
    assert desk.nothing_left()


def test_whoever_asks_on_after_the_end() -> None:
    """A loop that takes no end for an answer gets none, and ends."""
    tries: list[str] = []

    @tool(name="t")
    async def t(call: Call) -> None:
        """Ask until there is an answer."""
        while len(tries) < 1000:
            try:
                await call.roots()
            except Exception as error:
                tries.append(type(error).__name__)

    desk = Desk(t)
    assert send(desk)["result"]["resultType"] == "input_required"
    assert 1 < len(tries) < 1000
    assert set(tries) == {"CancelledError"}
    assert desk.nothing_left()


def test_what_is_done_once_is_json() -> None:
    """What has no form in JSON can't travel, in no era."""

    @tool(name="t")
    async def t(call: Call) -> str:
        """Keep what can't be kept."""
        call.once("x", object)
        return "kept"

    for revision in (V2025_11_25, V2026_07_28):
        assert send(Desk(t), revision=revision)["result"]["isError"]


@pytest.mark.parametrize("revision", [V2025_11_25, V2026_07_28])
def test_once_is_once_within_a_run(revision: Revision) -> None:
    """Also without a question."""

    @tool(name="t")
    async def t(call: Call) -> str:
        """Do it twice."""
        done: list[int] = []
        for _ in range(2):
            call.once("x", lambda: done.append(1))
        return str(len(done))

    assert send(Desk(t), revision=revision)["result"]["content"][0]["text"] == "1"
