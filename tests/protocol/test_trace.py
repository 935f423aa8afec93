"""What a request says of its trace: W3C Trace Context, from `_meta` or from headers."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mcpserve.protocol.trace import Trace, read_trace

ID, SPAN = "0af7651916cd43dd8448eb211c80319c", "00f067aa0ba902b7"
PARENT = f"00-{ID}-{SPAN}-01"


def test_all_that_there_is() -> None:
    """The three values, and what they mean; they can be passed on as they came."""
    said = {"traceparent": PARENT, "tracestate": "a=1,b=2", "baggage": "user=ada"}
    trace = read_trace(said, {})
    assert trace == Trace(trace_id=ID, span_id=SPAN, flags="01", state="a=1,b=2", baggage="user=ada")
    assert trace is not None
    assert trace.sampled
    assert trace.headers() == said


def test_meta_wins() -> None:
    """A proxy may have changed the headers; what stands beside a parent belongs to it."""
    other = f"00-{ID}-{'1' * 16}-00"
    trace = read_trace({"traceparent": PARENT}, {"traceparent": other, "baggage": "a=b"})
    assert trace is not None
    assert (trace.span_id, trace.baggage) == (SPAN, "")
    later = read_trace({}, {"traceparent": other})
    assert later is not None
    assert not later.sampled


@pytest.mark.parametrize(
    "parent",
    [
        None,
        5,
        "",
        PARENT.upper(),
        PARENT + "-more",
        f"ff-{ID}-{SPAN}-01",
        f"00-{'0' * 32}-{SPAN}-01",
        f"00-{ID}-{'0' * 16}-01",
        f"00-{ID[1:]}-{SPAN}-01",
        f"01-{ID}-{SPAN}-01-\r\nX: y",
        PARENT + "\n",
    ],
)
def test_what_is_malformed(parent: Any) -> None:
    """It counts as not said, and the headers count instead."""
    assert read_trace({"traceparent": parent}, {}) is None
    assert read_trace({"traceparent": parent}, {"traceparent": PARENT}) is not None


def test_a_later_version() -> None:
    """What we know of it is read; it is passed on in the version that we know."""
    trace = read_trace({"traceparent": f"01-{ID}-{SPAN}-03-what-else"}, {})
    assert trace is not None
    assert trace.parent == f"00-{ID}-{SPAN}-03"


@pytest.mark.parametrize(("key", "longest"), [("tracestate", 512), ("baggage", 8192)])
def test_what_could_not_be_passed_on(key: str, longest: int) -> None:
    """A value with a line break in it, one that is no text, and one that is too long are left out."""
    for value, left in [("a=\r\nX: y", ""), (7, ""), ("a" * (longest + 1), ""), ("a" * longest, "a" * longest)]:
        trace = read_trace({"traceparent": PARENT, key: value}, {})
        assert trace is not None
        assert trace.headers().get(key, "") == left


@given(st.dictionaries(st.sampled_from(["traceparent", "tracestate", "baggage"]), st.text() | st.just(PARENT)))
def test_whatever_is_said(said: dict[str, str]) -> None:
    """Nothing is raised, and what is passed on can stand in a header."""
    trace = read_trace(said, {})
    for value in {} if trace is None else trace.headers().values():
        assert value.isascii()
        assert value.isprintable()
