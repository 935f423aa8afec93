"""The small reader of docstrings."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mcpserve.features.docstrings import read_docstring


def test_google_sections_are_taken_apart() -> None:
    """The model gets the prose and the notes; sections for programmers are dropped."""
    read = read_docstring(
        """Count down.

        Note: slow.

        Args:
            start (int): From where:
                a number.
            *rest: More.
            silent:

        Returns:
            Nothing: really.

        Example:
            count(3)

        Raises:
            ValueError: Too low.

        Spec: Tools, Tool Result.
        """
    )
    assert read.description == "Count down.\n\nNote: slow.\n\nExample:\n    count(3)"
    assert read.parameters == {"start": "From where: a number.", "rest": "More."}


def test_rest_fields_are_taken_apart() -> None:
    """Types before the name are dropped, continuations are joined."""
    read = read_docstring(
        """Count down.

        :param start: From where,
            a number.
        :param int stop: To where.
        :type start: int
        :raises ValueError: Too low.
        """
    )
    assert read.description == "Count down."
    assert read.parameters == {"start": "From where, a number.", "stop": "To where."}


@pytest.mark.parametrize("text", [None, "", "   ", "\nArgs:\n    a:"])
def test_nothing_is_said(text: str | None) -> None:
    """A docstring without words has no description."""
    read = read_docstring(text)
    assert read.description is None
    assert read.parameters == {}


@pytest.mark.parametrize("text", ["Ratio 3:4 is fine.", "See: https://example.com", "a: b"])
def test_a_colon_makes_no_section(text: str) -> None:
    """Prose may have colons."""
    assert read_docstring(text).description == text


@given(st.text())
def test_any_text_can_be_read(text: str) -> None:
    """No docstring stops a plugin from loading."""
    read_docstring(text)
