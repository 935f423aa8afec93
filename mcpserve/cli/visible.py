"""Text of others on a terminal: what would steer it is shown instead of obeyed.

Control characters can move the cursor, rewrite what stands there, change the window's title, or answer for the user;
characters that override the direction of writing make a text look like another one.
"""

from __future__ import annotations

import re

_STEERS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
_BREAKS = re.compile("[\t\n]")


def visible(text: str) -> str:
    """The text, of lines, with everything that steers a terminal spelled out, such as `\\x1b`."""
    return _STEERS.sub(_spelled, text.replace("\r\n", "\n"))


def one_line(text: str) -> str:
    """The same on one line: line breaks are spelled out, too, so that nobody can forge a line."""
    return _BREAKS.sub(_spelled, visible(text))


def first_line(text: str | None) -> str:
    """The first line of a description that says something; empty if there is none."""
    lines = (line.strip() for line in (text or "").splitlines())
    return one_line(next(filter(None, lines), ""))


def _spelled(found: re.Match[str]) -> str:
    return _NAMES.get(found[0]) or _number(ord(found[0]))


def _number(code: int) -> str:
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"


_NAMES = {"\n": "\\n", "\t": "\\t", "\r": "\\r"}
