"""What must hold whatever attack goes on."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from tests.abuse.siege import Report

SERVED: Sequence[str] = ()
"""More options of the server under attack."""
FLOOD: Sequence[str] = ("--rate-per-address", "100/second burst 200")
"""The same, where the attack is a flood that a rate holds back."""

SUCCESS = 0.999
GROWTH = 64.0
"""MB that an attack may leave behind beyond what was open: the allocator keeps much of what it once had."""
STREAM = 0.1
"""MB for each connection that was open at the worst moment."""
PEAK = 600.0
"""MB that a server may take at the worst moment of the long form: 5,000 stalled readers with 64 KiB and more each."""


def broken(report: Report) -> Iterator[str]:
    """What does not hold."""
    yield from report.problems
    if report.attacked.success < SUCCESS:
        yield f"the good client had {100 * report.attacked.success:.2f} % success"
    if report.peak > PEAK:
        yield f"the server took {report.peak:.0f} MB"
    if report.after.memory > report.before.memory + GROWTH + STREAM * report.worst.descriptors:
        yield f"memory grew from {report.before.memory:.0f} to {report.after.memory:.0f} MB"
    if report.after.descriptors > report.before.descriptors:
        yield f"{report.after.descriptors - report.before.descriptors} descriptors are left open"
    if report.after.delayed_calls > report.before.delayed_calls:
        yield f"{report.after.delayed_calls - report.before.delayed_calls} delayed calls are left"
