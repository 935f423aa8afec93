"""echo: what comes in goes out."""

from __future__ import annotations

import pytest

from mcpserve.testing import ToolRunner
from plugins.echo import echo


@pytest.mark.parametrize("text", ["", "hello", "two\nlines", "Grüße 🎉", '{"not": "parsed"}'])
def test_the_text_comes_back(text: str) -> None:
    """Any text is returned as it is."""
    assert ToolRunner(echo).call("echo", text=text).text == text


def test_an_endless_text_is_refused() -> None:
    """A text above the limit is not echoed."""
    assert ToolRunner(echo).call("echo", text="x" * 1_000_001).result.is_error
