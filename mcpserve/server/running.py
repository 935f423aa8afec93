"""A call of an author's function from its start to its end, and what becomes of it when something comes between.

    event                         what happens
    the function returns          its value is the result
    it raises ToolError           a refusal with its text
    it raises anything else       a refusal with a generic text and a log id
    the client is gone            cancelled, or goes on unheard when its author says on_disconnect="finish"
    the client withdraws it       cancelled, no reply
    its time is up                cancelled, a refusal
    the reader is too far behind  cancelled, no reply (the stream is cut)
    the server stops              cancelled, an error
    it asks a modern client       cancelled, an InputRequiredResult; the function will be called again
    it becomes a task             the request is answered, and the call goes on; its client is the task now

What a value and a refusal look like depends on what is called, a tool, a prompt or a resource: its `Answers` say it.

However a call ends, all of this is done in one turn of the reactor: its timers stop, its producer is told to stop,
those who asked with `on_cancel` are told if it was cancelled, its coroutine or Deferred is cancelled, and what else
waits on the call too. Only a coroutine that ends its call itself goes on to its own end.
"""

from __future__ import annotations

import inspect
import secrets
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Any, Literal, Protocol

from twisted.internet.defer import CancelledError, Deferred, succeed
from twisted.logger import Logger
from twisted.python.failure import Failure

from mcpserve.errors import InternalError, ProtocolError, ToolError
from mcpserve.features import awaiting
from mcpserve.features.asking import Question
from mcpserve.features.call import Call, Cause, Runtime
from mcpserve.features.stream import Stream
from mcpserve.features.thread_call import ThreadCall
from mcpserve.features.timing import Timer
from mcpserve.policy.callers import Caller
from mcpserve.protocol.exchange import Carrier, Exchange
from mcpserve.protocol.metadata import RequestMetadata
from mcpserve.protocol.wire import Envelope
from mcpserve.server.asking import Asking, brought
from mcpserve.server.observing import Observer

_log = Logger()


class RunOptions(Protocol):
    """How a function is run; see `mcpserve.tool` for the meaning of each."""

    @property
    def thread(self) -> bool: ...
    @property
    def timeout(self) -> float | None: ...
    @property
    def on_disconnect(self) -> Literal["cancel", "finish"]: ...
    @property
    def max_concurrent(self) -> int | None: ...


class Served(Protocol):
    """What can be run: a function of an author and what is known of it.

    Attributes:
        name: What it is called by.
        function: What does the work.
        options: How it is run.
        call_parameter: The parameter that gets the call or the stream, if there is one.
        takes_over: True when that parameter is the response stream.
        plain: True when it can be answered at once, without a call object.
    """

    @property
    def name(self) -> str: ...
    @property
    def function(self) -> Callable[..., Any]: ...
    @property
    def options(self) -> RunOptions: ...
    @property
    def call_parameter(self) -> str | None: ...
    @property
    def takes_over(self) -> bool: ...
    @property
    def plain(self) -> bool: ...

    def bind(self, arguments: Mapping[str, Any]) -> dict[str, Any]:
        """The keyword values of the function. May raise ToolError or ProtocolError."""


class Answers(Protocol):
    """How calls of one kind are answered.

    Attributes:
        noun: What is called, for sentences: "tool", "prompt", "resource".
        envelope: What the revision adds to a result.
    """

    @property
    def noun(self) -> str: ...
    @property
    def envelope(self) -> Envelope: ...

    def succeed(self, served: Any, value: object, exchange: Exchange) -> None:
        """Reply with the result that a returned value makes. Raises, without a reply, when it makes none."""

    def refuse(self, error: ToolError, exchange: Exchange) -> None:
        """Reply that the work was not done; the error's text is for the client."""


class TaskOffer(Protocol):
    """A task that a call may become.

    Attributes:
        at_once: True when the work begins as a task, False when its author says when.
    """

    @property
    def at_once(self) -> bool: ...

    def begin(self, running: Running) -> Deferred[None]:
        """Make the call a task. Fires when that is done; then `Running.move` was called."""


class Running:
    """One running call: the owner of its exchange, and the outcome of its `Call`.

    Args:
        served: What is called.
        exchange: Where the reply goes.
        answers: What the reply looks like.
        on_end: Called once, when nothing of the call is left.
        observer: Who watches, if anybody does.
    """

    __slots__ = (
        "_answers",
        "_asking",
        "_coroutine",
        "_deadline",
        "_observer",
        "_offer",
        "_on_end",
        "_work",
        "call",
        "cause",
        "ended",
        "exchange",
        "served",
    )

    def __init__(
        self,
        served: Served,
        exchange: Exchange,
        answers: Answers,
        on_end: Callable[[Running], object],
        observer: Observer | None = None,
    ) -> None:
        self.served = served
        self.exchange = exchange
        self.ended = False
        self.cause: Cause | None = None
        self.call: Call | None = None
        self._answers = answers
        self._asking: Asking | None = None
        self._on_end = on_end
        self._observer = observer
        self._offer: TaskOffer | None = None
        self._work: Deferred[Any] | None = None
        self._coroutine: Any = None
        self._deadline: Timer | None = None

    def start(
        self,
        arguments: Mapping[str, Any],
        metadata: RequestMetadata,
        caller: Caller,
        runtime: Runtime,
        offer: TaskOffer | None = None,
    ) -> None:
        """Call the function with arguments that were found valid.

        Args:
            arguments: The arguments.
            metadata: What is known of the request.
            caller: Who calls.
            runtime: What the call runs on.
            offer: The task that the call may become.
        """
        self.exchange.owner = self
        served = self.served
        try:
            came = brought(self.exchange.request, metadata, caller, runtime.seals)
        except Exception as error:  # whatever it is, the place of the call is given back
            self.fail(error)
            return
        self._asking = Asking(
            exchange=self.exchange, metadata=metadata, caller=caller, runtime=runtime, came=came, end=self._end_asking
        )
        make = Stream if served.takes_over else Call
        self.call = make(
            tool=served.name, exchange=self.exchange, metadata=metadata, caller=caller, runtime=runtime, outcome=self
        )
        if served.options.timeout is not None:
            self._deadline = runtime.wheel.call_later(served.options.timeout, self.cancel, Cause.TIMED_OUT)
        self._offer = offer
        if offer is None or not offer.at_once:
            self._run(arguments, runtime)
        else:
            work = self._work = self.start_task()
            work.addCallbacks(lambda _: self._run(arguments, runtime), self._raised)

    def adopt(self, awaitable: Any) -> None:
        """Take over a call whose function has given back something to wait for."""
        self.exchange.owner = self
        self._take(awaitable)

    # --- Outcome: how the call ends by itself

    def finish(self, value: object) -> None:
        """End with a value that the function may return."""
        if self.ended:
            return
        try:
            self._answers.succeed(self.served, value, self.exchange)
        except Exception as error:
            # It is no result, or it has no form in JSON. It was not sent: encoding comes first.
            self.fail(error)
        else:
            self._end()

    def fail(self, error: BaseException) -> None:
        """End with an error."""
        if self.ended:
            return
        found = error if self._asking is None else self._asking.instead_of(error)
        if found is not None:
            fail(self.served, found, self.exchange, self._answers, self._observer)
            self._end()

    def ask(self, questions: Mapping[str, Question]) -> Deferred[dict[str, Any]]:
        """Ask the client; see `server.asking`."""
        assert self._asking is not None
        return self._asking.ask(questions)

    def once(self, key: str, make: Callable[[], Any]) -> Any:
        """Do something once for all rounds of the call."""
        return make() if self._asking is None else self._asking.once(key, make)

    def start_task(self) -> Deferred[None]:
        """Answer the request with a task, if the call may become one and is none yet."""
        offer, self._offer = self._offer, None
        return succeed(None) if offer is None or self.ended else offer.begin(self)

    # --- Owner: what becomes of the way to the client

    def lost(self) -> None:
        """The client has gone."""
        if self.served.options.on_disconnect == "finish":
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
            late = ToolError(f"The {self._answers.noun} did not finish within {self.served.options.timeout:g} s")
            self._answers.refuse(late, self.exchange)
        elif cause is Cause.SHUTDOWN:
            self.exchange.fail(InternalError("The server is shutting down; call again"))
        elif cause is Cause.EXPIRED:
            self.exchange.fail(InternalError("The task did not end within its time to live"))
        if cause is not Cause.ASKED:
            _log.info("Call of {name} cancelled: {cause}", name=self.served.name, cause=cause.value)
        self.cause = cause
        self._end()

    def move(self, carrier: Carrier, metadata: RequestMetadata) -> Exchange:
        """Go on as a task.

        Args:
            carrier: Where the call says what it says from now on.
            metadata: What is known of the request, as it is for a task.

        Returns:
            The exchange of the request, which is yet to be answered and does not concern the call any more.
        """
        request = self.exchange
        exchange = self.exchange = Exchange(request.request, request.revision, carrier)
        request.owner, exchange.owner = None, self
        if self.call is not None:
            self.call.move(exchange, metadata)
        if self._asking is not None:
            self._asking.move(exchange)
        return request

    # --- inside

    def _end_asking(self, last: ProtocolError | dict[str, Any]) -> None:
        """The call ends with its questions, or with what is wrong with an answer. Nobody can keep it from that."""
        if isinstance(last, ProtocolError):
            self.exchange.fail(last)
        else:
            self.exchange.succeed(self._answers.envelope.input_required(last))
        self.cancel(Cause.ASKED)

    def _run(self, arguments: Mapping[str, Any], runtime: Runtime) -> None:
        self._work = None
        try:
            value = self._invoke(arguments, runtime)
        except BaseException as error:  # sys.exit() in a function is the function's failure, not the server's end
            self.fail(error)
            return
        self._take(value)

    def _invoke(self, arguments: Mapping[str, Any], runtime: Runtime) -> Any:
        served, call = self.served, self.call
        values = served.bind(arguments)
        if served.options.thread:
            assert call is not None
            if served.call_parameter is not None:
                values[served.call_parameter] = ThreadCall(call, runtime.threads)
            return runtime.threads.run(lambda: served.function(**values))
        if served.call_parameter is not None:
            values[served.call_parameter] = call
        return served.function(**values)

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
        if not (self.served.takes_over and value is None):
            self.finish(value)

    def _raised(self, failure: Failure) -> None:
        self._work = None
        assert failure.value is not None
        if not self.ended:
            self.fail(failure.value)
        elif not failure.check(CancelledError):
            _logged(self.served, failure.value, self._answers, self._observer)

    def _end(self) -> None:
        """Leave nothing behind. The place is given back first, as the rest runs code of the author."""
        self.ended = True
        self.exchange.owner = None
        self._asking = None
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
            call.tell_cancelled()
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


def fail(
    served: Served, error: BaseException, exchange: Exchange, answers: Answers, observer: Observer | None = None
) -> None:
    """Answer a call that raised. Whatever it raised, the call has an answer."""
    try:
        if isinstance(error, ProtocolError):
            exchange.fail(error)
        else:
            answers.refuse(_readable(served, error, answers, observer), exchange)
    except Exception as unspeakable:  # as text that is not Unicode
        answers.refuse(_readable(served, unspeakable, answers, observer), exchange)


def _readable(served: Served, error: BaseException, answers: Answers, observer: Observer | None) -> ToolError:
    """What the client may read: a ToolError's own text is for it, anything else only for the log."""
    if isinstance(error, ToolError):
        return error
    log_id = _logged(served, error, answers, observer)
    return ToolError(f"The {answers.noun} failed; the server's log has the reason under id {log_id}")


def _logged(served: Served, error: BaseException, answers: Answers, observer: Observer | None) -> str:
    if observer is not None:
        observer.faulted(answers.noun, served.name)
    log_id = secrets.token_hex(4)
    _log.error(
        "The {noun} {name} failed (log id {log_id}): {kind}: {text} at {where}",
        noun=answers.noun,
        name=served.name,
        log_id=log_id,
        kind=type(error).__name__,
        text=str(error),
        where=_place(error.__traceback__),
    )
    return log_id


def _place(trace: TracebackType | None) -> str:
    """The innermost line of the failure, as file:line."""
    if trace is None:
        return "an unknown place"
    while trace.tb_next is not None:
        trace = trace.tb_next
    return f"{trace.tb_frame.f_code.co_filename}:{trace.tb_lineno}"
