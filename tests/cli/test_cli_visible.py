"""Text of servers on a terminal."""

from __future__ import annotations

import unicodedata

from hypothesis import given
from hypothesis import strategies as st

from mcpserve.cli.visible import first_line, one_line, visible


def test_what_steers_a_terminal_is_spelled_out() -> None:
    """Escapes, in seven bits and in eight, bells, lone carriage returns, overrides of direction, halves of a pair."""
    assert visible("\x1b[2J\x9b2J\x07\r\u202e\ud800\x7f") == "\\x1b[2J\\x9b2J\\x07\\r\\u202e\\ud800\\x7f"


def test_lines_and_tabs_stay() -> None:
    """They are what texts are made of; Windows' line ends become ours."""
    assert visible("a\tb\r\nc\n") == "a\tb\nc\n"


def test_on_one_line_nothing_ends_it() -> None:
    """Nobody can forge a line."""
    assert one_line("a\nmcpserve: all is well\t!\u2028") == "a\\nmcpserve: all is well\\t!\\u2028"


@given(st.text(st.characters()))
def test_no_control_character_is_left(text: str) -> None:
    """Whatever the text is."""
    assert all(unicodedata.category(one) not in ("Cc", "Cs") or one in "\n\t" for one in visible(text))
    assert len(one_line(text).splitlines()) <= 1


def test_the_first_line_says_something() -> None:
    """Empty ones are passed over."""
    assert first_line("\n  \n  Add two.\nMore.") == "Add two."
    assert first_line(None) == first_line("  ") == ""
