"""The metrics as Prometheus reads them. Not imported unless somebody looks: the library costs memory and start time.

Everything is read from the counts of `tally` and `gauges` at the moment that somebody asks.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping

from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

from mcpserve.service.gauges import Reading
from mcpserve.service.tally import Histogram, Tally, cumulative

PREFIX = "mcpserve_"


class Metrics(Collector):
    """All metrics of one server, in a registry of their own.

    Args:
        tally: What has happened.
        readings: Gives what there is now.
        version: Of this software.
    """

    def __init__(self, tally: Tally, readings: Callable[[], Iterable[Reading]], version: str) -> None:
        self._tally = tally
        self._readings = readings
        self._version = version
        self._registry = CollectorRegistry(auto_describe=False)
        self._registry.register(self)
        ProcessCollector(registry=self._registry)

    def text(self, accept: str) -> tuple[str, bytes]:
        """The type and the text of all of them, in the form that an Accept header asks for."""
        encode, kind = choose_encoder(accept)
        return kind, encode(self._registry)

    def describe(self) -> Iterable[Metric]:
        """Nothing is read to find out which there are."""
        return []

    def collect(self) -> Iterator[Metric]:
        """Read them."""
        tally = self._tally
        yield _counter(
            "requests", "Requests of JSON-RPC, by method and how they ended.", ("method", "outcome"), tally.requests
        )
        yield _histogram("request_seconds", "From a request to the end of its reply.", "method", tally.latency)
        yield _counter("tool_calls", "Calls of tools, by how they ended.", ("tool", "outcome"), tally.calls)
        yield _histogram("tool_seconds", "From a call of a tool to its end.", "tool", tally.call_latency)
        yield _counter("errors", "Errors of JSON-RPC, by code.", ("code",), _alone(tally.errors))
        yield _counter(
            "http_responses", "Responses, by status; 0 if the client left first.", ("status",), _alone(tally.responses)
        )
        yield _counter(
            "cancellations", "Calls that were cancelled, by cause.", ("kind", "cause"), tally.cancelled_calls
        )
        yield _counter("plugin_errors", "Functions of plugins that failed.", ("kind", "name"), tally.faults)
        yield _histogram("reactor_lag_seconds", "How long something waits for its turn.", None, {"": tally.lag})
        yield from self._now()

    def _now(self) -> Iterator[Metric]:
        families: dict[str, CounterMetricFamily | GaugeMetricFamily] = {}
        for reading in self._readings():
            labels = list(reading.labels)
            family = families.get(reading.name)
            if family is None:
                make = CounterMetricFamily if reading.grows else GaugeMetricFamily
                family = families[reading.name] = make(PREFIX + reading.name, reading.what, labels=labels)
            family.add_metric(list(reading.labels.values()), reading.value)
        info = families["info"] = GaugeMetricFamily(PREFIX + "info", "This software.", labels=["version"])
        info.add_metric([self._version], 1)
        yield from families.values()


def _alone(counts: Mapping[int, int]) -> Mapping[tuple[str, ...], int]:
    return {(str(key),): count for key, count in counts.items()}


def _counter(name: str, what: str, labels: tuple[str, ...], counts: Mapping[tuple[str, ...], int]) -> Metric:
    family = CounterMetricFamily(PREFIX + name, what, labels=labels)
    for values, count in sorted(counts.items()):
        family.add_metric(values, count)
    return family


def _histogram(name: str, what: str, label: str | None, histograms: Mapping[str, Histogram]) -> Metric:
    family = HistogramMetricFamily(PREFIX + name, what, labels=[] if label is None else [label])
    for value, histogram in sorted(histograms.items()):
        buckets = list(cumulative(histogram).items())
        family.add_metric([] if label is None else [value], buckets, histogram.total)
    return family
