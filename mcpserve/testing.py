"""For authors of plugins: run tools, prompts and resources without sockets, on a clock that the test advances.

    runner = ToolRunner(countdown)
    call = runner.call("countdown", start=3)
    runner.clock.pump([1.0] * 3)
    assert [p.value for p in call.progress] == [0, 1, 2, 3]
    assert call.text == "Counted down from 3."
    assert runner.leftovers() == []

The tool runs as it does in the server, from the check of its arguments to the shape of its result; only the transport
is replaced by a reader that the test controls: it can stall, go on, disconnect, or cancel. A tool that asks its client
is answered by the test: at once (`answers`), or later (`call.asked`, `call.answer`).
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import attrs
import orjson
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.task import Clock

from mcpserve.features import publish
from mcpserve.features.call import Cause, Runtime
from mcpserve.features.directory import Directory
from mcpserve.features.discovery import collect
from mcpserve.features.timing import TimingWheel
from mcpserve.interview import CAN_BE_ASKED, NO_ANSWERS, Answering, Interview, result_of
from mcpserve.policy.callers import ANONYMOUS, Caller
from mcpserve.protocol import reading
from mcpserve.protocol.exchange import NO_HEADERS, Exchange, State
from mcpserve.protocol.inputs import InputRequest
from mcpserve.protocol.jsonrpc import Request, Response
from mcpserve.protocol.metadata import RequestMetadata
from mcpserve.protocol.notices import Notice
from mcpserve.protocol.revisions import LEGACY, MODERN, V2026_07_28
from mcpserve.protocol.tasks import EXTENSION
from mcpserve.protocol.types import Completion, Contents, Implementation, LogLevel, Message, Result, Text
from mcpserve.protocol.wire import Envelope
from mcpserve.server.calls import Calls
from mcpserve.server.dispatch import Dispatcher
from mcpserve.server.features import PluginFeatures
from mcpserve.server.running import Running
from mcpserve.server.tasks import Tasks

Ask = Callable[[str, Mapping[str, Any]], dict[str, Any]]
"""Sends a request, a method and its params, that is answered at once, and gives the reply."""

_KNOWS_TASKS: Mapping[str, Any] = {"extensions": {EXTENSION: {}}}


@attrs.frozen
class Progress:
    """One `notifications/progress`."""

    value: float
    total: float | None
    message: str | None


@attrs.frozen
class LogEntry:
    """One `notifications/message`."""

    level: str
    data: Any
    logger: str | None


@attrs.frozen
class Published:
    """One notice that something has changed: the method of its notification, and the URI of an updated resource."""

    method: str
    uri: str | None = None


class ToolCall:
    """One call of a tool, a prompt or a resource, seen from its client.

    Args:
        interview: What it asks its client.

    Attributes:
        progress: What was reported so far, in order.
        logs: The log messages so far, in order.
        sent_away: The `retry_ms` of each time that the tool has closed its stream; only with `revision="2025-11-25"`.
    """

    def __init__(self, interview: Interview) -> None:
        self.progress: list[Progress] = []
        self.logs: list[LogEntry] = []
        self.sent_away: list[int | None] = []
        self._interview = interview
        self._again: Callable[[Mapping[str, Any]], object] | None = None
        self._stalled = False
        self._waiting: list[tuple[bytes, bool]] = []
        self._reply: dict[str, Any] | None = None
        self._exchange: Exchange | None = None
        self._ask: Ask = _nobody

    # --- what became of it

    @property
    def done(self) -> bool:
        """True when the call has a result or an error, or was cancelled."""
        return self._exchange is not None and not self._exchange.live and not self.asked

    @property
    def asked(self) -> Mapping[str, InputRequest]:
        """The questions that wait for an answer, by key; each has `method` and `params`."""
        return self._interview.asked

    @property
    def cancelled(self) -> bool:
        """True when it ended without a reply."""
        return self._exchange is not None and self._exchange.state in (State.LOST, State.WITHDRAWN)

    @property
    def error(self) -> dict[str, Any] | None:
        """The JSON-RPC error it ended with, if any."""
        return None if self._reply is None else self._reply.get("error")

    @property
    def result(self) -> Result:
        """The result it ended with.

        Raises:
            AssertionError: It has not ended, or ended otherwise.
        """
        return reading.result_of(self._result("content"))

    @property
    def contents(self) -> Sequence[Contents]:
        """What a resource gave.

        Raises:
            AssertionError: It has not ended, or ended otherwise.
        """
        return reading.contents_of(self._result("contents"))

    @property
    def messages(self) -> Sequence[Message]:
        """What a prompt gave.

        Raises:
            AssertionError: It has not ended, or ended otherwise.
        """
        return reading.messages_of(self._result("messages"))

    @property
    def completion(self) -> Completion:
        """What a completer suggested.

        Raises:
            AssertionError: It has not ended, or ended otherwise.
        """
        return reading.completion_of(self._result("completion"))

    @property
    def task(self) -> ToolTask:
        """The task that it was answered with.

        Raises:
            AssertionError: It was not, or not yet.
        """
        if self._reply is None or "taskId" not in self._reply.get("result", {}):
            raise AssertionError(f"the call is no task: {self._reply or 'it was not answered'}")
        return ToolTask(self._reply["result"]["taskId"], self._ask)

    @property
    def structured(self) -> Any:
        """The structured content of the result."""
        return self.result.structured

    @property
    def text(self) -> str:
        """The text blocks of the result, of the contents or of the messages, joined by line breaks."""
        result = {} if self._reply is None else self._reply.get("result", {})
        if "contents" in result:
            return "\n".join(part.contents for part in self.contents if isinstance(part.contents, str))
        blocks = [message.content for message in self.messages] if "messages" in result else self.result.content
        return "\n".join(block.text for block in blocks if isinstance(block, Text))

    # --- what its client does

    def drop(self) -> None:
        """The client disconnects."""
        if self._exchange is not None:
            self._exchange.lost()

    def cancel(self) -> None:
        """The client sends `notifications/cancelled`."""
        if self._exchange is not None:
            self._exchange.withdraw()

    def answer(self, answers: Mapping[str, Any] | None = None, /, **more: Any) -> None:
        """The client answers questions in `asked`, by their keys; those that are left out stay open.

        Args:
            answers: For an elicitation the form (an attrs object or a dict), or one of "accept", "decline" and
                "cancel"; for a sampling what the model says, as a text or a `Sampled`; for roots a list of URIs.

        Raises:
            AssertionError: Nothing was asked by one of these keys.
        """
        self._interview.answer({**(answers or {}), **more})

    def stall(self) -> None:
        """The client stops reading."""
        self._stalled = True
        if self._exchange is not None:
            self._exchange.pause()

    def resume(self) -> None:
        """The client reads on: it gets what was held back, of bare progress numbers only the last."""
        self._stalled = False
        waiting, self._waiting = self._waiting, []
        for message, _ in waiting:
            self._read(message)
        if self._exchange is not None:
            self._exchange.resume()

    # --- Carrier

    def notify(self, message: bytes, replaceable: bool) -> None:
        """Called by the exchange."""
        if self._stalled:
            if replaceable:
                self._waiting = [waiting for waiting in self._waiting if not waiting[1]]
            self._waiting.append((message, replaceable))
        else:
            self._read(message)

    def reply(self, message: bytes, status: int, headers: Mapping[str, str] = NO_HEADERS) -> None:
        """Called by the exchange."""
        reply = orjson.loads(message)
        if self._again is not None and reply.get("result", {}).get("resultType") == "input_required":
            self._interview.ended_with(reply["result"], self._again)
        else:
            self._reply = reply

    def end(self) -> None:
        """Called by the exchange."""

    def begin(self, exchange: Exchange, ask: Ask, again: Callable[[Mapping[str, Any]], object]) -> None:
        """Called by the runner; `again` sends the request again, with more params."""
        self._exchange = exchange
        self._ask = ask
        self._again = again

    def _result(self, member: str) -> dict[str, Any]:
        if self._reply is None or member not in self._reply.get("result", {}):
            raise AssertionError(f"the call has no result: {self._reply or 'it has not ended, or was cancelled'}")
        result: dict[str, Any] = self._reply["result"]
        return result

    def _read(self, message: bytes) -> None:
        decoded = orjson.loads(message)
        params = decoded["params"]
        if decoded["method"] == "notifications/progress":
            self.progress.append(Progress(params["progress"], params.get("total"), params.get("message")))
        else:
            self.logs.append(LogEntry(params["level"], params["data"], params.get("logger")))


class LegacyCall(ToolCall):
    """The same before 2026-07-28: a tool that asks waits for the answer, and one may close its stream and go on.

    Implements `protocol.exchange.Asker` and `Resumable`.
    """

    def close_stream(self, retry_ms: int | None) -> None:
        """Called by the exchange."""
        if self._exchange is not None and self._exchange.revision.priming_events:
            self.sent_away.append(retry_ms)

    def ask(self, question: InputRequest, answered: Callable[[Response], object]) -> Callable[[bool], object]:
        """Called by the exchange."""
        return self._interview.ask(question, answered)


class ToolTask:
    """A task that a call has become, as its client sees it when it looks.

    Args:
        id: Its id.
        ask: Sends a request about it.
    """

    def __init__(self, id: str, ask: Ask) -> None:
        self.id = id
        self._ask = ask

    @property
    def shape(self) -> Mapping[str, Any]:
        """What tasks/get answers now: `status`, `statusMessage`, `inputRequests` and so on."""
        return self._request("tasks/get")

    @property
    def status(self) -> str:
        """ "working", "input_required", "completed", "failed" or "cancelled"."""
        return str(self.shape["status"])

    @property
    def message(self) -> str | None:
        """What the tool reported last, or why the task has ended."""
        return self.shape.get("statusMessage")

    @property
    def asked(self) -> Mapping[str, InputRequest]:
        """The questions that wait for an answer, by key; each has `method` and `params`."""
        requests = self.shape.get("inputRequests", {})
        return {
            k: InputRequest(key=k, method=r["method"], params=r.get("params"), needs=()) for k, r in requests.items()
        }

    @property
    def result(self) -> Result:
        """The result it has completed with.

        Raises:
            AssertionError: It has not ended, or ended otherwise.
        """
        shape = self.shape
        if "result" not in shape:
            raise AssertionError(f"the task has no result: {dict(shape)}")
        return reading.result_of(shape["result"])

    @property
    def text(self) -> str:
        """The text blocks of the result, joined by line breaks."""
        return "\n".join(block.text for block in self.result.content if isinstance(block, Text))

    @property
    def error(self) -> dict[str, Any] | None:
        """The JSON-RPC error it has failed with, if any."""
        return self.shape.get("error")

    def answer(self, answers: Mapping[str, Any]) -> None:
        """The client answers questions in `asked`, by their keys, as with `ToolCall.answer`; others stay open."""
        asked = self.asked
        unknown = sorted(answers.keys() - asked.keys())
        if unknown:
            raise AssertionError(f"nothing was asked by the name of {unknown[0]!r}, but {sorted(asked)}")
        self._request("tasks/update", inputResponses={key: result_of(asked[key], answers[key]) for key in answers})

    def cancel(self) -> None:
        """The client cancels it."""
        self._request("tasks/cancel")

    def _request(self, method: str, **params: Any) -> Mapping[str, Any]:
        reply = self._ask(method, {"taskId": self.id, **params})
        if "result" not in reply:
            raise AssertionError(f"{method} is answered with an error: {reply['error']}")
        result: Mapping[str, Any] = reply["result"]
        return result


class ImmediateThreads:
    """Stands in for the pool of threads: a blocking tool runs at once, in the test's own thread."""

    def run(self, f: Callable[[], Any]) -> Deferred[Any]:
        """See `Threads.run`."""
        return maybeDeferred(f)

    def call_in_reactor(self, f: Callable[..., object], *args: object) -> None:
        """See `Threads.call_in_reactor`."""
        f(*args)


@attrs.frozen
class _Outlet:
    """Notes what is published."""

    noted: list[Published]

    def publish(self, notice: Notice) -> None:
        """See `publish.Outlet`."""
        self.noted.append(Published(notice.method, notice.subject))


class ToolRunner:
    """Some tools, prompts and resources, ready to be called.

    Args:
        functions: Functions that `@tool`, `@prompt` or `@resource` has marked, and directories.
        caller: Who calls: `Caller(name="ada", groups=frozenset({"ops"}))`. What its author has declared with `groups`
            and `scopes` counts here, too.

    Attributes:
        clock: The clock that the tools live on; advance it.
        published: What was published with `mcpserve.publish` since the runner was made, by whomever, in order.

    Raises:
        PluginError: One of them does not fit.
    """

    def __init__(self, *functions: Callable[..., Any] | Directory, caller: Caller = ANONYMOUS) -> None:
        self.clock = Clock()
        self._caller = caller
        self._wheel = TimingWheel(self.clock)
        envelope = Envelope(Implementation(name="test", version="0"))
        runtime = Runtime(clock=self.clock, wheel=self._wheel, threads=ImmediateThreads())
        self._calls = Calls(runtime)
        tasks = Tasks(envelope, runtime)
        features = PluginFeatures(collect(functions, "the test"), envelope, self._calls, tasks)
        self._dispatcher = Dispatcher([*features, tasks], envelope)
        self._last_id = 0
        self.published: list[Published] = []
        outlet = _Outlet(self.published)
        publish.attach(outlet)
        weakref.finalize(self, publish.detach, outlet)

    def call(
        self,
        name: str,
        arguments: Mapping[str, Any] | None = None,
        /,
        *,
        progress_token: int | str | None = "token",
        log_level: LogLevel | None = "debug",
        capabilities: Mapping[str, Any] | None = None,
        meta: Mapping[str, Any] | None = None,
        tasks: bool = False,
        answers: Answering = NO_ANSWERS,
        revision: str = V2026_07_28.name,
        **more: Any,
    ) -> ToolCall:
        """Call a tool.

        Args:
            name: Its name.
            arguments: Its arguments as a JSON object; or give them as keywords.
            progress_token: None for a client that does not want progress.
            log_level: The least severe log messages that the client wants; None for none.
            capabilities: What the client declares; by default, that it can be asked everything.
            meta: The request's `_meta`, for tools that look at it.
            tasks: True for a client that knows tasks; see `ToolCall.task`.
            answers: What the client answers by itself, in the forms of `ToolCall.answer`: by key, or as a function of
                the question. What is not answered so stays in `ToolCall.asked`.
            revision: What the client speaks. Before 2026-07-28 a tool that asks waits; since then it is called again.
        """
        declared = CAN_BE_ASKED if capabilities is None else capabilities
        metadata = RequestMetadata(
            revision=(MODERN | LEGACY)[revision],
            progress_token=progress_token,
            log_level=log_level,
            capabilities={**declared, **(_KNOWS_TASKS if tasks else {})},
            meta=meta or {},
        )
        return self._begin("tools/call", {"name": name, "arguments": {**(arguments or {}), **more}}, metadata, answers)

    def read(self, uri: str, /, *, answers: Answering = NO_ANSWERS, revision: str = V2026_07_28.name) -> ToolCall:
        """Read a resource: see `ToolCall.contents` and `ToolCall.text`.

        Args:
            uri: Its URI.
            answers: As in `call`.
            revision: As in `call`.
        """
        return self._begin("resources/read", {"uri": uri}, _open_client(revision), answers)

    def get_prompt(
        self,
        name: str,
        arguments: Mapping[str, str] | None = None,
        /,
        *,
        answers: Answering = NO_ANSWERS,
        revision: str = V2026_07_28.name,
        **more: str,
    ) -> ToolCall:
        """Get a prompt: see `ToolCall.messages` and `ToolCall.text`.

        Args:
            name: Its name.
            arguments: Its arguments, which are texts; or give them as keywords.
            answers: As in `call`.
            revision: As in `call`.
        """
        params = {"name": name, "arguments": {**(arguments or {}), **more}}
        return self._begin("prompts/get", params, _open_client(revision), answers)

    def complete(self, of: str, argument: str, value: str = "", /, **chosen: str) -> ToolCall:
        """Ask for suggestions: see `ToolCall.completion`.

        Args:
            of: The name of a prompt, or the URI template of resources.
            argument: Which argument of it is typed.
            value: What was typed so far.
            chosen: The other arguments that are known already.
        """
        kind = {"type": "ref/resource", "uri": of} if ":" in of else {"type": "ref/prompt", "name": of}
        params = {"ref": kind, "argument": {"name": argument, "value": value}, "context": {"arguments": chosen}}
        return self._begin("completion/complete", params, _open_client(V2026_07_28.name), NO_ANSWERS)

    def _begin(self, method: str, params: Mapping[str, Any], metadata: RequestMetadata, answers: Answering) -> ToolCall:
        interview = Interview(self.clock, answers)
        call = (ToolCall if metadata.revision.modern else LegacyCall)(interview)
        self._send(call, method, params, metadata)
        interview.look()
        return call

    def _send(self, call: ToolCall, method: str, params: Mapping[str, Any], metadata: RequestMetadata) -> None:
        self._last_id += 1
        exchange = Exchange(Request(self._last_id, method, params), metadata.revision, call)
        call.begin(exchange, self._ask, lambda more: self._send(call, method, {**params, **more}, metadata))
        self._dispatcher.dispatch(exchange, metadata, self._caller)

    def _ask(self, method: str, params: Mapping[str, Any]) -> dict[str, Any]:
        """The reply to a request that is answered at once, of a client that knows tasks."""
        call = ToolCall(Interview(self.clock, NO_ANSWERS))
        self._send(call, method, params, RequestMetadata(revision=V2026_07_28, capabilities=_KNOWS_TASKS))
        assert call._reply is not None
        return call._reply

    def shut_down(self) -> None:
        """The server stops: what runs is cancelled."""
        self._calls.cancel_all(Cause.SHUTDOWN)

    def leftovers(self) -> Sequence[str]:
        """What is still there of all calls: running calls, timers, delayed calls. Empty when nothing is."""
        running = [_described(running) for running in self._calls.running]
        timers = [f"{len(self._wheel)} timers on the wheel"] if len(self._wheel) else []
        delayed = [f"delayed call: {delayed}" for delayed in self.clock.getDelayedCalls()]
        return [*running, *timers, *delayed]


def _described(running: Running) -> str:
    return f"a running call of {running.served.name}"


def _nobody(method: str, params: Mapping[str, Any]) -> dict[str, Any]:
    raise AssertionError("the call was not begun by a ToolRunner")


def _open_client(revision: str) -> RequestMetadata:
    """A client that wants to hear everything, and can be asked everything."""
    return RequestMetadata(
        revision=(MODERN | LEGACY)[revision],
        progress_token="token",
        log_level="debug",
        capabilities=CAN_BE_ASKED,
    )
