"""Token buckets: exact, bounded, and read from what an operator writes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mcpserve.errors import Busy, ConfigurationError
from mcpserve.policy.rates import Buckets, Rate, Rates, ToolRates, read_rate, read_tool_rates

NOW = 1_800_000_000.0
"""A time as clocks show it: floats are coarse there."""


@pytest.mark.parametrize(
    ("text", "rate", "interval"),
    [
        ("10/minute", Rate(10, "minute", 10), 6.0),
        ("100/second burst 200", Rate(100, "second", 200), 0.01),
        (" 1 / hour ", Rate(1, "hour", 1), 3600.0),
        ("7/day burst 1", Rate(7, "day", 1), 86_400 / 7),
    ],
)
def test_rates_are_read(text: str, rate: Rate, interval: float) -> None:
    """As they are written."""
    assert read_rate(text) == rate
    assert read_rate(text).interval == interval
    assert read_rate(str(rate)) == rate


@pytest.mark.parametrize(
    "text", ["", "10", "10/min", "0/minute", "-1/second", "1.5/second", "10/minute each", "10/minute burst 0", "x/day"]
)
def test_what_is_no_rate(text: str) -> None:
    """It is named, and so is what would be one."""
    with pytest.raises(ConfigurationError, match="such as 10/minute") as caught:
        read_rate(text)
    assert repr(text) in str(caught.value)


@given(
    count=st.integers(1, 1000),
    unit=st.sampled_from(["second", "minute", "hour", "day"]),
    burst=st.integers(1, 300),
    start=st.floats(0, 2e9),
)
def test_exactly_as_many_as_there_are(count: int, unit: str, burst: int, start: float) -> None:
    """At one moment a full bucket gives its burst and not one more; after each interval, one."""
    rate = Rate(count, unit, burst)
    buckets = Buckets(rate)
    assert [buckets.take("a", start) for _ in range(burst)] == [0.0] * burst
    wait = buckets.take("a", start)
    assert 0 < wait <= rate.interval * 1.01 + 1e-6
    now = start + wait + 1e-5
    assert buckets.take("a", now) == 0.0
    assert buckets.take("a", now) > 0


@given(st.lists(st.floats(0, 30), max_size=200))
def test_never_more_than_the_rate_allows(pauses: list[float]) -> None:
    """However the requests come, no window holds more than the burst and what came back in it."""
    buckets, now = Buckets(read_rate("10/minute")), NOW
    taken: list[float] = []
    for pause in pauses:
        now += pause
        if not buckets.take("a", now):
            taken.append(now)
    for first, begin in enumerate(taken):
        for last in range(first, len(taken)):
            assert last - first + 1 <= 10 + (taken[last] - begin) / 6 + 0.01


def test_who_waits_as_told_is_let_in() -> None:
    """What is returned is neither too short nor longer than need be."""
    buckets = Buckets(read_rate("10/minute"))
    for _ in range(10):
        buckets.take("a", NOW)
    wait = buckets.take("a", NOW)
    assert wait == pytest.approx(6.0)
    assert buckets.take("a", NOW + wait - 0.1) > 0
    assert buckets.take("a", NOW + wait + 1e-5) == 0.0


def test_refusals_cost_nothing() -> None:
    """Who keeps asking is let in at the same time as who waits."""
    buckets = Buckets(read_rate("1/minute"))
    buckets.take("a", NOW)
    for second in range(59):
        assert buckets.take("a", NOW + second) > 0
    assert buckets.take("a", NOW + 60) == 0.0


def test_each_key_has_a_bucket() -> None:
    """One who asks too much takes nothing from the others."""
    buckets = Buckets(read_rate("1/minute"))
    assert buckets.take("a", NOW) == 0.0
    assert buckets.take("a", NOW) > 0
    assert buckets.take("b", NOW) == 0.0


def test_idle_buckets_are_forgotten() -> None:
    """Those that are full again go while others are used; nothing has to be swept."""
    buckets = Buckets(read_rate("10/second"))
    for number in range(1000):
        buckets.take(str(number), NOW)
    assert len(buckets) == 1000
    for number in range(600):
        buckets.take("x", NOW + 60 + number)
    assert len(buckets) == 1


def test_the_memory_is_bounded() -> None:
    """However many there are; those that are forgotten begin anew."""
    buckets = Buckets(read_rate("1/day"), most=100)
    for number in range(10_000):
        assert buckets.take(str(number), NOW) == 0.0
    assert len(buckets) == 100
    assert buckets.take("9999", NOW) > 0
    assert buckets.take("0", NOW) == 0.0


def test_a_clock_that_was_set_back() -> None:
    """Nobody waits for it: a bucket is never emptier than empty."""
    buckets = Buckets(read_rate("10/minute"))
    for _ in range(10):
        buckets.take("a", NOW)
    assert buckets.take("a", NOW - 86_400) <= 6.0
    assert buckets.take("a", NOW - 86_400 + 6.0) == 0.0


def test_by_address_and_by_caller() -> None:
    """Each names its setting and when to come again; without a name only the address counts."""
    rates = Rates(read_rate("2/minute"), read_rate("1/minute"))
    rates.take_by_address("192.0.2.1", NOW)
    rates.take_by_address("192.0.2.1", NOW)
    with pytest.raises(Busy, match=r"192\.0\.2\.1: 2/minute .*rate_per_address") as caught:
        rates.take_by_address("192.0.2.1", NOW)
    assert (caught.value.status, caught.value.code, caught.value.headers) == (429, 429, {"Retry-After": "30"})
    assert caught.value.data == {"retryAfter": 30}
    rates.take_by_caller("ann", NOW)
    with pytest.raises(Busy, match="rate_per_caller"):
        rates.take_by_caller("ann", NOW)
    for _ in range(5):
        rates.take_by_caller(None, NOW)


def test_no_rates() -> None:
    """Nothing is counted."""
    rates = Rates()
    assert not rates
    for _ in range(1000):
        rates.take_by_address("a", NOW)
        rates.take_by_caller("a", NOW)


def test_tools_in_total_and_for_each() -> None:
    """Both hold; what one of them refuses takes nothing from the other."""
    rates = ToolRates(read_tool_rates(["slow=3/minute", "slow=2/minute each", "other=1/day"]))
    rates.take("slow", "ann", NOW)
    rates.take("slow", "ann", NOW)
    for _ in range(5):
        with pytest.raises(Busy, match="2/minute each"):
            rates.take("slow", "ann", NOW)
    rates.take("slow", "bob", NOW)
    with pytest.raises(Busy, match=r"slow: 3/minute .*tool_rates"):
        rates.take("slow", "bob", NOW)
    for _ in range(100):
        rates.take("free", "ann", NOW)


@pytest.mark.parametrize("text", ["slow", "=1/minute", "slow=", "slow=often", "1/minute"])
def test_what_is_no_rate_of_a_tool(text: str) -> None:
    """It is said with an example."""
    with pytest.raises(ConfigurationError, match="10/minute"):
        read_tool_rates([text])
