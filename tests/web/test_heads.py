"""The lines of a head, and what is remembered of them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mcpserve.web.heads import field_name, known_lines, read_line


@given(st.binary(max_size=20))
def test_a_field_name_is_a_token(name: bytes) -> None:
    """RFC 9110, 5.6.2; whatever is one comes out in lower case."""
    known = field_name(name)
    token = b"!#$%&'*+-.^_`|~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
    assert known == (name.lower() if name and not name.translate(None, token) else None)


@pytest.mark.parametrize("line", [b"Accept: */*", b"MCP-Protocol-Version:2026-07-28\t", b"X-Other: 1"])
def test_a_line_that_was_read_reads_the_same(line: bytes) -> None:
    """Remembered or not: the name in lower case, the value without what surrounds it."""
    name, _, value = line.partition(b":")
    assert [read_line(line) for _ in range(3)] == 3 * [(name.lower(), value.strip())]


@pytest.mark.parametrize("name", [b"Authorization", b"X-API-Key", b"Cookie", b"Mcp-Session-Id", b"Content-Length"])
def test_secrets_and_lengths_are_not_remembered(name: bytes) -> None:
    """Nothing of a caller stays behind, and no line decides how long a body is without being looked at."""
    assert read_line(name + b": 12345") == (name.lower(), b"12345")
    assert name + b": 12345" not in known_lines


@pytest.mark.parametrize("line", [b"Accept : a", b"Accept", b"Accept: a\x00", b"Accept: a\nb", b": a"])
def test_what_is_not_well_formed_is_not_remembered(line: bytes) -> None:
    """It is refused each time."""
    assert [read_line(line), read_line(line)] == [None, None]
    assert line not in known_lines


def test_strangers_do_not_fill_the_memory() -> None:
    """Lines that are long are not remembered, and of others so many at the most."""
    long = b"User-Agent: " + b"x" * 1000
    assert read_line(long) is not None
    for number in range(2000):
        assert read_line(b"User-Agent: %d" % number) == (b"user-agent", b"%d" % number)
        assert len(known_lines) <= 512
    assert long not in known_lines
