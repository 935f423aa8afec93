"""Questions of the server: answered side by side, once each, and not after they were taken back."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from typing import Any

import orjson
import pytest
from twisted.internet.defer import CancelledError, Deferred

from mcpserve.client.questions import Questions
from mcpserve.errors import AnswerLost
from mcpserve.protocol.jsonrpc import Request
from tests.client.scripted_web import ScriptedHost


class Desk:
    """Questions, their host, and what is sent."""

    def __init__(self, host: Any = None) -> None:
        self.host = host or ScriptedHost()
        self.sent: list[Any] = []
        self.questions = Questions(self.host, self._send)

    def _send(self, answer: bytes) -> None:
        self.sent.append(orjson.loads(answer))


class Stubborn(ScriptedHost):
    """Answers even when it is told to stop."""

    async def answer(self, question: Request) -> Mapping[str, Any]:
        """See `Host.answer`."""
        with contextlib.suppress(CancelledError):
            await super().answer(question)
        return {"late": True}


def test_each_question_is_answered_in_its_own_time() -> None:
    """The order of the answers is that in which they are found."""
    desk = Desk()
    desk.questions.ask(Request(1, "a", {}))
    desk.questions.ask(Request("1", "b", {}))
    desk.host.replies[1].callback({"b": 1})
    desk.host.replies[0].callback({"a": 1})
    assert [(answer["id"], answer["result"]) for answer in desk.sent] == [("1", {"b": 1}), (1, {"a": 1})]


@pytest.mark.parametrize("how", ["withdraw", "forget", "close"])
def test_what_was_taken_back_is_not_answered(how: str) -> None:
    """Not even by a program that answers nevertheless."""
    desk, owner = Desk(Stubborn()), object()
    desk.questions.ask(Request(1, "a", {}), owner)
    getattr(desk.questions, how)(*{"withdraw": (1,), "forget": (owner,), "close": ()}[how])
    assert desk.host.taken_back == 1
    assert desk.sent == []
    desk.questions.ask(Request(1, "a", {}))
    assert len(desk.host.questions) == 2


def test_a_program_that_gives_up_by_itself_does_not_leave_the_server_waiting() -> None:
    """A handler that is cancelled by something of its own is an internal error for the server."""
    desk = Desk()
    desk.questions.ask(Request(1, "a", {}))
    desk.host.replies[0].errback(CancelledError())
    assert desk.sent[0]["error"]["code"] == -32603


def test_an_answer_that_can_not_be_sent_is_only_logged() -> None:
    """It is over; the next question with this id is answered."""
    host = ScriptedHost()
    questions = Questions(host, lambda answer: Deferred.fromCoroutine(_lose()))
    for number in range(2):
        questions.ask(Request(1, "a", {}))
        host.replies[number].callback({})
    assert len(host.questions) == 2


async def _lose() -> None:
    raise AnswerLost("x")


def test_a_flood_of_questions() -> None:
    """So many are answered, so many more refused, and what comes beyond while none of that is done is ignored."""
    desk = Desk()
    refusing: list[Deferred[None]] = []

    async def send(answer: bytes) -> None:
        refusing.append(Deferred())
        await refusing[-1]

    desk.questions = Questions(desk.host, send)
    for number in range(1000):
        desk.questions.ask(Request(number, "a", {}))
    assert (len(desk.host.questions), len(refusing)) == (100, 100)
    refusing[0].callback(None)
    desk.questions.ask(Request(1000, "a", {}))
    assert len(refusing) == 101
    desk.questions.close()
