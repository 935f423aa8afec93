"""A line for each request: who asked what, how that ended, and after how long.

    203.0.113.9 alice tools/call stretch ok 12.3ms trace=0af7651916cd43dd8448eb211c80319c
    203.0.113.9 - POST /mcp 401 0.2ms

A request of JSON-RPC is told when its reply goes out, whatever transport it came by. What HTTP has beside that, such
as a refusal at the door or a stream that a client opens with GET, is told when the response ends. Arguments, results
and credentials are never told; names only of tools and prompts that are served, as others are what strangers write.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from mcpserve.errors import ProtocolError
from mcpserve.features.call import Cause
from mcpserve.policy.callers import Caller
from mcpserve.protocol.exchange import Ending
from mcpserve.protocol.jsonrpc import Request
from mcpserve.protocol.metadata import RequestMetadata
from mcpserve.server.observing import Responded
from mcpserve.service.logs import Logs
from mcpserve.web.health import LIVE, READY

_METHOD = 64


class RequestLog:
    """Writes the lines. Implements `server.observing.Observer`.

    Args:
        logs: Where to.
        clock: Gives the time, in seconds since the epoch.
        serves: Tells whether a tool or a prompt of this name is served, for the method that asks for it.
    """

    def __init__(self, logs: Logs, clock: Callable[[], float], serves: Callable[[str, str], bool]) -> None:
        self.logs = logs
        self.clock = clock
        self._serves = serves

    def began(self, request: Request, metadata: RequestMetadata, caller: Caller) -> RequestLine:
        """See `Observer.began`."""
        name = request.params.get("name")
        if not (isinstance(name, str) and self._serves(request.method, name)):
            name = None
        return RequestLine(self, request.method, name, metadata, caller)

    def responded(self, response: Responded) -> None:
        """See `Observer.responded`."""
        if response.exchanged or response.path in (LIVE, READY):
            return  # told already; or asked every few seconds by who looks after processes
        fields: dict[str, Any] = {
            "kind": "response",
            "address": response.address,
            "caller": None if response.caller is None else response.caller.name,
            "http_method": response.method,
            "path": response.path[:256],
            "status": response.status,
            "lost": response.lost,
            "ms": round(response.seconds * 1000, 3),
        }
        what = f"{word(response.method)} {word(response.path[:256])} {response.status or '-'}"
        lost = " disconnected" if response.lost else ""
        self._write(fields, f"{what}{lost}")

    def cancelled(self, noun: str, name: str, cause: Cause) -> None:
        """See `Observer.cancelled`; the log of events has it."""

    def faulted(self, noun: str, name: str) -> None:
        """See `Observer.faulted`; the log of events has it."""

    def _write(self, fields: dict[str, Any], what: str, more: str = "") -> None:
        text = f"{word(fields['address'])} {word(fields['caller'])} {what} {fields['ms']:g}ms{more}"
        told = {key: value for key, value in fields.items() if value is not None and value is not False}
        self.logs.request(self.clock(), text, told)


class RequestLine:
    """The line of one request. Implements `protocol.exchange.Witness`."""

    __slots__ = ("_began", "_caller", "_log", "_metadata", "_method", "_name")
    trace = None

    def __init__(
        self, log: RequestLog, method: str, name: str | None, metadata: RequestMetadata, caller: Caller
    ) -> None:
        self._log = log
        self._method = method
        self._name = name
        self._metadata = metadata
        self._caller = caller
        self._began = log.clock()

    def ended(self, ending: Ending, error: ProtocolError | None = None) -> None:
        """See `Witness.ended`."""
        log, trace = self._log, self._metadata.trace
        fields: dict[str, Any] = {
            "kind": "request",
            "address": self._caller.address,
            "caller": self._caller.name,
            "method": self._method[:_METHOD],
            "name": self._name,
            "revision": self._metadata.revision.name,
            "outcome": ending.value,
            "code": None if error is None else error.code,
            "ms": round((log.clock() - self._began) * 1000, 3),
            "trace_id": None if trace is None else trace.trace_id,
            "span_id": None if trace is None else trace.span_id,
        }
        name = f" {word(self._name)}" if self._name else ""
        code = "" if error is None else f" {error.code}"
        traced = "" if trace is None else f" trace={trace.trace_id}"
        log._write(fields, f"{word(self._method[:_METHOD])}{name} {ending.value}{code}", traced)


def word(value: str | None) -> str:
    """A value as one word of a line."""
    return "-" if not value else value.replace(" ", "\\x20")
