"""A call of a tool from its start to its end, and what becomes of it when something comes between.

    event                         what happens
    the function returns          its value is the result
    it raises ToolError           a result with isError and its text
    it raises anything else       a result with isError, a generic text and a log id
    the client is gone            cancelled, or goes on unheard when the tool says on_disconnect="finish"
    the client withdraws it       cancelled, no reply
    its time is up                cancelled, a result with isError
    the reader is too far behind  cancelled, no reply (the stream is cut)
    the server stops              cancelled, an error

However a call ends, all of this is done in one turn of the reactor: its timers stop, its producer is told to stop,
those who asked with `on_cancel` are told if it was cancelled, its coroutine or Deferred is cancelled, and what else
waits on the call too. Only a coroutine that ends its call itself goes on to its own end.
"""

from __future__ import annotations

import inspect
import secrets
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from mcpserve.errors import InternalError, ProtocolError, ToolError
from mcpserve.features import awaiting
from mcpserve.features.call import Call, Caller, Cause, Runtime, Stream, ThreadCall
from mcpserve.features.results import to_result
from mcpserve.features.timing import Timer
from mcpserve.features.tool import Tool
from mcpserve.protocol import wire
from mcpserve.protocol.exchange import Exchange
from mcpserve.protocol.metadata import RequestMetadata
from mcpserve.protocol.types import ABSENT, Result, Text

_log = Logger()


class Running:
    """One running call: the owner of its exchange, and the outcome of its `Call`.

    Args:
        tool: What is called.
        exchange: Where the reply goes.
        envelope: What the revision adds to a result.
        on_end: Called once, when nothing of the call is left.
    """

    __slots__ = (
        "_coroutine",
        "_deadline",
        "_envelope",
        "_on_end",
        "_work",
        "call",
        "cause",
        "ended",
        "exchange",
        "tool",
    )

    def __init__(
        self, tool: Tool, exchange: Exchange, envelope: wire.Envelope, on_end: Callable[[Running], object]
    ) -> None:
        self.tool = tool
        self.exchange = exchange
        self.ended = False
        self.cause: Cause | None = None
        self.call: Call | None = None
        self._envelope = envelope
        self._on_end = on_end
        self._work: Deferred[Any] | None = None
        self._coroutine: Any = None
        self._deadline: Timer | None = None

    def start(self, arguments: Mapping[str, Any], metadata: RequestMetadata, caller: Caller, runtime: Runtime) -> None:
        """Call the function with arguments that were found valid."""
        self.exchange.owner = self
        tool = self.tool
        make = Stream if tool.takes_over else Call
        self.call = make(
            tool=tool.name, exchange=self.exchange, metadata=metadata, caller=caller, runtime=runtime, outcome=self
        )
        if tool.options.timeout is not None:
            self._deadline = runtime.wheel.call_later(tool.options.timeout, self.cancel, Cause.TIMED_OUT)
        try:
            value = self._invoke(arguments, runtime)
        except BaseException as error:  # sys.exit() in a tool is the tool's failure, not the server's end
            self.fail(error)
            return
        self._take(value)

    def adopt(self, awaitable: Any) -> None:
        """Take over a call whose function has given back something to wait for."""
        self.exchange.owner = self
        self._take(awaitable)

    # --- Outcome: how the call ends by itself

    def finish(self, value: object) -> None:
        """End with a value that a tool may return."""
        if self.ended:
            return
        try:
            self._reply(shaped(self.tool, value))
        except Exception as error:
            # It is no result, or it has no form in JSON. It was not sent: encoding comes first.
            self.fail(error)
        else:
            self._end()

    def fail(self, error: BaseException) -> None:
        """End with an error."""
        if self.ended:
            return
        try:
            if isinstance(error, ProtocolError):
                self.exchange.fail(error)
            else:
                self._reply(failed(self.tool, error))
        except Exception as unspeakable:  # as text that is not Unicode
            self._reply(failed(self.tool, unspeakable))
        self._end()

    # --- Owner: what becomes of the way to the client

    def lost(self) -> None:
        """The client has gone."""
        if self.tool.options.on_disconnect == "finish":
            self.resumed()
        else:
            self.cancel(Cause.DISCONNECTED)

    def withdrawn(self) -> None:
        """The client asked to cancel."""
        self.cancel(Cause.WITHDRAWN)

    def overrun(self) -> None:
        """The reader is too far behind."""
        self.cancel(Cause.OVERRUN)

    def paused(self) -> None:
        """The reader is behind."""
        if self.call is not None and not self.call.paused:
            self.call.pause()

    def resumed(self) -> None:
        """The reader caught up, or nobody listens any more."""
        if self.call is not None and self.call.paused:
            self.call.resume()

    # --- from outside

    def cancel(self, cause: Cause) -> None:
        """Stop all that belongs to the call, and answer where an answer is due. Does nothing after the end."""
        if self.ended:
            return
        if cause is Cause.TIMED_OUT:
            self._reply(
                Result(content=[Text(f"The tool did not finish within {self.tool.options.timeout:g} s")], is_error=True)
            )
        elif cause is Cause.SHUTDOWN:
            self.exchange.fail(InternalError("The server is shutting down; call again"))
        _log.info("Call of {tool} cancelled: {cause}", tool=self.tool.name, cause=cause.value)
        self.cause = cause
        self._end()

    # --- inside

    def _invoke(self, arguments: Mapping[str, Any], runtime: Runtime) -> Any:
        tool, call = self.tool, self.call
        values = tool.signature.bind(arguments)
        if tool.options.thread:
            assert call is not None
            if tool.call_parameter is not None:
                values[tool.call_parameter] = ThreadCall(call, runtime.threads)
            return runtime.threads.run(lambda: tool.function(**values))
        if tool.call_parameter is not None:
            values[tool.call_parameter] = call
        return tool.function(**values)

    def _take(self, value: Any) -> None:
        """Wait for what the function gave back, if it has to be waited for."""
        if not awaiting.is_awaitable(value):
            self._returned(value)
            return
        work = self._work = awaiting.deferred(value)
        self._coroutine = value if inspect.iscoroutine(value) else None
        work.addCallbacks(self._returned, self._raised)
        if self.cause is not None:
            self._drop_work()

    def _returned(self, value: object) -> None:
        self._work = None
        if not (self.tool.takes_over and value is None):
            self.finish(value)

    def _raised(self, failure: Failure) -> None:
        self._work = None
        assert failure.value is not None
        if not self.ended:
            self.fail(failure.value)
        elif not failure.check(CancelledError):
            _logged(self.tool, failure.value)

    def _reply(self, result: Result) -> None:
        revision = self.exchange.revision
        self.exchange.succeed(self._envelope.complete(wire.call_result(result, revision), revision))

    def _end(self) -> None:
        """Leave nothing behind. The place is given back first, as the rest runs code of the tool's author."""
        self.ended = True
        self.exchange.owner = None
        self._on_end(self)
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None
        call, self.call = self.call, None
        if call is None:
            self._drop_work()
            return
        call.close()
        if self.cause is not None:
            call.cancelled()
        # Whoever says too much is cut off while it speaks: code that runs can be cancelled only when it waits again.
        speaking = self.cause is Cause.OVERRUN or (self._coroutine is not None and self._coroutine.cr_running)
        if not speaking:
            self._drop_work()
        elif self.cause is not None and self._work is not None:
            call.clock.callLater(0, self._drop_work)
        call.release()

    def _drop_work(self) -> None:
        work, self._work = self._work, None
        if work is not None:
            awaiting.cancel(work)


def shaped(tool: Tool, value: object) -> Result:
    """The result that a returned value makes.

    Raises:
        ValueError: It does not fit the tool's output schema. Spec: Tools, Output Schema: "Servers MUST provide
            structured results that conform to this schema."
        TypeError: It has no form in JSON.
    """
    result = to_result(value, tool.signature)
    if tool.output_validator is not None and not result.is_error:
        if result.structured is ABSENT:
            raise ValueError("the tool has an output schema, but returned nothing structured")
        problems = tool.output_validator.problems(result.structured)
        if problems:
            raise ValueError("the returned value does not fit the output schema: " + "; ".join(problems))
    return result


def failed(tool: Tool, error: BaseException) -> Result:
    """The result that an exception makes: a ToolError's text is for the model, anything else only for the log."""
    if isinstance(error, ToolError):
        return Result(content=[Text(str(error))], is_error=True)
    log_id = _logged(tool, error)
    return Result(content=[Text(f"The tool failed; the server's log has the reason under id {log_id}")], is_error=True)


def _logged(tool: Tool, error: BaseException) -> str:
    log_id = secrets.token_hex(4)
    _log.error(
        "Tool {tool} failed (log id {log_id}): {kind}: {text} at {where}",
        tool=tool.name,
        log_id=log_id,
        kind=type(error).__name__,
        text=_text(error),
        where=_place(error.__traceback__),
    )
    return log_id


def _text(error: BaseException) -> str:
    try:
        return str(error)
    except Exception:
        return "an exception that can't say what it is"


def _place(trace: TracebackType | None) -> str:
    """The innermost line of the failure, as file:line."""
    if trace is None:
        return "an unknown place"
    while trace.tb_next is not None:
        trace = trace.tb_next
    return f"{trace.tb_frame.f_code.co_filename}:{trace.tb_lineno}"
