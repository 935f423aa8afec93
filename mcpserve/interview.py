"""For `mcpserve.testing`: the client's side of questions, in both eras."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

from twisted.internet.interfaces import IDelayedCall
from twisted.internet.task import Clock

from mcpserve.features.plain import plain
from mcpserve.protocol.inputs import InputRequest, Root, Sampled, sampling_message
from mcpserve.protocol.jsonrpc import Response
from mcpserve.protocol.revisions import V2026_07_28
from mcpserve.protocol.types import Text

CAN_BE_ASKED: Mapping[str, Any] = {"elicitation": {"form": {}, "url": {}}, "sampling": {"tools": {}}, "roots": {}}
"""What a client declares that can be asked everything."""

Answering = Mapping[str, Any] | Callable[[InputRequest], Any]
"""Answers by key, or a function that gives the answer to a question, or None to leave it open."""
NO_ANSWERS: Answering = MappingProxyType({})


class Interview:
    """The questions of one call, as its client sees them.

    Args:
        clock: The runner's.
        answers: What the client answers by itself, when the tool has said all it says now.

    Attributes:
        asked: What waits for an answer, by key.
    """

    def __init__(self, clock: Clock, answers: Answering) -> None:
        self.asked: dict[str, InputRequest] = {}
        self._clock = clock
        self._answers = answers
        self._looks: IDelayedCall | None = None
        self._send: Callable[[Mapping[str, Any]], object] = self._respond
        self._answered: dict[str, Callable[[Response], object]] = {}

    def answer(self, answers: Mapping[str, Any]) -> None:
        """The client answers some of what it was asked."""
        unknown = answers.keys() - self.asked.keys()
        if unknown:
            raise AssertionError(f"nothing was asked by the name of {sorted(unknown)[0]!r}, but {sorted(self.asked)}")
        self._send({key: result_of(self.asked.pop(key), answer) for key, answer in answers.items()})

    def look(self) -> None:
        """The client answers by itself what it can."""
        while given := self._given():
            self.answer(given)
        if self._looks is not None and self._looks.active():
            self._looks.cancel()
        self._looks = None

    def ended_with(self, result: Mapping[str, Any], again: Callable[[Mapping[str, Any]], object]) -> None:
        """A call ended with an `InputRequiredResult`; `again` sends its request again, with more params."""
        state = result["requestState"]

        def send(answers: Mapping[str, Any]) -> None:
            self.asked.clear()
            again({"inputResponses": answers, "requestState": state})

        self._send = send
        for key, request in result["inputRequests"].items():
            self._hear(InputRequest(key=key, method=request["method"], params=request.get("params"), needs=()))

    def ask(self, question: InputRequest, answered: Callable[[Response], object]) -> Callable[[bool], object]:
        """A call asks, and waits for the answer; see `protocol.exchange.Asker`."""
        self._answered[question.key] = answered
        self._hear(question)
        return lambda heard: self._take_back(question.key)

    def _respond(self, answers: Mapping[str, Any]) -> None:
        for key, result in answers.items():
            self._answered.pop(key)(Response(key, result))

    def _take_back(self, key: str) -> None:
        self.asked.pop(key, None)
        self._answered.pop(key, None)

    def _hear(self, question: InputRequest) -> None:
        self.asked[question.key] = question
        if self._looks is None and self._answers is not NO_ANSWERS:
            self._looks = self._clock.callLater(0, self.look)

    def _given(self) -> dict[str, Any]:
        answers = self._answers
        found = {k: answers(q) if callable(answers) else answers.get(k) for k, q in self.asked.items()}
        return {key: answer for key, answer in found.items() if answer is not None}


def result_of(question: InputRequest, answer: Any) -> dict[str, Any]:
    """What a client sends for an answer; see `ToolCall.answer` for its forms."""
    if question.method == "roots/list":
        return {"roots": [{"uri": root.uri if isinstance(root, Root) else root} for root in answer]}
    if question.method == "sampling/createMessage":
        said = answer if isinstance(answer, Sampled) else Sampled(content=(Text(answer),), model="test")
        shape = {**sampling_message(said.message, V2026_07_28), "model": said.model}
        return shape if said.stop_reason is None else {**shape, "stopReason": said.stop_reason}
    return {"action": answer} if isinstance(answer, str) else {"action": "accept", "content": plain(answer)}
