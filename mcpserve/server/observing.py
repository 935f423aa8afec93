"""Who watches what the server does: all that the rooms know of metrics, logs and traces.

Where nobody watches there is no observer, and the rooms ask no more than whether there is one. What can be counted when
somebody asks, such as open streams, is not said here: `service.metrics` looks for itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import attrs

from mcpserve.errors import ProtocolError
from mcpserve.features.call import Cause
from mcpserve.policy.callers import Caller
from mcpserve.protocol.exchange import Ending, Witness
from mcpserve.protocol.jsonrpc import Request
from mcpserve.protocol.metadata import RequestMetadata
from mcpserve.protocol.trace import Trace


@attrs.frozen(kw_only=True)
class Responded:
    """An HTTP request whose response has ended.

    Args:
        method: As in "POST"; empty for a request that was refused before it had one.
        path: Without the query, in which there may be secrets.
        status: Of the response; 0 when there was none.
        seconds: Since the request had arrived.
        caller: Whose it was; None if that was not found out.
        address: Where it came from, if known.
        exchanged: Whether it held a request of JSON-RPC that somebody answered; that one has a witness of its own.
        lost: Whether the client left before the end of the response.
    """

    method: str
    path: str
    status: int
    seconds: float
    caller: Caller | None = None
    address: str | None = None
    exchanged: bool = False
    lost: bool = False


class Observer(Protocol):
    """Watches. Must not raise, and returns at once."""

    def began(self, request: Request, metadata: RequestMetadata, caller: Caller) -> Witness:
        """A request is about to be answered.

        Returns:
            What is told how that ends.
        """

    def responded(self, response: Responded) -> None:
        """A response over HTTP has ended."""

    def cancelled(self, noun: str, name: str, cause: Cause) -> None:
        """A running call was cancelled.

        Args:
            noun: What it was of: "tool", "prompt" or "resource".
            name: What that is called by.
            cause: Why.
        """

    def faulted(self, noun: str, name: str) -> None:
        """The function of an author failed in a way that it did not mean to; arguments as of `cancelled`."""


@attrs.frozen
class Several:
    """Several observers as one. Implements `Observer`."""

    observers: Sequence[Observer]

    def began(self, request: Request, metadata: RequestMetadata, caller: Caller) -> Witness:
        """See `Observer.began`. A place in a trace that one gives is known to those that come after it."""
        witnesses = []
        for observer in self.observers:
            witness = observer.began(request, metadata, caller)
            if witness.trace is not None:
                metadata = attrs.evolve(metadata, span=witness.trace)
            witnesses.append(witness)
        return SeveralWitnesses(witnesses, metadata.span)

    def responded(self, response: Responded) -> None:
        """See `Observer.responded`."""
        for observer in self.observers:
            observer.responded(response)

    def cancelled(self, noun: str, name: str, cause: Cause) -> None:
        """See `Observer.cancelled`."""
        for observer in self.observers:
            observer.cancelled(noun, name, cause)

    def faulted(self, noun: str, name: str) -> None:
        """See `Observer.faulted`."""
        for observer in self.observers:
            observer.faulted(noun, name)


@attrs.frozen
class SeveralWitnesses:
    """Several witnesses as one. Implements `Witness`."""

    witnesses: Sequence[Witness]
    trace: Trace | None

    def ended(self, ending: Ending, error: ProtocolError | None = None) -> None:
        """See `Witness.ended`."""
        for witness in self.witnesses:
            witness.ended(ending, error)


def together(observers: Sequence[Observer]) -> Observer | None:
    """These observers as one; None where nobody watches."""
    if len(observers) < 2:
        return observers[0] if observers else None
    return Several(observers)
