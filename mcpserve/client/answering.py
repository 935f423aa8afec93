"""What the server asks of its client, and the handlers that answer: forms, pages, models, roots; in both eras.

Before 2026-07-28 a question is a request of the server's, and what can't be answered is answered with an error. Since
then it travels in an `InputRequiredResult`, and what can't be answered ends the call that it belongs to.

Spec: Elicitation, Sampling, Roots (each revision); 2026-07-28, Multi Round-Trip Requests.
"""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, TypeVar, cast

import attrs
from twisted.internet.defer import Deferred

from mcpserve.client.values import FormQuestion, PageQuestion, SamplingQuestion, defaults_of
from mcpserve.errors import BadAnswer, InvalidParams, MethodNotFound, ProtocolError
from mcpserve.protocol import inputs, reading
from mcpserve.protocol.inputs import (
    ACTIONS,
    Action,
    Root,
    Sampled,
    SamplingContent,
    SamplingMessage,
    ToolOutcome,
    ToolUse,
)
from mcpserve.protocol.revisions import LATEST_LEGACY, Revision
from mcpserve.protocol.types import ABSENT, ROLES, Audio, Image, Text, Unknown

T = TypeVar("T")
Elicited = Mapping[str, Any] | Action
"""What became of a form: what the user filled in (accepted), or "accept" (all defaults), "decline", "cancel"."""
Elicit = Callable[[FormQuestion], Elicited | Awaitable[Elicited] | Deferred[Elicited]]
Visit = Callable[[PageQuestion], Action | Awaitable[Action] | Deferred[Action]]
Sample = Callable[[SamplingQuestion], Sampled | Awaitable[Sampled] | Deferred[Sampled]]
Roots = Sequence[Root] | Callable[[], Sequence[Root] | Awaitable[Sequence[Root]] | Deferred[Sequence[Root]]]

_NOTHING: Mapping[str, Any] = {}


@attrs.frozen(kw_only=True)
class Handlers:
    """Those who answer, each None where nobody does; and what the client declares beside them."""

    elicit: Elicit | None = None
    visit: Visit | None = None
    sample: Sample | None = None
    roots: Roots | None = None
    more: Mapping[str, Any] = _NOTHING

    def capabilities(self) -> dict[str, Any]:
        """`ClientCapabilities`: what can be answered, and what was declared beside.

        Spec: Elicitation, Capabilities; Sampling, Capabilities; Roots, Capabilities.
        """
        declared: dict[str, Any] = {}
        if self.elicit is not None:
            declared["elicitation"] = {"form": {}}
        if self.visit is not None:
            declared.setdefault("elicitation", {})["url"] = {}
        if self.sample is not None:
            declared["sampling"] = {}
        if self.roots is not None:
            declared["roots"] = {}
        return _joined(declared, self.more)

    async def answer(
        self, method: str, params: Mapping[str, Any], revision: Revision = LATEST_LEGACY
    ) -> dict[str, Any]:
        """Answer one question; the result as it goes on the wire.

        Raises:
            ProtocolError: It can't be answered: nobody does, or it is malformed.
            Exception: Whatever a handler raises.
        """
        answer = _ANSWERS.get(method)
        if answer is None:
            raise MethodNotFound(method)
        try:
            return await answer(self, params, revision)
        except _Malformed as error:
            raise InvalidParams(f"{method}: {error}") from None

    async def input_responses(self, requests: Any, revision: Revision) -> dict[str, Any]:
        """Answer all questions of an `InputRequiredResult`, one after the other: a user reads one form at a time.

        Raises:
            BadAnswer: A question can't be answered; the server should not have asked.
            Exception: Whatever a handler raises.
        """
        if not isinstance(requests, dict):
            raise BadAnswer('The server asked for input, but "inputRequests" is not an object')
        return {key: await self._respond(request, revision) for key, request in requests.items()}

    async def _respond(self, request: Any, revision: Revision) -> dict[str, Any]:
        method = request.get("method") if isinstance(request, dict) else None
        params = request.get("params", _NOTHING) if isinstance(request, dict) else None
        if not isinstance(method, str) or not isinstance(params, dict) or method == "ping":
            raise BadAnswer("The server asked for input with something that is no request")
        try:
            return await self.answer(method, params, revision)
        except ProtocolError as error:
            raise BadAnswer(f"The server asked this client for what it does not offer: {error.message}") from None


class _Malformed(ValueError):
    """A question that is not in the shape that it should have; the sentence says which member is wrong."""


async def _elicitation(handlers: Handlers, params: Mapping[str, Any], revision: Revision) -> dict[str, Any]:
    # "Clients MUST treat requests without a mode field as form mode"
    mode = params.get("mode", "form")
    if mode == "form" and handlers.elicit is not None:
        return await _form(handlers.elicit, params)
    if mode == "url" and handlers.visit is not None:
        return await _page(handlers.visit, params)
    # 2025-11-25, Error Handling: "Client MUST return -32602 (Invalid params)" for "a mode not declared".
    raise _Malformed(f"this client does not elicit in the mode {mode!r:.40}")


async def _form(elicit: Elicit, params: Mapping[str, Any]) -> dict[str, Any]:
    schema = _member(params, "requestedSchema", dict, "an object")
    question = FormQuestion(message=_text(params, "message"), schema=schema, params=params)
    said: Mapping[str, Any] | str = await _settled(elicit(question))
    if isinstance(said, str):
        if said not in ACTIONS:
            raise TypeError(f"the handler of forms said {said!r}; it may say {', '.join(ACTIONS)}, or give the content")
        # "Clients that support defaults SHOULD pre-populate form fields with these values."
        return {"action": said, "content": defaults_of(schema)} if said == "accept" else {"action": said}
    return {"action": "accept", "content": {**defaults_of(schema), **said}}


async def _page(visit: Visit, params: Mapping[str, Any]) -> dict[str, Any]:
    name = params.get("elicitationId")
    question = PageQuestion(
        message=_text(params, "message"),
        url=_text(params, "url"),
        id=name if isinstance(name, str) else None,
        params=params,
    )
    said = await _settled(visit(question))
    if said not in ACTIONS:
        raise TypeError(f"the handler of pages said {said!r}; it may say {', '.join(ACTIONS)}")
    return {"action": said}


async def _sampling(handlers: Handlers, params: Mapping[str, Any], revision: Revision) -> dict[str, Any]:
    if handlers.sample is None:
        raise MethodNotFound("sampling/createMessage")
    # "The client MUST return an error if this field is provided but ClientCapabilities.sampling.tools is not declared."
    if ("tools" in params or "toolChoice" in params) and "tools" not in handlers.capabilities()["sampling"]:
        raise _Malformed("this client does not sample with tools")
    sampled = await _settled(handlers.sample(_sampling_question(params)))
    shape = {**inputs.sampling_message(sampled.message, revision), "model": sampled.model}
    return shape if sampled.stop_reason is None else {**shape, "stopReason": sampled.stop_reason}


async def _roots(handlers: Handlers, params: Mapping[str, Any], revision: Revision) -> dict[str, Any]:
    if handlers.roots is None:
        raise MethodNotFound("roots/list")
    roots = await _settled(handlers.roots() if callable(handlers.roots) else handlers.roots)
    return {
        "roots": [{"uri": root.uri} if root.name is None else {"uri": root.uri, "name": root.name} for root in roots]
    }


async def _ping(handlers: Handlers, params: Mapping[str, Any], revision: Revision) -> dict[str, Any]:
    return {}


_ANSWERS: Mapping[str, Callable[[Handlers, Mapping[str, Any], Revision], Awaitable[dict[str, Any]]]] = {
    "elicitation/create": _elicitation,
    "sampling/createMessage": _sampling,
    "roots/list": _roots,
    "ping": _ping,
}


# --- reading questions


def _sampling_question(params: Mapping[str, Any]) -> SamplingQuestion:
    messages = _member(params, "messages", list, "an array")
    tokens = params.get("maxTokens")
    if not isinstance(tokens, int | float) or isinstance(tokens, bool):
        raise _Malformed('"maxTokens" must be a number')
    prompt, temperature, stops = (params.get(name) for name in ("systemPrompt", "temperature", "stopSequences"))
    preferences, tools = params.get("modelPreferences"), params.get("tools")
    return SamplingQuestion(
        messages=tuple(map(_sampling_message, messages)),
        max_tokens=int(tokens),
        system_prompt=prompt if isinstance(prompt, str) else None,
        temperature=temperature if isinstance(temperature, int | float) else None,
        stop_sequences=stops if isinstance(stops, list) else (),
        preferences=preferences if isinstance(preferences, dict) else {},
        tools=tools if isinstance(tools, list) else (),
        params=params,
    )


def _sampling_message(shape: Any) -> SamplingMessage:
    role = shape.get("role") if isinstance(shape, dict) else None
    if role not in ROLES:
        raise _Malformed('"role" of a message must be "user" or "assistant"')
    content = shape.get("content")
    return SamplingMessage(
        role, [_sampling_block(block) for block in (content if isinstance(content, list) else [content])]
    )


def _sampling_block(shape: Any) -> SamplingContent:
    try:
        block = reading.content_of(shape)
        if isinstance(block, Text | Image | Audio):
            return block
        if isinstance(block, Unknown) and block.type == "tool_use":
            return ToolUse(_text(shape, "id"), _text(shape, "name"), _member(shape, "input", dict, "an object"))
        if isinstance(block, Unknown) and block.type == "tool_result":
            return _outcome(shape)
    except ValueError as error:
        raise _Malformed(str(error)) from None
    raise _Malformed("a message has a block of a type that sampling does not know")


def _outcome(shape: Mapping[str, Any]) -> ToolOutcome:
    content = _member(shape, "content", list, "an array")
    return ToolOutcome(
        _text(shape, "toolUseId"),
        [reading.content_of(block) for block in content],
        structured=shape.get("structuredContent", ABSENT),
        is_error=shape.get("isError") is True,
    )


def _text(params: Mapping[str, Any], name: str) -> str:
    return cast(str, _member(params, name, str, "a string"))


def _member(params: Mapping[str, Any], name: str, kind: type, words: str) -> Any:
    value = params.get(name)
    if not isinstance(value, kind):
        raise _Malformed(f'"{name}" must be {words}')
    return value


async def _settled(value: T | Awaitable[T] | Deferred[T]) -> T:
    """What a handler gives: at once, or later."""
    return cast(T, await value) if inspect.isawaitable(value) else value


def _joined(one: Mapping[str, Any], other: Mapping[str, Any]) -> dict[str, Any]:
    """Two sets of capabilities in one, whatever their depth."""
    joined = dict(one)
    for name, value in other.items():
        mine = joined.get(name)
        joined[name] = _joined(mine, value) if isinstance(mine, dict) and isinstance(value, Mapping) else value
    return joined
