"""Requests of ours in a session: their ids, their answers, and those that nobody waits for any more."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from mcpserve.errors import AskError
from mcpserve.legacy.requests import AskingCarrier, Requests
from mcpserve.protocol.exchange import Exchange, State
from mcpserve.protocol.inputs import ROOTS, InputRequest
from mcpserve.protocol.jsonrpc import Request, Response
from mcpserve.protocol.revisions import V2025_11_25
from tests.recording import RecordingCarrier

QUESTION = InputRequest(key="k", method="roots/list", params=None, needs=ROOTS)


def test_an_answer_finds_its_question_once() -> None:
    """Whatever comes later with the same id is dropped."""
    requests = Requests("x")
    heard: list[Any] = []
    request_id, message = requests.open(QUESTION, heard.append)
    assert orjson.loads(message) == {"jsonrpc": "2.0", "id": request_id, "method": "roots/list"}
    assert len(requests) == 1
    for _ in range(2):
        requests.answer(Response(request_id, {"roots": []}))
    assert heard == [Response(request_id, {"roots": []})]
    assert len(requests) == 0


def test_ids_are_used_once() -> None:
    """Within a session, and after a restart of the server in the same session."""
    ids = {requests.open(QUESTION, print)[0] for requests in (Requests(), Requests()) for _ in range(3)}
    assert len(ids) == 6


@pytest.mark.parametrize("request_id", [None, 1, "x-2", "k"])
def test_an_answer_that_nobody_waits_for(request_id: Any) -> None:
    """It is dropped."""
    requests = Requests("x")
    requests.open(QUESTION, pytest.fail)
    requests.answer(Response(request_id, {}))
    assert len(requests) == 1


def test_a_question_that_is_taken_back() -> None:
    """Its answer is dropped."""
    requests = Requests()
    request_id, _ = requests.open(QUESTION, pytest.fail)
    assert requests.take_back(request_id)
    assert not requests.take_back(request_id)
    requests.answer(Response(request_id, {}))


def exchange(streams: bool = True) -> tuple[Exchange, RecordingCarrier, Requests]:
    """An exchange that can ask."""
    carrier, requests = RecordingCarrier(), Requests()
    return (
        Exchange(Request(1, "m", {}), V2025_11_25, AskingCarrier(carrier, requests, streams=streams)),
        carrier,
        requests,
    )


def test_a_question_opens_the_stream() -> None:
    """It is carried as a notification is; everything else passes through."""
    asking, carrier, requests = exchange()
    heard: list[Any] = []
    asking.ask(QUESTION, heard.append)
    assert asking.state is State.STREAMING
    requests.answer(Response(carrier.notices[0]["id"], {"roots": []}))
    assert heard
    asking.notify(b"{}")
    asking.succeed({})
    assert (len(carrier.notices), len(carrier.replies)) == (2, 1)


def test_taking_back_is_told_while_it_can_be() -> None:
    """Not after the reply, and not after the answer."""
    asking, carrier, requests = exchange()
    take_back = [asking.ask(QUESTION, print) for _ in range(3)]
    take_back[0]()
    assert carrier.notices[-1]["params"]["requestId"] == carrier.notices[0]["id"]
    requests.answer(Response(carrier.notices[1]["id"], {}))
    take_back[1]()
    asking.succeed({})
    take_back[2]()
    assert len(carrier.notices) == 4
    assert len(requests) == 0


def test_nothing_is_asked_after_the_end() -> None:
    """Neither after the reply nor when it was withdrawn."""
    for end in ("succeed", "withdraw", "lost"):
        asking, carrier, requests = exchange()
        getattr(asking, end)(*([{}] if end == "succeed" else []))
        with pytest.raises(AskError):
            asking.ask(QUESTION, print)
        assert (carrier.notices, len(requests)) == ([], 0)


def test_a_client_that_takes_only_the_reply() -> None:
    """Nothing is sent, and the exchange is as before."""
    asking, carrier, requests = exchange(streams=False)
    with pytest.raises(AskError, match="JSON"):
        asking.ask(QUESTION, print)
    assert (asking.state, carrier.notices, len(requests)) == (State.OPEN, [], 0)


def test_a_carrier_that_can_not_ask() -> None:
    """It says so at once."""
    plain = Exchange(Request(1, "m", {}), V2025_11_25, RecordingCarrier())
    assert not plain.can_ask
    with pytest.raises(AskError, match="nothing but the reply"):
        plain.ask(QUESTION, print)
