"""What becomes of a question of a call, in both eras.

    the client has sent the answer along        it is there at once
    the carrier can ask while the work goes on  the call waits (legacy: a request of ours; a task: its input)
    a modern request                            the call ends with `InputRequiredResult`, and the function runs again
                                                from its start when the client sends the request again
    anything else                               an error to the author, at once

Nothing is sent that the client has not declared. What travels with the client between two rounds (`requestState`)
holds the answers so far and the values of `call.once`, sealed for this caller and this request, with an end. An answer
that was taken once stays; what the client sends for questions that were never asked is ignored; what is missing is
asked for again.

Spec: 2026-07-28, Multi Round-Trip Requests.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from typing import Any

import attrs
import orjson
from twisted.internet.defer import Deferred, FirstError, fail, gatherResults, succeed
from twisted.python.failure import Failure

from mcpserve.errors import (
    AskError,
    InvalidParams,
    MissingCapability,
    ProtocolError,
    Undeclared,
    UrlElicitationRequired,
    UrlRequired,
)
from mcpserve.features import awaiting
from mcpserve.features.asking import ElicitUrl, Question
from mcpserve.features.call import Runtime
from mcpserve.features.plain import plain
from mcpserve.features.seals import BrokenSeal, Seals
from mcpserve.policy.callers import Caller
from mcpserve.protocol.exchange import Exchange
from mcpserve.protocol.inputs import InputRequest, undeclared
from mcpserve.protocol.jsonrpc import Request, Response
from mcpserve.protocol.metadata import RequestMetadata

_STATE, _RESPONSES = "requestState", "inputResponses"
_ROUNDS = frozenset({"_meta", _STATE, _RESPONSES})
"""The members of params that differ between the rounds of one request."""
_CLIENT_TEXT = 200
URL_KEY = "url-required"


@attrs.frozen(kw_only=True)
class Brought:
    """What a request brings along from the rounds before.

    Args:
        answers: What the client sends now, as it sends it.
        taken: Answers that were taken in rounds before.
        done: What `call.once` gave in rounds before.
    """

    answers: Mapping[str, Any] = attrs.field(factory=dict)
    taken: Mapping[str, Any] = attrs.field(factory=dict)
    done: Mapping[str, Any] = attrs.field(factory=dict)


_NOTHING = Brought()


def brought(request: Request, metadata: RequestMetadata, caller: Caller, seals: Seals) -> Brought:
    """Read what a request brings along; nothing before 2026-07-28.

    Raises:
        InvalidParams: `inputResponses` or `requestState` have another type; or the state was changed, has expired, or
            belongs to another caller or another request. Spec: "MUST reject state that fails verification".
    """
    params = request.params
    if not metadata.revision.modern or not (_STATE in params or _RESPONSES in params):
        return _NOTHING
    answers, state = params.get(_RESPONSES, {}), params.get(_STATE)
    if not isinstance(answers, dict):
        raise InvalidParams(f"params.{_RESPONSES} must be an object")
    if _STATE not in params:
        return Brought(answers=answers)
    if not isinstance(state, str):
        raise InvalidParams(f"params.{_STATE} must be a string")
    try:
        value = seals.open(state, purpose_of(request, caller))
    except BrokenSeal as error:
        raise InvalidParams(f"params.{_STATE} can't be used: {error}. Send the request again without it") from error
    return Brought(answers=answers, taken=value["answers"], done=value["done"])


def purpose_of(request: Request, caller: Caller) -> str:
    """What a state is good for: this caller and this request, whatever its id and its round.

    Spec: "servers SHOULD include ... the authenticated principal ...; an identifier for the originating request, e.g.
    the method name and a digest of its salient parameters".
    """
    salient = {name: value for name, value in request.params.items() if name not in _ROUNDS}
    try:
        parts = orjson.dumps([caller.name, request.method, salient], option=orjson.OPT_SORT_KEYS)
    except TypeError as error:
        # orjson reads what is nested more deeply than it writes
        raise InvalidParams("params are nested too deeply to come back to") from error
    return hashlib.sha256(parts).hexdigest()


class Asking:
    """The questions of one call.

    Args:
        exchange: Where the call is answered.
        metadata: What the client declared.
        caller: Who is calling.
        runtime: What the call runs on.
        came: What the request brings along.
        end: Ends the call: with an error, or with the requests and the state of an `InputRequiredResult`.
    """

    __slots__ = ("_caller", "_came", "_done", "_end", "_exchange", "_metadata", "_runtime", "_taken")

    def __init__(
        self,
        *,
        exchange: Exchange,
        metadata: RequestMetadata,
        caller: Caller,
        runtime: Runtime,
        came: Brought,
        end: Callable[[ProtocolError | dict[str, Any]], object],
    ) -> None:
        self._exchange = exchange
        self._metadata = metadata
        self._caller = caller
        self._runtime = runtime
        self._came = came
        self._end = end
        self._taken = dict(came.taken)
        self._done = dict(came.done)

    def move(self, exchange: Exchange) -> None:
        """The call has become a task: from now on it asks there."""
        self._exchange = exchange

    def once(self, key: str, make: Callable[[], Any]) -> Any:
        """See `Call.once`."""
        if key not in self._done:
            self._done[key] = plain(make())
        return self._done[key]

    def ask(self, questions: Mapping[str, Question]) -> Deferred[dict[str, Any]]:
        """See `Outcome.ask`."""
        try:
            requests = {key: q.request(key, self._exchange.revision) for key, q in questions.items()}
            self._check_declared(requests)
            values = self._answered(questions)
        except AskError as error:
            return fail(error)
        except InvalidParams as error:
            self._end(error)
            return Deferred()
        missing = {key: requests[key] for key in questions if key not in values}
        if not missing:
            return succeed(values)
        if self._exchange.can_ask:
            return self._wait(questions, missing, values)
        if not self._exchange.revision.modern:
            return fail(AskError("This client can't be asked: it takes the reply, and nothing before it"))
        self._end(self._round(missing))
        return Deferred()

    def instead_of(self, error: BaseException) -> BaseException | None:
        """What a call ends with that raised this; None if it has ended with a question."""
        modern = self._exchange.revision.modern
        if isinstance(error, Undeclared) and modern:
            return MissingCapability(error.required)
        if not isinstance(error, UrlRequired):
            return error
        return self._url_instead_of(error)

    # --- inside

    def _check_declared(self, requests: Mapping[str, InputRequest]) -> None:
        required = undeclared(list(requests.values()), self._metadata.capabilities)
        if required:
            raise Undeclared(required)

    def _answered(self, questions: Mapping[str, Question]) -> dict[str, Any]:
        """What the questions give whose answers are there.

        Raises:
            InvalidParams: The client sends an answer that does not fit its question.
        """
        values = {}
        for key, question in questions.items():
            try:
                if key in self._taken:
                    values[key] = question.read(self._taken[key])
                elif key in self._came.answers:
                    values[key] = question.read(self._came.answers[key])
                    self._taken[key] = self._came.answers[key]
            except ValueError as error:
                if key not in self._taken:
                    raise InvalidParams(f"params.{_RESPONSES}.{key}: {error}") from error
                # it was good for the question as the plugin put it before it was loaded anew
                del self._taken[key]
        return values

    def _round(self, missing: Mapping[str, InputRequest]) -> dict[str, Any]:
        state = {"answers": self._taken, "done": self._done}
        purpose = purpose_of(self._exchange.request, self._caller)
        return {
            "inputRequests": {key: request.shape for key, request in missing.items()},
            _STATE: self._runtime.seals.seal(state, purpose),
        }

    def _wait(
        self, questions: Mapping[str, Question], missing: Mapping[str, InputRequest], values: dict[str, Any]
    ) -> Deferred[dict[str, Any]]:
        """Ask while the work goes on. When one has no answer, the others are taken back."""
        waiting = {key: self._carry(request, questions[key]) for key, request in missing.items()}
        together: Deferred[Any] = gatherResults(waiting.values(), consumeErrors=True)

        def fill(answers: list[Any]) -> dict[str, Any]:
            found = values | dict(zip(waiting, answers, strict=True))
            return {key: found[key] for key in questions}

        def give_up(failure: Failure) -> Failure:
            for waiter in waiting.values():
                awaiting.cancel(waiter)
            return failure.value.subFailure if isinstance(failure.value, FirstError) else failure

        return together.addCallbacks(fill, give_up)

    def _carry(self, request: InputRequest, question: Question) -> Deferred[Any]:
        def taken_back(_: Deferred[Any]) -> None:
            forget()

        waiter: Deferred[Any] = Deferred(taken_back)

        def answered(response: Response) -> None:
            try:
                waiter.callback(_value(request, question, response))
            except AskError as error:
                waiter.errback(error)

        try:
            forget = self._exchange.ask(request, answered)
        except AskError as error:
            if isinstance(question, ElicitUrl):  # which can be told with the reply just as well
                return fail(UrlRequired(question.message, question.url, question.id))
            return fail(error)
        return waiter

    def _url_instead_of(self, error: UrlRequired) -> BaseException | None:
        revision = self._exchange.revision
        question = ElicitUrl(error.message, error.url, error.id)
        # a task can't begin anew: its model reads the message and the URL
        in_a_task = revision.modern and self._exchange.can_ask
        if in_a_task or not revision.url_elicitation:
            return error
        request = question.request(URL_KEY, revision)
        if undeclared([request], self._metadata.capabilities):
            return error
        if not revision.modern:
            assert request.params is not None
            return UrlElicitationRequired([request.params])
        self._end(self._round({URL_KEY: request}))
        return None


def _value(request: InputRequest, question: Question, response: Response) -> Any:
    if response.error is not None:
        text = str(response.error.get("message", ""))[:_CLIENT_TEXT]
        raise AskError(f"The client did not answer {request.method}: {text}")
    try:
        return question.read(response.result)
    except ValueError as error:
        raise AskError(f"The client's answer to {request.method} does not fit: {error}") from error
