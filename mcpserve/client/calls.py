"""Errands: what the user wants of the server, which may take several requests, and what comes of it on the way.

    requests of an errand          why another one
    the first
    one more for each round        the server wanted input, and got it (at most `limits.rounds` times)
    one more                       the server found the mirrored headers wrong, and the list of tools is new now

However an errand ends (its result, an error, a deadline, a cancelled Deferred, a loop that is left, the client is
closed), its request is cancelled once if its response has not come, and its deadline is gone.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Self, TypeVar

import attrs
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.internet.task import deferLater

from mcpserve.client.conversation import Conversation, Outgoing, Running
from mcpserve.client.leaving import Leavable
from mcpserve.client.limits import Terms
from mcpserve.client.values import LogMessage, Progress
from mcpserve.errors import AnswerTooLarge, BadAnswer, ClientError, DeadlinePassed, HeaderMismatch, RemoteError
from mcpserve.protocol.jsonrpc import Notification, Response
from mcpserve.protocol.reading import result_of
from mcpserve.protocol.revisions import Revision
from mcpserve.protocol.types import LOG_LEVELS, Result

T = TypeVar("T")
ToolEvent = Progress | LogMessage | Result
Answer = Callable[[Any, Revision], Awaitable[Mapping[str, Any]]]
Renew = Callable[[Outgoing], Awaitable[Outgoing | None]]

LOG = "notifications/message"

MAY_NEED_INPUT = frozenset({"tools/call", "prompts/get", "resources/read"})
"""Multi Round-Trip Requests, Supported Requests: "Servers MUST NOT send InputRequiredResult responses on any other"."""


@attrs.frozen(kw_only=True)
class Means:
    """What errands need.

    Args:
        conversation: Sends requests.
        terms: Time; how often the server may ask, and how long to wait where it wants to be asked again.
        answer: Answers `inputRequests`.
        heard: Takes notifications that are not about the errand that they came with.
        wanted: Tells whether a log message is severe enough.
        errands: Those that have begun and not ended.
    """

    conversation: Conversation
    terms: Terms
    answer: Answer
    heard: Callable[[Notification], None]
    wanted: Callable[[Notification], bool]
    errands: set[Errand] = attrs.field(factory=set, repr=False)


class Errand:
    """One thing that the user wants, from its first request to its result. Nothing is sent before `receive`.

    Args:
        means: What it needs.
        outgoing: The request.
        timeout: Seconds until its result; None for no deadline.
        renew: Gives the request anew after its mirrored headers were found wrong; None if they are as they were.
        extended: A result of a type that we do not know is one, too: the user has declared an extension that does.
    """

    __slots__ = (
        "_busy",
        "_deadline",
        "_extended",
        "_failure",
        "_means",
        "_outgoing",
        "_renew",
        "_rounds",
        "_running",
        "_timeout",
        "_work",
        "ended",
    )

    def __init__(
        self,
        means: Means,
        outgoing: Outgoing,
        timeout: float | None,
        renew: Renew | None = None,
        *,
        extended: bool = False,
    ) -> None:
        self.ended = False
        """Nothing more comes."""
        self._means = means
        self._outgoing = outgoing
        self._timeout = timeout
        self._renew = renew
        self._extended = extended
        self._rounds = 0
        self._busy = False
        self._running: Running | None = None
        self._work: Deferred[Any] | None = None
        self._failure: ClientError | None = None
        self._deadline: IDelayedCall | None = None

    async def receive(self) -> Notification | Mapping[str, Any]:
        """The next notification; the result of the last request, as it came, is the last.

        Cancel: The errand is cancelled.

        Raises:
            ClientError: There will be no result.
            Exception: Whatever a handler raises that was asked for input.
        """
        if self._failure is not None:
            raise self._failure
        if self._busy or self.ended:
            raise RuntimeError("Two wait for the same event" if self._busy else "The call has ended")
        self._busy, going_on = True, False
        try:
            running = self._running or self._begin()
            while True:
                message = await running.receive()
                if isinstance(message, Notification):
                    if message.method == LOG and not self._means.wanted(message):
                        continue
                    going_on = True
                    return message
                self._running = None
                result = self._result_in(message)
                if result is not None:
                    return result
                running = self._running = self._means.conversation.request(await self._next(message))
        except CancelledError:
            if self._failure is None:
                raise
            raise self._failure from None
        finally:
            self._busy = False
            if not going_on:
                self.cancel()

    def cancel(self, reason: str | None = None) -> None:
        """Nobody wants it any more. Who waits gets a CancelledError. Does nothing after its end."""
        if self.ended:
            return
        self.ended = True
        self._means.errands.discard(self)
        if self._deadline is not None and self._deadline.active():
            self._deadline.cancel()
        running, self._running = self._running, None
        work, self._work = self._work, None
        if running is not None:
            running.cancel(reason)
        if work is not None:
            work.cancel()

    def fail(self, failure: ClientError, reason: str) -> None:
        """It ends here: who waits, or asks next, gets the failure; the reason is for the server."""
        if not self.ended:
            self._failure = failure
            self.cancel(reason)

    def _begin(self) -> Running:
        self._means.errands.add(self)
        if self._timeout is not None:
            self._deadline = self._means.terms.clock.callLater(self._timeout, self._late)
        self._running = running = self._means.conversation.request(self._outgoing)
        return running

    def _late(self) -> None:
        message = f"No result of {self._outgoing.method} came within {self._timeout:g} s"
        self.fail(DeadlinePassed(message, "total"), "it took too long")

    def _result_in(self, response: Response) -> Mapping[str, Any] | None:
        """The result, if this is the end; None if there is to be another request."""
        method = self._outgoing.method
        if response.error is not None:
            error = _remote_error(method, response.error)
            if error.code == HeaderMismatch.code and self._renew is not None:
                return None
            raise error
        result = response.result
        if not isinstance(result, dict):
            raise BadAnswer(f"The result of {method} is no object")
        kind = result.get("resultType", "complete")
        # "clients MUST treat an absent resultType as complete"; the revisions before do not know the member.
        if kind == "complete" or not self._means.conversation.server.revision.modern:
            return result
        if kind == "input_required" and method in MAY_NEED_INPUT:
            return None
        if self._extended and isinstance(kind, str) and kind != "input_required":
            return result
        # "A resultType of any value unrecognized by the client MUST be considered invalid."
        raise BadAnswer(f"The result of {method} is of the type {kind!r:.40}, which this client does not know")

    async def _next(self, response: Response) -> Outgoing:
        """The request that follows this response."""
        if response.error is not None:
            return await self._renewed(_remote_error(self._outgoing.method, response.error))
        return await self._with_input(response.result)

    async def _renewed(self, error: RemoteError) -> Outgoing:
        """The same request with the headers that the server wants; but only once."""
        renew, self._renew = self._renew, None
        outgoing = None if renew is None else await self._pursue(renew(self._outgoing))
        if outgoing is None:
            raise error
        self._outgoing = outgoing
        return outgoing

    async def _with_input(self, result: Mapping[str, Any]) -> Outgoing:
        """The same request with what the server wants to know.

        Spec: Multi Round-Trip Requests: "the client MUST echo back the exact value of that field when retrying"; "If
        the InputRequiredResult does not contain a requestState field, the client MUST NOT include one in the retry."
        """
        method, means = self._outgoing.method, self._means
        if self._rounds == means.terms.limits.rounds:
            raise AnswerTooLarge(f"The server asked for input more than {self._rounds} times in one {method}")
        more: dict[str, Any] = {}
        if "requestState" in result:
            more["requestState"] = result["requestState"]
        if result.get("inputRequests") is not None:
            answers = means.answer(result["inputRequests"], means.conversation.server.revision)
            more["inputResponses"] = await self._pursue(answers)
        elif not more:
            raise BadAnswer(f"The server wants input for {method}, but does not say which")
        elif self._rounds:
            # It only wants to be asked again: at once for the first time, then ever more seldom.
            await self._pursue(_after(means.terms.retries.delay(self._rounds - 1, 0), means.terms.clock))
        self._rounds += 1
        return attrs.evolve(self._outgoing, params={**self._outgoing.params, **more})

    async def _pursue(self, work: Awaitable[T]) -> T:
        """Wait for something that is to be cancelled with the errand."""
        self._work = deferred = Deferred.fromCoroutine(_awaited(work))
        try:
            return await deferred
        finally:
            self._work = None


async def _awaited(work: Awaitable[T]) -> T:
    return await work


async def _after(seconds: float, clock: IReactorTime) -> None:
    await deferLater(clock, seconds)


def _remote_error(method: str, error: Mapping[str, Any]) -> RemoteError:
    code, message = error.get("code"), error.get("message")
    if not isinstance(code, int) or isinstance(code, bool):
        raise BadAnswer(f"The error that answers {method} has no code")
    return RemoteError(code, message if isinstance(message, str) else "", error.get("data"))


# --- what is said on the way


def event_of(notification: Notification) -> Progress | LogMessage | None:
    """Progress or a log message; None for anything else, and for what is malformed."""
    params = notification.params
    if notification.method == "notifications/progress":
        value, total, message = params.get("progress"), params.get("total"), params.get("message")
        if type(value) not in _NUMBERS or (total is not None and type(total) not in _NUMBERS):
            return None
        return Progress(value, total, message if isinstance(message, str) else None)  # type: ignore[arg-type]
    if notification.method == LOG:
        level, logger = params.get("level"), params.get("logger")
        if level in LOG_LEVELS and "data" in params:
            return LogMessage(level, params["data"], logger if isinstance(logger, str) else None)
    return None


_NUMBERS = (int, float)


class ToolStream(Leavable):
    """What a tool says, as it comes; see `Client.stream_tool`.

    An async iterator, and an async context manager that cancels a call which has not ended. So does the end of its
    life: in CPython that is the moment in which a loop is left.
    """

    __slots__ = ("__weakref__", "_errand", "_heard", "_over")

    def __init__(self, errand: Errand, heard: Callable[[Notification], None]) -> None:
        self._errand = errand
        self._heard = heard
        self._over = False

    async def __anext__(self) -> ToolEvent:
        """The next event; the last one is the `Result`.

        Cancel: The call is cancelled on the server.

        Raises:
            ClientError: There will be no result.
        """
        if self._over:
            raise StopAsyncIteration
        goes_on = False
        try:
            while True:
                message = await self._errand.receive()
                if not isinstance(message, Notification):
                    return tool_result(message)
                event = event_of(message)
                if event is not None:
                    goes_on = True
                    return event
                self._heard(message)
        finally:
            self._over = not goes_on

    async def __aenter__(self) -> Self:
        return self

    async def aclose(self) -> None:
        """Cancel the call if it has not ended; nothing more comes."""
        self.cancel()

    def cancel(self, reason: str | None = None) -> None:
        """The same without waiting, with words for the server's log."""
        self._over = True
        self._errand.cancel(reason)


def tool_result(shape: Mapping[str, Any]) -> Result:
    """Read the result of a tool.

    Raises:
        BadAnswer: It has another shape.
    """
    return understood(result_of, shape, "tools/call")


def understood(read: Callable[[Any], T], shape: Mapping[str, Any], method: str) -> T:
    """Read a result.

    Raises:
        BadAnswer: It has another shape.
    """
    try:
        return read(shape)
    except ValueError as error:
        raise BadAnswer(f"The result of {method} is not what it should be: {error}") from None
