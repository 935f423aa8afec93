"""The work on one task: what a running call has as its client once its request was answered with a task."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import attrs
import orjson
from twisted.internet.interfaces import IReactorTime

from mcpserve.errors import InvalidParams
from mcpserve.features.timing import Timer
from mcpserve.features.validation import Validator
from mcpserve.protocol import inputs
from mcpserve.protocol.exchange import NO_HEADERS
from mcpserve.protocol.inputs import InputRequest
from mcpserve.protocol.jsonrpc import Response
from mcpserve.protocol.tasks import Task
from mcpserve.server.running import Running


class TaskWork:
    """Carries what a call says into its task. Implements `protocol.exchange.Carrier`.

    Args:
        task: The task at its beginning.
        clock: What time it is.
        changed: Called after each change, with this and the task as it was before.

    Attributes:
        task: The task as it is now.
        running: The call, while it works.
        timer: Ends the call when its time to live is over.
    """

    __slots__ = ("_changed", "_clock", "_open", "running", "task", "timer")

    def __init__(self, task: Task, clock: IReactorTime, changed: Callable[[TaskWork, Task], object]) -> None:
        self.task = task
        self.running: Running | None = None
        self.timer: Timer | None = None
        self._clock = clock
        self._changed = changed
        self._open: dict[str, _Open] = {}

    # --- Carrier

    def notify(self, message: bytes, replaceable: bool) -> None:
        """The call reports progress."""
        self._become(self.task.reported(_sentence(orjson.loads(message)["params"]), self._clock.seconds()))

    def reply(self, message: bytes, status: int, headers: Mapping[str, str] = NO_HEADERS) -> None:
        """The call has ended.

        Spec: Task Execution Errors: "If the underlying request resulted in a JSON-RPC error, the task uses failed
        status and the error field MUST contain that JSON-RPC error"; "If the request completed with a result (even if
        isError: true for tool results), the task uses completed status and the result field MUST contain that result".
        """
        reply, now = orjson.loads(message), self._clock.seconds()
        if "error" in reply:
            error = reply["error"]
            self._become(self.task.failed(orjson.dumps(error), error["message"], now))
        else:
            self._become(self.task.completed(orjson.dumps(reply["result"]), now))

    def end(self) -> None:
        """The client has cancelled the task."""
        self._become(self.task.cancelled("Cancelled, as the client asked", self._clock.seconds()))

    # --- Asker

    def ask(self, question: InputRequest, answered: Callable[[Response], object]) -> Callable[[bool], object]:
        """The call asks something of the client. A key never comes twice: a call refuses that, see `Call._ask`."""
        open_question = self._open[question.key] = _Open(question, answered)
        self._become(self.task.asking({question.key: question.shape}, self._clock.seconds()))

        def take_back(tell: bool) -> None:
            open_question.answered = None
            if self._open.pop(question.key, None) is not None:
                self._become(self.task.answered([question.key], self._clock.seconds()))

        return take_back

    # --- what the tasks do with it

    def take(self, answers: Mapping[str, Any]) -> Callable[[], None]:
        """Take answers of the client, all or none of them.

        Args:
            answers: By key. Spec: Task Update Requests: "A server SHOULD ignore any inputResponses responses mapped to
                a key that is not currently outstanding for the task".

        Returns:
            What lets the work go on with them.

        Raises:
            InvalidParams: An answer has a shape that does not go with its question.
        """
        taken = {key: Response(None, answers[key], None) for key in self._open if key in answers}
        for key, response in taken.items():
            _check(self._open[key].question, response.result)
        ready = [(self._open.pop(key), response) for key, response in taken.items()]
        self._become(self.task.answered(taken, self._clock.seconds()))

        def go_on() -> None:
            for question, response in ready:
                # who goes on with the first answer may have taken back the question of the next
                if question.answered is not None:
                    question.answered(response)

        return go_on

    def close(self) -> None:
        """The task has ended: let go of its call, which leaves no cycle."""
        self.running = None
        if self.timer is not None:
            self.timer.cancel()
            self.timer = None

    def _become(self, task: Task) -> None:
        before, self.task = self.task, task
        if task is not before:
            self._changed(self, before)


@attrs.define
class _Open:
    """A question that was not answered yet, and who hears the answer; None when nobody wants to hear it any more."""

    question: InputRequest
    answered: Callable[[Response], object] | None


_READERS: Mapping[str, Callable[[Any], object]] = {
    "elicitation/create": inputs.read_elicitation,
    "sampling/createMessage": inputs.read_sampled,
    "roots/list": inputs.read_roots,
}


def _check(question: InputRequest, result: Any) -> None:
    try:
        _READERS[question.method](result)
    except ValueError as error:
        raise InvalidParams(f"params.inputResponses.{question.key}: {error}") from error
    schema = (question.params or {}).get("requestedSchema")
    if schema is not None and result["action"] == "accept":
        # Here and not in the tool: whoever filled the form in can still mend it, as the task still waits for it.
        problems = Validator(schema, "the form").problems(result.get("content", {}))
        if problems:
            raise InvalidParams(f"params.inputResponses.{question.key}: " + "; ".join(problems))


def _sentence(params: Mapping[str, Any]) -> str:
    """What progress says, as a sentence."""
    message, total = params.get("message"), params.get("total")
    if message is not None:
        return str(message)
    done = f"{params['progress']:.10g}"
    return done if total is None else f"{done} of {total:.10g}"
