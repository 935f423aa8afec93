"""A fuzz target for the decoder of events: `python -m tests.protocol.fuzz_sse [seconds]`, where setup.cfg is.

With atheris installed it is led by coverage, until it is stopped; else Hypothesis makes up streams for so many seconds
(30 by default). It fails with the stream that is decoded in another way than the standard says, or in pieces in
another way than as a whole.
"""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable
from time import monotonic

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from mcpserve.protocol.sse import Decoder
from tests.protocol.sse_reference import STREAMS, Reference, cut

LIMIT = 1 << 20


def check(stream: bytes, places: list[int]) -> None:
    """The decoder says what the standard says, however the stream is cut."""
    expected = Reference().read(stream)
    decoder = Decoder(LIMIT)
    events = [event for piece in cut(stream, places) for event in decoder.feed(piece)]
    assert [(event.data, event.type, event.id) for event in events] == expected.events
    assert decoder.last_event_id == expected.last_event_id
    assert decoder.retry_ms == expected.retry_ms


def target(data: bytes) -> None:
    """For atheris: the first byte says how many of the next ones are places to cut at."""
    number = data[0] % 8 if data else 0
    check(data[1 + number :], list(data[1 : 1 + number]))


def _with_hypothesis(seconds: float) -> int:
    examples = 0

    @settings(max_examples=2000, deadline=None, database=None, phases=(Phase.generate, Phase.shrink),
              suppress_health_check=list(HealthCheck))  # fmt: skip
    @given(STREAMS, st.lists(st.integers(min_value=0, max_value=400), max_size=12))
    def some(stream: bytes, places: list[int]) -> None:
        nonlocal examples
        examples += 1
        check(stream, places)

    end = monotonic() + seconds
    while monotonic() < end:
        some()
    return examples


def _with_atheris(atheris: object, one: Callable[[bytes], None]) -> None:
    atheris.Setup(sys.argv, one)  # type: ignore[attr-defined]
    atheris.Fuzz()  # type: ignore[attr-defined]


if __name__ == "__main__":
    if importlib.util.find_spec("atheris") is not None:
        _with_atheris(importlib.import_module("atheris"), target)
    else:
        print(
            f"{_with_hypothesis(float(sys.argv[1]) if sys.argv[1:] else 30.0)} streams, all decoded as they should be"
        )
