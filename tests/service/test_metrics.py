"""Metrics: what is counted while it happens, what is read when somebody asks, and how Prometheus reads both."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families
from twisted.internet.task import Clock

from mcpserve.errors import MethodNotFound
from mcpserve.features.call import Cause
from mcpserve.policy.callers import ANONYMOUS
from mcpserve.protocol.exchange import Ending
from mcpserve.protocol.jsonrpc import Request
from mcpserve.protocol.metadata import RequestMetadata
from mcpserve.protocol.revisions import V2026_07_28
from mcpserve.server.observing import Responded
from mcpserve.service.gauges import Reading
from mcpserve.service.metrics import Metrics
from mcpserve.service.tally import BUCKETS, MOST_NAMES, Histogram, Tally, cumulative

KNOWN = RequestMetadata(revision=V2026_07_28)


def tally(clock: Clock | None = None) -> Tally:
    """One that knows the method tools/call, and the tool echo."""
    methods = {"tools/call", "tools/list"}
    return Tally((clock or Clock()).seconds, methods.__contains__, {"echo"}.__contains__)


def happen(counted: Tally, method: str, name: Any = None, ending: Ending = Ending.OK, error: Any = None) -> None:
    """A request comes and is answered."""
    params = {} if name is None else {"name": name}
    counted.began(Request(id=1, method=method, params=params), KNOWN, ANONYMOUS).ended(ending, error)


def samples(counted: Tally, *readings: Reading, accept: str = "") -> dict[str, float]:
    """What Prometheus reads, by name and labels."""
    kind, text = Metrics(counted, lambda: readings, "1.0").text(accept)
    assert kind.startswith("text/plain")
    return {
        f"{sample.name}{sorted(sample.labels.items()) or ''}": sample.value
        for family in text_string_to_metric_families(text.decode())
        for sample in family.samples
    }


def test_requests() -> None:
    """By method and ending, with how long they took."""
    clock = Clock()
    counted = tally(clock)
    witness = counted.began(Request(id=1, method="tools/list", params={}), KNOWN, ANONYMOUS)
    clock.advance(0.2)
    witness.ended(Ending.OK)
    happen(counted, "tools/list", ending=Ending.ERROR, error=MethodNotFound("x"))
    seen = samples(counted)
    assert seen["mcpserve_requests_total[('method', 'tools/list'), ('outcome', 'ok')]"] == 1
    assert seen["mcpserve_requests_total[('method', 'tools/list'), ('outcome', 'error')]"] == 1
    assert seen["mcpserve_errors_total[('code', '-32601')]"] == 1
    assert seen["mcpserve_request_seconds_count[('method', 'tools/list')]"] == 2
    assert seen["mcpserve_request_seconds_sum[('method', 'tools/list')]"] == pytest.approx(0.2)
    assert seen["mcpserve_request_seconds_bucket[('le', '0.1'), ('method', 'tools/list')]"] == 1
    assert seen["mcpserve_request_seconds_bucket[('le', '0.25'), ('method', 'tools/list')]"] == 2


def test_names_of_strangers() -> None:
    """Whatever is asked for, there are no more labels than what is served, and one for the rest."""
    counted = tally()
    happen(counted, "tools/call", "echo")
    for number in range(100):
        happen(counted, f"no/such/{number}")
        happen(counted, "tools/call", f"tool-{number}")
    happen(counted, "tools/call", 5)
    happen(counted, "tools/call")
    happen(counted, "ping")
    assert {method for method, _ in counted.requests} == {"tools/call", "other", "ping"}
    assert dict(counted.calls) == {("echo", "ok"): 1, ("other", "ok"): 102}


def test_names_without_end() -> None:
    """Plugins that bring ever new names have a bound."""
    counted = Tally(Clock().seconds, lambda method: True, lambda name: True)
    for number in range(MOST_NAMES + 10):
        happen(counted, "tools/call", f"tool-{number}")
        counted.faulted("tool", f"tool-{number}")
    assert len(counted.call_latency) == len(counted.faults) == MOST_NAMES + 1
    assert counted.faults["tool", "other"] == 10


def test_all_else_that_is_counted() -> None:
    """Responses by status, cancelled calls by cause, faults by name, the lag."""
    counted = tally()
    counted.responded(Responded(method="POST", path="/mcp", status=429, seconds=0.0))
    counted.cancelled("tool", "echo", Cause.TIMED_OUT)
    counted.faulted("prompt", "menu")
    counted.lag.add(0.004)
    seen = samples(counted)
    assert seen["mcpserve_http_responses_total[('status', '429')]"] == 1
    assert seen["mcpserve_cancellations_total[('cause', 'timed_out'), ('kind', 'tool')]"] == 1
    assert seen["mcpserve_plugin_errors_total[('kind', 'prompt'), ('name', 'menu')]"] == 1
    assert seen["mcpserve_reactor_lag_seconds_bucket[('le', '0.005')]"] == 1


def test_what_there_is_now() -> None:
    """Read at the moment of asking: with labels or without, growing or not."""
    seen = samples(
        tally(),
        Reading(name="connections", what="Connections.", value=3),
        Reading(name="tasks", what="Tasks.", value=1, labels={"state": "ended"}),
        Reading(name="tasks", what="Tasks.", value=2, labels={"state": "working"}),
        Reading(name="notices", what="Notices.", value=9, labels={"fate": "told"}, grows=True),
    )
    assert seen["mcpserve_connections"] == 3
    assert seen["mcpserve_tasks[('state', 'working')]"] == 2
    assert seen["mcpserve_notices_total[('fate', 'told')]"] == 9
    assert seen["mcpserve_info[('version', '1.0')]"] == 1
    assert seen["process_resident_memory_bytes"] > 0


def test_the_form_that_is_asked_for() -> None:
    """OpenMetrics for who takes it."""
    kind, text = Metrics(tally(), list, "1").text("application/openmetrics-text; version=1.0.0")
    assert kind.startswith("application/openmetrics-text")
    assert text.endswith(b"# EOF\n")


@given(st.lists(st.floats(min_value=0, max_value=1000)))
def test_histograms(values: list[float]) -> None:
    """Each interval counts what took at most so long; the last one counts all."""
    histogram = Histogram()
    for value in values:
        histogram.add(value)
    counts = cumulative(histogram)
    assert counts == {
        **{str(end): sum(value <= end for value in values) for end in BUCKETS},
        "+Inf": len(values),
    }
    assert histogram.total == pytest.approx(sum(values))


def test_the_library_is_not_there_for_nothing(tmp_path: Path) -> None:
    """Who sets no ops_listen and no tracing does not import what they take; who does, does."""
    program = (
        "import sys; from twisted.internet import reactor; from mcpserve.service.daemon import Daemon; "
        "from mcpserve.service.settings import Settings; from mcpserve.features.catalog import Catalogs; "
        "import mcpserve.service.tap; Daemon(reactor, Settings(ops_listen={}), Catalogs()); "
        "print(sorted({{name.partition('.')[0] for name in sys.modules}} & {{'prometheus_client', 'opentelemetry'}}))"
    )
    for ops, found in [("()", "[]"), ("('tcp:0',)", "['prometheus_client']")]:
        done = subprocess.run(
            [sys.executable, "-c", program.format(ops)], cwd=tmp_path, capture_output=True, text=True, check=True
        )
        assert done.stdout.strip() == found
