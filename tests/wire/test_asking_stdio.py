"""Asking the client over stdio, in both eras."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from tests.wire.pipes import Pipes
from tests.wire.questions import ALL, TOOLS, accepted, said
from tests.wire.server import CAPABILITIES, Server, call_params


@pytest.fixture
def pipes() -> Pipes:
    """A client connected by pipes, to a server whose tools ask."""
    return Pipes(Server(*TOOLS))


def lines(pipes: Pipes) -> list[Any]:
    """All messages that have arrived."""
    return [orjson.loads(line) for line in pipes.arrived.splitlines()]


def test_after_a_handshake(pipes: Pipes) -> None:
    """A request goes out between the other messages, and the response is found by its id."""
    pipes.initialize("2025-11-25", capabilities=ALL)
    pipes.ask("tools/call", call_params("greet"), id=1)
    pipes.ask("tools/call", call_params("careful"), id=2)
    first, second = lines(pipes)[-2:]
    assert (first["method"], second["method"]) == ("elicitation/create", "sampling/createMessage")
    pipes.send({"jsonrpc": "2.0", "id": second["id"], "result": said("hi")})
    assert pipes.reply(2)["result"]["content"][0]["text"] == "hi"
    pipes.send({"jsonrpc": "2.0", "id": "nobody", "result": {}})
    pipes.send({"jsonrpc": "2.0", "id": first["id"], "result": accepted(name="Ada")})
    assert pipes.reply(1)["result"]["content"][0]["text"] == "Hello, Ada!"


def test_a_call_that_is_cancelled(pipes: Pipes) -> None:
    """Its question is forgotten, and an answer that comes too late is dropped."""
    pipes.initialize("2025-11-25", capabilities=ALL)
    pipes.ask("tools/call", call_params("greet"), id=1)
    asked = lines(pipes)[-1]
    pipes.cancel(1)
    pipes.send({"jsonrpc": "2.0", "id": asked["id"], "result": accepted(name="Ada")})
    assert lines(pipes)[-1] == asked


def test_without_a_handshake(pipes: Pipes) -> None:
    """Questions are in the result, and answers in the next request."""
    meta = {CAPABILITIES: ALL}
    first = pipes.call("greet", meta=meta)["result"]
    assert first["resultType"] == "input_required"
    params = {
        **call_params("greet"),
        "inputResponses": {"elicit-1": accepted(name="Ada")},
        "requestState": first["requestState"],
    }
    assert "Hello, Ada!" in str(pipes.modern("tools/call", params, meta=meta, id=2)["result"])
