"""An observer that writes down what it is told."""

from __future__ import annotations

from typing import Any

from mcpserve.errors import ProtocolError
from mcpserve.features.call import Cause
from mcpserve.policy.callers import Caller
from mcpserve.protocol.exchange import Ending
from mcpserve.protocol.jsonrpc import Request
from mcpserve.protocol.metadata import RequestMetadata
from mcpserve.protocol.trace import Trace
from mcpserve.server.observing import Responded


class Recorder:
    """Implements `server.observing.Observer`.

    Args:
        trace: The place in a trace that it gives to each request, if it does.
    """

    def __init__(self, trace: Trace | None = None) -> None:
        self.trace = trace
        self.began_with: list[tuple[str, RequestMetadata, Caller]] = []
        self.endings: list[tuple[str, str, int | None]] = []
        self.responses: list[Responded] = []
        self.told: list[tuple[str, ...]] = []

    def began(self, request: Request, metadata: RequestMetadata, caller: Caller) -> Any:
        """See `Observer.began`."""
        self.began_with.append((request.method, metadata, caller))
        return RecordingWitness(self, request.method)

    def responded(self, response: Responded) -> None:
        """See `Observer.responded`."""
        self.responses.append(response)

    def cancelled(self, noun: str, name: str, cause: Cause) -> None:
        """See `Observer.cancelled`."""
        self.told.append(("cancelled", noun, name, cause.name))

    def faulted(self, noun: str, name: str) -> None:
        """See `Observer.faulted`."""
        self.told.append(("faulted", noun, name))


class RecordingWitness:
    """Implements `protocol.exchange.Witness`."""

    def __init__(self, recorder: Recorder, method: str) -> None:
        self.trace = recorder.trace
        self._recorder = recorder
        self._method = method

    def ended(self, ending: Ending, error: ProtocolError | None = None) -> None:
        """See `Witness.ended`."""
        code = None if error is None else error.code
        self._recorder.endings.append((self._method, ending.value, code))
