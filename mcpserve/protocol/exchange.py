"""One request and its reply, as a state table without I/O.

    state       notify, ask   succeed/fail    withdraw      lost          carried
    OPEN        → STREAMING   → REPLIED       → WITHDRAWN   → LOST        nothing yet
    STREAMING   (stays)       → REPLIED       → WITHDRAWN   → LOST        notifications, questions
    REPLIED     dropped       dropped         dropped       dropped       the reply, once
    WITHDRAWN   dropped       dropped         dropped       dropped       nothing more
    LOST        dropped       dropped         dropped       dropped       nothing more

So there is never a second reply, and never a notification or a question after the reply ("Progress notifications MUST
stop after completion"). A *carrier* brings the messages to the client: an HTTP response, a resumable legacy stream, a
test. An *owner*, the work behind the request, is told what becomes of the way to the client.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Protocol, runtime_checkable

from mcpserve.errors import AskError, ProtocolError
from mcpserve.protocol import jsonrpc
from mcpserve.protocol.inputs import InputRequest
from mcpserve.protocol.jsonrpc import Request, Response
from mcpserve.protocol.revisions import Revision
from mcpserve.protocol.trace import Trace

NO_HEADERS: Mapping[str, str] = MappingProxyType({})


class State(enum.Enum):
    """Where an exchange stands; see the table above."""

    OPEN = "open"
    STREAMING = "streaming"
    REPLIED = "replied"
    WITHDRAWN = "withdrawn"
    LOST = "lost"


class Carrier(Protocol):
    """What brings an exchange's messages to its client."""

    def notify(self, message: bytes, replaceable: bool) -> None:
        """Carry a notification; the first one opens a stream.

        Args:
            message: One JSON-RPC notification.
            replaceable: True for a bare progress number, which a newer one may replace while it waits.
        """

    def reply(self, message: bytes, status: int, headers: Mapping[str, str] = NO_HEADERS) -> None:
        """Carry the reply, and end. `status` and `headers` are for HTTP, should no status have been sent yet."""

    def end(self) -> None:
        """End without a reply."""


@runtime_checkable
class Asker(Protocol):
    """A carrier that can also bring questions to the client while the work goes on, and the answers back."""

    def ask(self, question: InputRequest, answered: Callable[[Response], object]) -> Callable[[bool], object]:
        """Carry a question.

        Args:
            question: What is asked.
            answered: Called with the answer, once at the most.

        Returns:
            What takes the question back: `answered` is not called then any more. It is told whether something can
            still be said to the client.

        Raises:
            AskError: This client can't be asked.
        """


@runtime_checkable
class Resumable(Protocol):
    """A carrier whose client can lose its connection and take the stream up again."""

    def close_stream(self, retry_ms: int | None) -> None:
        """Close the connection without ending the stream, and tell the client when to come back.

        Args:
            retry_ms: Milliseconds from now; None for what is usual.
        """


class Owner(Protocol):
    """The work behind a request, as the exchange tells it what happens."""

    def lost(self) -> None:
        """The client can no longer be reached. Called once at the most."""

    def withdrawn(self) -> None:
        """The client asked to cancel. Called once at the most."""

    def overrun(self) -> None:
        """The reader is so far behind that a bound is passed; nothing more will be carried."""

    def paused(self) -> None:
        """The reader is behind."""

    def resumed(self) -> None:
        """The reader caught up."""


class Ending(enum.Enum):
    """How an exchange has ended."""

    OK = "ok"
    FAILED = "failed"
    ASKED = "input_required"
    TASK = "task"
    ERROR = "error"
    WITHDRAWN = "withdrawn"
    LOST = "disconnected"
    OVERRUN = "overrun"


class Witness(Protocol):
    """What wants to know how an exchange ends; it must not raise."""

    @property
    def trace(self) -> Trace | None:
        """The place in a trace that the work has from now on; None if that changes nothing."""

    def ended(self, ending: Ending, error: ProtocolError | None = None) -> None:
        """It has ended, before the reply goes out. Called once.

        Args:
            ending: How. FAILED is a result that says `isError`.
            error: The error that was the reply, if it was one.
        """


class Exchange:
    """One request and its reply.

    Args:
        request: The request.
        revision: The revision that it is answered in.
        carrier: What brings the messages to the client; owned by the transport.
    """

    __slots__ = ("carrier", "owner", "request", "revision", "state", "witness")

    def __init__(self, request: Request, revision: Revision, carrier: Carrier) -> None:
        self.request = request
        self.revision = revision
        self.carrier = carrier
        self.state = State.OPEN
        self.owner: Owner | None = None
        self.witness: Witness | None = None

    @property
    def live(self) -> bool:
        """True while something can still be said."""
        return self.state is State.OPEN or self.state is State.STREAMING

    def notify(self, message: bytes, replaceable: bool = False) -> None:
        """Say something before the reply; see `Carrier.notify`."""
        if self.state is State.OPEN:
            self.state = State.STREAMING
        elif self.state is not State.STREAMING:
            return
        self.carrier.notify(message, replaceable)

    @property
    def can_ask(self) -> bool:
        """True when the carrier brings questions to the client while the work goes on."""
        return isinstance(self.carrier, Asker)

    def ask(self, question: InputRequest, answered: Callable[[Response], object]) -> Callable[[], object]:
        """Ask something before the reply; see `Asker.ask`.

        Returns:
            What takes the question back.

        Raises:
            AskError: The client can't be asked, or nothing more can be said.
        """
        if not (self.live and isinstance(self.carrier, Asker)):
            raise AskError("This client can't be asked: its transport takes nothing but the reply")
        take_back = self.carrier.ask(question, answered)
        # What is asked may be too much for a client that does not read, and end the exchange.
        if self.state is State.OPEN:
            self.state = State.STREAMING
        return lambda: take_back(self.live)

    def close_stream(self, retry_ms: int | None) -> None:
        """Close the connection of a stream that can be resumed; see `Resumable`. Else nothing happens."""
        if self.live and isinstance(self.carrier, Resumable):
            self.carrier.close_stream(retry_ms)

    def succeed(self, result: object) -> None:
        """Reply with a result (JSON values, `orjson.Fragment`s within)."""
        if self.live:
            message = jsonrpc.encode_result(self.request.id, result)
            self.state = State.REPLIED
            if self.witness is not None:
                self._ended(ending_of(result))
            self.carrier.reply(message, 200)

    def fail(self, error: ProtocolError) -> None:
        """Reply with an error; its HTTP status counts only if no stream was opened."""
        if self.live:
            legacy = not self.revision.modern
            message = jsonrpc.encode_error(self.request.id, error, legacy=legacy)
            self.state = State.REPLIED
            if self.witness is not None:
                self._ended(Ending.ERROR, error)
            self.carrier.reply(message, error.legacy_status if legacy else error.status, error.headers)

    def withdraw(self) -> None:
        """The client sent `notifications/cancelled`: end without a reply.

        Spec: Cancellation: "Receivers of a cancellation notification SHOULD ... Not send a response for the cancelled
        request".
        """
        if self.live:
            self.state = State.WITHDRAWN
            self._ended(Ending.WITHDRAWN)
            self.carrier.end()
            if self.owner is not None:
                self.owner.withdrawn()

    def lost(self) -> None:
        """The carrier can no longer reach the client."""
        if self.live:
            self.state = State.LOST
            self._ended(Ending.LOST)
            if self.owner is not None:
                self.owner.lost()

    def overrun(self) -> None:
        """The carrier passed the bound on what waits for a slow reader."""
        if self.live:
            self.state = State.LOST
            self._ended(Ending.OVERRUN)
            if self.owner is not None:
                self.owner.overrun()

    def pause(self) -> None:
        """The carrier's reader is behind."""
        if self.live and self.owner is not None:
            self.owner.paused()

    def resume(self) -> None:
        """The carrier's reader caught up."""
        if self.live and self.owner is not None:
            self.owner.resumed()

    def _ended(self, ending: Ending, error: ProtocolError | None = None) -> None:
        witness, self.witness = self.witness, None
        if witness is not None:
            witness.ended(ending, error)


def ending_of(result: object) -> Ending:
    """How an exchange ends with this result."""
    if not isinstance(result, Mapping):
        return Ending.OK
    if result.get("isError"):
        return Ending.FAILED
    kind = result.get("resultType")
    return Ending.TASK if kind == "task" else Ending.ASKED if kind == "input_required" else Ending.OK
