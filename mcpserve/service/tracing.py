"""A span of OpenTelemetry for each request. Not imported unless it is asked for: the library is an extra.

Where spans go, and how many of them, is said to OpenTelemetry itself, by the variables of its own (`OTEL_*`). They are
sent by a thread of that library, in batches.

Spec: OpenTelemetry, Semantic conventions for MCP; the trace of a request is the one that it names, see
`protocol.trace`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import SERVICE_NAME, SERVICE_VERSION, Resource
from opentelemetry.sdk.trace import SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import Span, SpanKind, Status, StatusCode
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from mcpserve.errors import ProtocolError
from mcpserve.features.call import Cause
from mcpserve.policy.callers import Caller
from mcpserve.protocol.exchange import Ending
from mcpserve.protocol.jsonrpc import Request
from mcpserve.protocol.metadata import RequestMetadata
from mcpserve.protocol.trace import Trace
from mcpserve.server.observing import Responded

_NAMED = {"tools/call": "gen_ai.tool.name", "prompts/get": "gen_ai.prompt.name"}
_PROPAGATOR = TraceContextTextMapPropagator()
_NOT_OK = frozenset({Ending.FAILED, Ending.ERROR, Ending.OVERRUN})


class Tracing:
    """Makes the spans. Implements `server.observing.Observer`.

    Args:
        name: Of the service, if `OTEL_SERVICE_NAME` says nothing else.
        version: Of this software.
        methods: Tells whether a method is one of those that are served.
        serves: Tells whether a tool or a prompt of this name is served, for the method that asks for it.
        processor: What takes the spans; by default what sends them to where `OTEL_EXPORTER_OTLP_ENDPOINT` says.
    """

    def __init__(
        self,
        name: str,
        version: str,
        methods: Callable[[str], bool],
        serves: Callable[[str, str], bool],
        processor: SpanProcessor | None = None,
    ) -> None:
        self._provider = TracerProvider(resource=_resource(name, version), shutdown_on_exit=False)
        self._provider.add_span_processor(processor or BatchSpanProcessor(OTLPSpanExporter()))
        self._tracer = self._provider.get_tracer("mcpserve", version)
        self._methods = methods
        self._serves = serves

    def close(self) -> None:
        """Send what waits. May block for some seconds, so it is called in a thread."""
        self._provider.shutdown()

    def began(self, request: Request, metadata: RequestMetadata, caller: Caller) -> SpanWitness:
        """See `Observer.began`."""
        said = metadata.trace
        context = None if said is None else _PROPAGATOR.extract(said.headers())
        method = request.method if self._methods(request.method) else "other"
        attributes: dict[str, Any] = {
            "mcp.method.name": method,
            "mcp.protocol.version": metadata.revision.name,
            "jsonrpc.request.id": str(request.id)[:64],
        }
        name = request.params.get("name")
        target = ""
        if isinstance(name, str) and method in _NAMED and self._serves(method, name):
            attributes[_NAMED[method]] = name
            target = f" {name}"
        if caller.address is not None:
            attributes["client.address"] = caller.address
        if caller.name is not None:
            attributes["enduser.id"] = caller.name
        span = self._tracer.start_span(method + target, context, SpanKind.SERVER, attributes)
        return SpanWitness(span, said)

    def responded(self, response: Responded) -> None:
        """See `Observer.responded`; what is no request of JSON-RPC has no span."""

    def cancelled(self, noun: str, name: str, cause: Cause) -> None:
        """See `Observer.cancelled`; the span has ended by then, or says so."""

    def faulted(self, noun: str, name: str) -> None:
        """See `Observer.faulted`; the span says that the call failed."""


class SpanWitness:
    """Ends a span. Implements `protocol.exchange.Witness`.

    Args:
        span: The span.
        said: The trace that the request has named.
    """

    __slots__ = ("_span", "trace")

    def __init__(self, span: Span, said: Trace | None) -> None:
        self._span = span
        context = span.get_span_context()
        self.trace: Trace | None = Trace(
            trace_id=f"{context.trace_id:032x}",
            span_id=f"{context.span_id:016x}",
            flags=f"{int(context.trace_flags):02x}",
            state="" if said is None else said.state,
            baggage="" if said is None else said.baggage,
        )

    def ended(self, ending: Ending, error: ProtocolError | None = None) -> None:
        """See `Witness.ended`."""
        span = self._span
        span.set_attribute("mcpserve.outcome", ending.value)
        if error is not None:
            span.set_attribute("rpc.response.status_code", str(error.code))
        if ending in _NOT_OK:
            span.set_attribute("error.type", "tool_error" if error is None else str(error.code))
            span.set_status(Status(StatusCode.ERROR))
        span.end()


def _resource(name: str, version: str) -> Resource:
    """What the environment says of this service wins; where it says no name, OpenTelemetry makes one up."""
    said = Resource({SERVICE_VERSION: version}).merge(Resource.create({}))
    made_up = str(said.attributes.get(SERVICE_NAME, "unknown_service")).startswith("unknown_service")
    return said.merge(Resource({SERVICE_NAME: name})) if made_up else said
