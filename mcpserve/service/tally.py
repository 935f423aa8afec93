"""What is counted while it happens; what can be counted when somebody asks is not here, see `gauges`.

Numbers in dictionaries, and nothing of the library that prints them: counting a request takes a microsecond. The keys
are of a bounded set, whatever clients send: a method that nobody serves is "other", and so is a tool.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Mapping

from mcpserve.errors import ProtocolError
from mcpserve.features.call import Cause
from mcpserve.policy.callers import Caller
from mcpserve.protocol.exchange import Ending
from mcpserve.protocol.jsonrpc import Request
from mcpserve.protocol.metadata import RequestMetadata
from mcpserve.server.observing import Responded

OTHER = "other"
BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0)
"""Upper ends of the intervals that durations are counted in, in seconds."""

HANDSHAKE = frozenset({"initialize", "ping", "logging/setLevel", "resources/subscribe", "resources/unsubscribe"})
"""Methods of the revisions with a handshake that no feature serves."""

MOST_NAMES = 2000
"""Names that are counted one by one, if plugins that are loaded anew bring ever other ones."""


class Histogram:
    """How long things took."""

    __slots__ = ("counts", "total")

    def __init__(self) -> None:
        self.counts = [0] * (len(BUCKETS) + 1)
        self.total = 0.0

    def add(self, seconds: float) -> None:
        """One more took so long."""
        self.counts[bisect_left(BUCKETS, seconds)] += 1
        self.total += seconds


class Tally:
    """What has happened so far. Implements `server.observing.Observer`.

    Args:
        clock: Gives the time in seconds.
        methods: Tells whether a method is one of those that are served; may change.
        tools: Tells whether a tool is one of those that are served; may change.

    Attributes:
        requests: By method and ending.
        latency: By method.
        calls: Of tools, by tool and ending.
        call_latency: By tool.
        errors: By JSON-RPC code.
        responses: By HTTP status; 0 where the client left before there was one.
        cancelled: Calls, by noun and cause.
        faults: Of plugins, by noun and name.
        lag: How long something had to wait for its turn of the reactor.
    """

    def __init__(
        self, clock: Callable[[], float], methods: Callable[[str], bool], tools: Callable[[str], bool]
    ) -> None:
        self.clock = clock
        self._methods = methods
        self._tools = tools
        self.requests: Counter[tuple[str, ...]] = Counter()
        self.latency: dict[str, Histogram] = {}
        self.calls: Counter[tuple[str, ...]] = Counter()
        self.call_latency: dict[str, Histogram] = {}
        self.errors: Counter[int] = Counter()
        self.responses: Counter[int] = Counter()
        self.cancelled_calls: Counter[tuple[str, ...]] = Counter()
        self.faults: Counter[tuple[str, ...]] = Counter()
        self.lag = Histogram()

    def began(self, request: Request, metadata: RequestMetadata, caller: Caller) -> TallyWitness:
        """See `Observer.began`."""
        method = request.method
        tool = None
        if method == "tools/call":
            name = request.params.get("name")
            tool = self._known(name) if isinstance(name, str) else OTHER
        elif not (self._methods(method) or method in HANDSHAKE):
            method = OTHER
        return TallyWitness(self, method, tool)

    def responded(self, response: Responded) -> None:
        """See `Observer.responded`."""
        self.responses[response.status] += 1

    def cancelled(self, noun: str, name: str, cause: Cause) -> None:
        """See `Observer.cancelled`."""
        self.cancelled_calls[noun, cause.name.lower()] += 1

    def faulted(self, noun: str, name: str) -> None:
        """See `Observer.faulted`."""
        key = noun, name
        self.faults[key if key in self.faults or len(self.faults) < MOST_NAMES else (noun, OTHER)] += 1

    def count(self, method: str, tool: str | None, ending: Ending, seconds: float) -> None:
        """A request has been answered."""
        self.requests[method, ending.value] += 1
        _of(self.latency, method).add(seconds)
        if tool is not None:
            self.calls[tool, ending.value] += 1
            _of(self.call_latency, tool).add(seconds)

    def _known(self, name: str) -> str:
        if name in self.call_latency:
            return name
        return name if len(self.call_latency) < MOST_NAMES and self._tools(name) else OTHER


class TallyWitness:
    """Counts one request. Implements `protocol.exchange.Witness`."""

    __slots__ = ("_began", "_method", "_tally", "_tool")
    trace = None

    def __init__(self, tally: Tally, method: str, tool: str | None) -> None:
        self._tally = tally
        self._method = method
        self._tool = tool
        self._began = tally.clock()

    def ended(self, ending: Ending, error: ProtocolError | None = None) -> None:
        """See `Witness.ended`."""
        tally = self._tally
        tally.count(self._method, self._tool, ending, tally.clock() - self._began)
        if error is not None:
            tally.errors[error.code] += 1


def _of(histograms: dict[str, Histogram], key: str) -> Histogram:
    found = histograms.get(key)
    if found is None:
        found = histograms[key] = Histogram()
    return found


def cumulative(histogram: Histogram) -> Mapping[str, int]:
    """How many took at most so long, by the upper end of each interval."""
    counts, sum_so_far = {}, 0
    for end, count in zip([*map(str, BUCKETS), "+Inf"], histogram.counts, strict=True):
        sum_so_far += count
        counts[end] = sum_so_far
    return counts
