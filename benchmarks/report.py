"""Tells what a run gave: tables to read, and the same as data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import attrs

from benchmarks.goals import Verdict
from benchmarks.measure import Sample, Spread, spread

TITLES = {
    "rps": "requests/s",
    "p50_ms": "p50 ms",
    "p99_ms": "p99 ms",
    "max_ms": "max ms",
    "cpu_us": "CPU us each",
    "per_cpu_s": "per CPU s",
    "core_share": "core",
    "answer_kb": "answer KB",
    "events_per_s": "events/s",
    "open": "open",
    "delivered_share": "delivered",
    "kb_per_stream": "KB/stream",
    "clients": "clients",
    "kb_per_client": "KB/client",
    "lag_p50_ms": "lag p50 ms",
    "lag_p99_ms": "lag p99 ms",
    "cycles": "cycles",
    "never": "never",
    "grown_kb": "grown KB",
    "start_s": "s",
    "memory_mb": "MB",
}


@attrs.frozen(kw_only=True)
class Outcome:
    """All that a run gave.

    Attributes:
        machine: Where and on what it ran.
        samples: What was measured.
        verdicts: The goals and how near they are.
        errors: What went wrong, one text each; a run with errors has failed.
    """

    machine: Mapping[str, str]
    samples: Sequence[Sample]
    verdicts: Sequence[Verdict]
    errors: Sequence[str]


def as_text(outcome: Outcome) -> str:
    """The run as tables for a person."""
    parts = ["\n".join(f"{name}: {value}" for name, value in outcome.machine.items())]
    loads = dict.fromkeys((sample.case, sample.load) for sample in outcome.samples)
    for case, load in loads:
        rows = [sample for sample in outcome.samples if (sample.case, sample.load) == (case, load)]
        parts.append(f"{case}: {load}\n{peers_table(rows)}")
    parts.append(f"goals, median (lowest..highest) over the repeats\n{goals_table(outcome.verdicts)}")
    parts.append("\n".join([f"errors: {len(outcome.errors)}", *(f"- {error}" for error in outcome.errors)]))
    return "\n\n".join(parts) + "\n"


def as_data(outcome: Outcome) -> dict[str, Any]:
    """The run as plain data for machines."""
    verdicts = [{**attrs.asdict(verdict), "word": verdict.word} for verdict in outcome.verdicts]
    return {**attrs.asdict(outcome), "verdicts": verdicts}


def peers_table(samples: Sequence[Sample]) -> str:
    """One row for each peer, one column for each metric."""
    metrics = list(dict.fromkeys(metric for sample in samples for metric in sample.values))
    rows = [["", *(TITLES.get(metric, metric) for metric in metrics)]]
    for peer in dict.fromkeys(sample.peer for sample in samples):
        repeats = [sample.values for sample in samples if sample.peer == peer]
        rows.append([peer, *(cell([values[metric] for values in repeats if metric in values]) for metric in metrics)])
    return align(rows)


def cell(values: Sequence[float]) -> str:
    """The repeats of one metric as text."""
    return show(spread(values)) if values else "-"


def goals_table(verdicts: Sequence[Verdict]) -> str:
    """One row for each goal: what is wanted beside what was measured."""
    rows = [["", "goal", "measured", ""]]
    for verdict in verdicts:
        sign = "<=" if verdict.goal.at_most else ">="
        measured = show(verdict.measured) if verdict.measured else "-"
        rows.append([verdict.goal.text, f"{sign} {number(verdict.goal.bound)}", measured, verdict.word])
    return align(rows)


def show(measured: Spread) -> str:
    """A median with its spread, or a single value."""
    if measured.low == measured.high:
        return number(measured.median)
    return f"{number(measured.median)} ({number(measured.low)}..{number(measured.high)})"


def number(value: float) -> str:
    """A number with the three or four digits that mean something."""
    if value == int(value) or abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"


def align(rows: Sequence[Sequence[str]]) -> str:
    """Lay rows out in columns, the first to the left and the others to the right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    first, *others = widths
    return "\n".join("  ".join([row[0].ljust(first), *map(str.rjust, row[1:], others)]).rstrip() for row in rows)
