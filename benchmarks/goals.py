"""The goals of mcpserve for speed, and how near a run came to them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import attrs

from benchmarks.clients import CALLS, ERAS, EVENTS
from benchmarks.measure import Sample, Spread, spread, values_of


@attrs.frozen(kw_only=True)
class Goal:
    """One goal: a metric, or its ratio to that of another peer, on the right side of a bound.

    Attributes:
        text: What is wanted, for a person.
        case: The case that measures it.
        load: The load within the case.
        metric: The metric.
        bound: The bound.
        at_most: Whether the metric is to stay below the bound; else it has to reach it.
        against: The peer whose metric divides ours, None for the metric itself.
        peer: The peer that has the goal.
    """

    text: str
    case: str
    load: str
    metric: str
    bound: float
    at_most: bool = False
    against: str | None = None
    peer: str = "mcpserve"


@attrs.frozen
class Verdict:
    """How a goal was met in a run.

    Attributes:
        goal: The goal.
        measured: The ratio or metric over the repeats, None if it was not measured.
    """

    goal: Goal
    measured: Spread | None

    @property
    def word(self) -> str:
        """Pass or miss, by the median, or that nothing was measured."""
        if self.measured is None:
            return "not measured"
        median, bound = self.measured.median, self.goal.bound
        return "pass" if (median <= bound if self.goal.at_most else median >= bound) else "MISS"


def ratio(text: str, *, case: str, load: str, metric: str, against: str, bound: float, peer: str = "mcpserve") -> Goal:
    """A goal to be so many times as fast as a peer in the same run."""
    return Goal(text=text, case=case, load=load, metric=metric, against=against, bound=bound, peer=peer)


def limit(text: str, *, case: str, load: str, metric: str, bound: float, peer: str = "mcpserve") -> Goal:
    """A goal to stay at or below a value."""
    return Goal(text=text, case=case, load=load, metric=metric, bound=bound, at_most=True, peer=peer)


def closing(peer: str, who: str, how: str, bound: float) -> Sequence[Goal]:
    """The goals for a client that goes away: how soon its tool is cancelled, and that each one is."""
    load = f"client {how}"
    return (
        limit(
            f"{who} {how} to cancelled tool: p99 ms", case="cancel", load=load, metric="p99_ms", bound=bound, peer=peer
        ),
        limit(f"{who} {how}: tools never cancelled", case="cancel", load=load, metric="never", bound=0, peer=peer),
    )


def clients(case: str, loads: Iterable[str], metric: str, bound: float) -> Sequence[Goal]:
    """The goals of our client: to be so many times as fast as that of the Python SDK, in both eras."""
    return [
        ratio(
            f"{case}, {era}, {load}: times the Python SDK's client{where}",
            case=case,
            load=f"{era}, {load}",
            metric=measured,
            against="python-client",
            bound=bound,
            peer="mcpserve-client",
        )
        for era in ERAS
        for load in loads
        for measured, where in ((metric, ""), ("per_cpu_s", ", by CPU time"))
    ]


ECHO_64 = {"case": "echo", "load": "64 connections", "metric": "rps"}
ONE_STREAM = {"case": "burst", "load": "1 at once", "metric": "events_per_s"}
STREAMS_16 = {"case": "burst", "load": "16 at once", "metric": "events_per_s"}
TICKS_5000 = {"case": "ticks", "load": "5000 streams"}
START = {"case": "start", "load": "spawn to answer"}

GOALS: Sequence[Goal] = (
    ratio("echo, 64 connections: times the Python SDK's fastest", **ECHO_64, against="python", bound=4),
    ratio("echo, 64 connections: times the Python SDK's default", **ECHO_64, against="python-default", bound=10),
    ratio("progress, 1 stream: times the Python SDK", **ONE_STREAM, against="python", bound=8),
    ratio("progress, 1 stream: times the TypeScript SDK", **ONE_STREAM, against="typescript", bound=2),
    ratio("progress, 16 streams: times the Python SDK", **STREAMS_16, against="python", bound=8),
    ratio("progress, 16 streams: times the TypeScript SDK", **STREAMS_16, against="typescript", bound=2),
    limit("first event, idle: p99 ms", case="burst", load="first event, idle", metric="p99_ms", bound=1),
    limit(
        "first event, 64 busy connections: p99 ms", case="burst", load="first event, busy", metric="p99_ms", bound=10
    ),
    Goal(
        text="5,000 ticking streams: share of events delivered",
        case="ticks",
        load="5000 streams",
        metric="delivered_share",
        bound=0.98,
    ),
    limit("5,000 ticking streams: share of a core", **TICKS_5000, metric="core_share", bound=0.7),
    limit("5,000 ticking streams: loop lag (an echo), p99 ms", **TICKS_5000, metric="lag_p99_ms", bound=20),
    limit("5,000 ticking streams: KB per stream", **TICKS_5000, metric="kb_per_stream", bound=15),
    *closing("mcpserve", "client", "reset", 1),
    *closing("mcpserve", "client", "close", 10),
    *closing("mcpserve-legacy", "legacy client", "reset", 1),
    *closing("mcpserve-legacy", "legacy client", "close", 10),
    limit("memory grown over 4,000 closed streams: KB", case="cancel", load="memory", metric="grown_kb", bound=1024),
    ratio(
        "tools/list of 200: times the Python SDK",
        case="list",
        load="16 connections",
        metric="rps",
        against="python",
        bound=20,
    ),
    limit("start to first answer: s", **START, metric="start_s", bound=0.35),
    limit("memory at rest: MB", **START, metric="memory_mb", bound=50),
    *clients("client-calls", CALLS, "rps", 3),
    *clients("client-events", EVENTS, "events_per_s", 5),
)


def judge(goal: Goal, samples: Sequence[Sample]) -> Verdict:
    """Hold a goal against the samples of a run; ratios are taken within a repeat, then summed up."""
    ours = values_of(samples, case=goal.case, load=goal.load, peer=goal.peer, metric=goal.metric)
    if goal.against is not None:
        theirs = values_of(samples, case=goal.case, load=goal.load, peer=goal.against, metric=goal.metric)
        ours = {repeat: ours[repeat] / theirs[repeat] for repeat in ours.keys() & theirs.keys()}
    return Verdict(goal, spread(list(ours.values())) if ours else None)
