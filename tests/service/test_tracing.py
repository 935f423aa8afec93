"""Spans of OpenTelemetry, on the wire of a whole server, and sent to a collector."""

from __future__ import annotations

import http.server
import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from mcpserve import Call, tool
from tests.wire.server import Server
from tests.wire.tools import echo, refuse

pytest.importorskip("opentelemetry.exporter.otlp.proto.http", reason="the extra `tracing` is not installed")

from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from mcpserve.service.tracing import Tracing

TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "00f067aa0ba902b7"
METHODS = {"tools/call", "tools/list"}
DEADLINE = 30.0


@tool
def traced(call: Call) -> str:
    """Say where in a trace it is."""
    return "" if call.trace is None else call.trace.parent


def served() -> tuple[Server, InMemorySpanExporter]:
    """A server, and where its spans go."""
    exporter = InMemorySpanExporter()
    tracing = Tracing(
        "tested", "1", METHODS.__contains__, lambda method, name: name == "echo", SimpleSpanProcessor(exporter)
    )
    return Server(echo, refuse, traced, observer=tracing), exporter


def test_a_call() -> None:
    """A span of the server, below the one that the request names; with what it was, and not with its arguments."""
    server, exporter = served()
    said = {"traceparent": f"00-{TRACE}-{SPAN}-01", "tracestate": "a=1"}
    server.call("echo", {"text": "private"}, meta=said)
    [span] = exporter.get_finished_spans()
    assert (span.name, span.kind.name, span.status.is_ok) == ("tools/call echo", "SERVER", True)
    context, parent = span.get_span_context(), span.parent
    assert parent is not None
    assert context is not None
    assert (f"{context.trace_id:032x}", f"{parent.span_id:016x}") == (TRACE, SPAN)
    attributes = dict(span.attributes or {})
    assert attributes["mcp.method.name"] == "tools/call"
    assert attributes["gen_ai.tool.name"] == "echo"
    assert attributes["mcpserve.outcome"] == "ok"
    assert "private" not in str(attributes)
    assert span.resource.attributes["service.name"] == "tested"


def test_what_the_tool_passes_on() -> None:
    """Its own span, in the trace of the request."""
    server, exporter = served()
    peer = server.call("traced", headers={"traceparent": f"00-{TRACE}-{SPAN}-01"})
    [span] = exporter.get_finished_spans()
    context = span.get_span_context()
    assert context is not None
    assert peer.json["result"]["content"][0]["text"] == f"00-{TRACE}-{context.span_id:016x}-01"


@pytest.mark.parametrize(
    ("method", "params", "name", "error"),
    [
        ("tools/call", {"name": "refuse"}, "tools/call", "tool_error"),
        ("tools/call", {"name": "nope"}, "tools/call", "-32602"),
        ("no/such", {}, "other", "-32601"),
    ],
)
def test_what_went_wrong(method: str, params: dict[str, Any], name: str, error: str) -> None:
    """The span says so; names of strangers do not become names of spans."""
    server, exporter = served()
    server.modern(method, params)
    [span] = exporter.get_finished_spans()
    assert (span.name, span.status.is_ok, (span.attributes or {})["error.type"]) == (name, False, error)


class Collector(http.server.BaseHTTPRequestHandler):
    """Takes spans, and keeps what it was sent."""

    taken: list[tuple[str, bytes]]

    def do_POST(self) -> None:
        """Take some."""
        self.taken.append((self.path, self.rfile.read(int(self.headers["Content-Length"]))))
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: Any) -> None:
        """Nobody reads it."""


def test_they_arrive(tmp_path: Path) -> None:
    """A server that was told only where the collector is sends its spans there, the last ones when it ends."""
    from tests.service.test_activation import held  # noqa: PLC0415

    Collector.taken = []
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Collector) as collector:
        thread = threading.Thread(target=collector.serve_forever)
        thread.start()
        try:
            with held(tmp_path, "--tracing") as parent:
                parent.start(OTEL_EXPORTER_OTLP_ENDPOINT=f"http://127.0.0.1:{collector.server_port}")
                with parent.call("hello") as connection:
                    assert b"hello" in connection.recv(65536)
                assert parent.stop()[0] == 0
        finally:
            collector.shutdown()
            thread.join()
    assert [path for path, _ in Collector.taken] == ["/v1/traces"]
    assert b"tools/call hello" in Collector.taken[0][1]


def test_the_extra_is_missing(tmp_path: Path) -> None:
    """One sentence says what to install, and status 1."""
    (tmp_path / "opentelemetry").mkdir()
    (tmp_path / "opentelemetry" / "__init__.py").write_text("")
    done = subprocess.run(
        [sys.executable, "-m", "twisted", "mcpserve", "--tracing", "--listen", "tcp:0"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=DEADLINE,
        check=False,
    )
    assert done.returncode == 1
    assert "pip install 'mcpserve[tracing]'" in done.stderr
    assert "Traceback" not in done.stderr
