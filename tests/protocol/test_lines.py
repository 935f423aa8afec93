"""Lines, cut from bytes that arrive in any pieces."""

from __future__ import annotations

from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from mcpserve.protocol.lines import LineReader

LIMIT = 8
PIECES = st.lists(st.binary(max_size=20).map(lambda data: data.replace(b"\x00", b"\n")), max_size=20)


def model(data: bytes) -> Sequence[bytes | None]:
    """What the lines of a stream are that has ended."""
    found: list[bytes | None] = []
    for line in data.split(b"\n"):
        if len(line) > LIMIT:
            found.append(None)
        elif line.strip():
            found.append(line)
    return found


@given(PIECES)
def test_pieces_do_not_matter(pieces: Sequence[bytes]) -> None:
    """However the bytes arrive: each line once, in order, None for one that is too long, nothing for a blank one."""
    reader = LineReader(LIMIT)
    found = [line for piece in pieces for line in reader.feed(piece)]
    assert [*found, *reader.end()] == model(b"".join(pieces))


def test_a_line_comes_at_its_end() -> None:
    """Not before."""
    reader = LineReader(LIMIT)
    assert reader.feed(b"abc") == []
    assert reader.feed(b"def\ng") == [b"abcdef"]
    assert reader.end() == [b"g"]
    assert reader.end() == []


def test_too_long_is_told_at_once_and_once() -> None:
    """At the first byte too many; nothing of it is kept."""
    reader = LineReader(LIMIT)
    assert reader.feed(b"x" * LIMIT) == []
    assert reader.feed(b"x") == [None]
    assert reader.feed(b"x" * 1000) == []
    assert len(reader._held) == 0
    assert reader.feed(b"\nab\n") == [b"ab"]
