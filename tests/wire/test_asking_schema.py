"""What goes out when a client is asked, held against the official schema; see `test_schema`."""

from __future__ import annotations

from typing import Any

import pytest

from mcpserve import Call, Image, Sample, SamplingMessage, Text, ToolOutcome, ToolUse, tool
from tests.features.test_forms import Order
from tests.wire.questions import TOOLS, ask_modern, legacy_session
from tests.wire.server import LATEST_LEGACY, LEGACY, MODERN, Server
from tests.wire.test_schema import SPEC, official

DEFINITIONS = {
    "elicitation/create": "ElicitRequest",
    "sampling/createMessage": "CreateMessageRequest",
    "roots/list": "ListRootsRequest",
}
CONVERSATION = [
    SamplingMessage("user", [Text("Look"), Image(b"x")]),
    SamplingMessage("assistant", [Text("I will"), ToolUse("1", "look", {"at": "it"})]),
    SamplingMessage("user", ToolOutcome("1", [Text("seen")], structured={"a": 1})),
]


@tool
async def ordering(call: Call) -> str:
    """Ask with every kind of field."""
    return (await call.elicit("What?", Order)).action


@tool
async def talking(call: Call) -> str:
    """Ask a model with all options."""
    schema = {"type": "object", "properties": {"at": {"type": "string"}}}
    question = Sample(
        CONVERSATION,
        max_tokens=5,
        system="Be brief",
        temperature=0.5,
        stop=["."],
        models=["small"],
        cost=0.1,
        speed=0.2,
        intelligence=0.3,
        tools=[{"name": "look", "description": "Look", "inputSchema": schema}],
        tool_choice="auto",
        metadata={"x": 1},
    )
    return str(await call.ask(what=question))


NAMES = [*(each.__name__ for each in TOOLS[:-2]), "ordering", "talking"]

pytestmark = pytest.mark.skipif(SPEC is None, reason="MCPSERVE_SPEC does not name the folder of the official schemas")


@pytest.mark.parametrize("name", NAMES)
def test_input_required(name: str) -> None:
    """The result that carries the questions, and each of them."""
    result = ask_modern(Server(*TOOLS, ordering, talking), name).result
    assert official(MODERN, "InputRequiredResult")(result) == []
    for request in result["inputRequests"].values():
        assert official(MODERN, DEFINITIONS[request["method"]])(request) == []


@pytest.mark.parametrize("revision", LEGACY)
def test_requests_in_sessions(revision: str) -> None:
    """Each request of ours that a revision knows; the others are not sent."""
    server = Server(*TOOLS, ordering, talking)
    session = legacy_session(server, revision)
    asked: list[Any] = []
    for number, name in enumerate(NAMES):
        peer = session.call(name, id=number)
        server.turn()
        asked += [m for m in (peer.messages if peer.type == "text/event-stream" else []) if "method" in m]
    for message in asked:
        if message["method"] in DEFINITIONS:
            assert official(revision, "JSONRPCRequest")(message) == []
            assert official(revision, DEFINITIONS[message["method"]])(message) == []
    methods = {message["method"] for message in asked}
    assert ("elicitation/create" in methods) is (revision >= "2025-06-18")
    assert methods >= {"sampling/createMessage", "roots/list"}


def test_the_error_with_pages_to_visit() -> None:
    """It has a definition of its own."""
    peer = legacy_session(Server(*TOOLS)).call("connected_only")
    assert official(LATEST_LEGACY, "URLElicitationRequiredError")(peer.json) == []
