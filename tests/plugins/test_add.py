"""add: structured content."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mcpserve.testing import ToolRunner
from plugins.add import add

numbers = st.floats(-1e300, 1e300) | st.integers(-(2**53), 2**53)


@given(numbers, numbers)
def test_the_sum_is_structured(a: float, b: float) -> None:
    """The result is an object with the sum, and the same as text for clients of before."""
    call = ToolRunner(add).call("add", a=a, b=b)
    assert call.structured == {"sum": pytest.approx(a + b)}
    assert "sum" in call.text


def test_a_sum_beyond_json_is_refused_in_words() -> None:
    """A sum that JSON can't write is an error that the model can act on."""
    call = ToolRunner(add).call("add", a=1.7e308, b=1.7e308)
    assert call.result.is_error
    assert "smaller numbers" in call.text


@pytest.mark.parametrize("arguments", [{"a": 1}, {"a": 1, "b": "2"}, {"a": 1, "b": None}, {"a": 1, "b": 2, "c": 3}])
def test_what_is_not_two_numbers_is_refused(arguments: dict[str, object]) -> None:
    """Arguments that do not fit the schema never reach the function."""
    assert ToolRunner(add).call("add", arguments).result.is_error
