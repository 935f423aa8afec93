"""Lines of a child: whole ones however they come, what is too long, and what is logged of standard error."""

from __future__ import annotations

from collections.abc import Callable

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.task import Clock
from twisted.logger import LogEvent, globalLogPublisher
from twisted.python.failure import Failure

from mcpserve.client.framing import COMPLAINT, EXCERPT, PER_SECOND, Complaints, Lines, Logged, Overlong, printable


def cut(data: bytes, sizes: list[int]) -> list[bytes]:
    """The bytes in pieces of these sizes, and the rest."""
    pieces = []
    for size in sizes:
        pieces.append(data[:size])
        data = data[size:]
    return [*pieces, data]


def fed(lines: Lines, pieces: list[bytes]) -> list[bytes | Overlong]:
    """What comes of these pieces."""
    return [line for piece in pieces for line in lines.feed(piece)]


@given(
    st.lists(st.binary(max_size=20).filter(lambda line: b"\n" not in line), max_size=10),
    st.lists(st.integers(0, 8), max_size=40),
)
def test_any_split(lines: list[bytes], sizes: list[int]) -> None:
    """However the bytes are cut, the lines are the same; blank ones are left out."""
    data = b"".join(line + b"\n" for line in lines)
    assert fed(Lines(20), cut(data, sizes)) == [line for line in lines if line.strip()]


@given(st.integers(11, 3000), st.lists(st.integers(0, 700), max_size=20))
def test_a_line_that_is_too_long(size: int, sizes: list[int]) -> None:
    """It is told of twice, by how it begins and by how it ends; and what follows is whole."""
    line = bytes(65 + number % 26 for number in range(size))
    began, ended, last = fed(Lines(10), cut(line + b"\nafter\n", sizes))
    assert isinstance(began, Overlong)
    assert isinstance(ended, Overlong)
    assert (began.ended, ended.ended, last) == (False, True, b"after")
    assert 10 < len(began.excerpt) <= EXCERPT
    assert line.startswith(began.excerpt)
    assert line.endswith(ended.excerpt)
    assert len(ended.excerpt) >= min(size, 11) - 1 or len(ended.excerpt) == EXCERPT


def test_a_line_of_just_the_limit() -> None:
    """It is not too long, whether it comes whole or byte by byte."""
    assert fed(Lines(5), [b"12345\n"]) == [b"12345"]
    assert fed(Lines(5), cut(b"12345\n", [1] * 6)) == [b"12345"]


def test_nothing_is_kept_of_an_endless_line() -> None:
    """Its length costs no memory."""
    lines = Lines(1000)
    for _ in range(1000):
        lines.feed(b"x" * 10_000)
    assert len(lines._held) == 0
    assert len(lines._tail or b"") == EXCERPT


def test_complaints() -> None:
    """Each line that is not blank, decoded, shortened; the last one even without its end."""
    heard: list[str] = []
    complaints = Complaints(heard.append)
    for piece in (b"one\r\n\n  \ntw", b"o\xff\n", b"x" * 10_000, b"y\nlast"):
        complaints.feed(piece)
    complaints.end()
    assert heard == ["one", "two\ufffd", "x" * COMPLAINT, "last"]
    assert complaints.last == "last"


def test_a_listener_that_fails(flush_logged_errors: Callable[..., list[Failure]]) -> None:
    """It does not keep the rest from being read."""
    complaints = Complaints(lambda line: 1 / 0)
    complaints.feed(b"one\ntwo\n")
    assert complaints.last == "two"
    assert len(flush_logged_errors(ZeroDivisionError)) == 2


def test_what_is_logged() -> None:
    """So many lines a second; how many are left out is said when the next ones are logged."""
    told: list[LogEvent] = []
    globalLogPublisher.addObserver(told.append)
    clock = Clock()
    logged = Logged("peer", clock)
    for number in range(PER_SECOND + 50):
        logged(f"line {number}")
    assert [event["line"] for event in told] == [f"line {number}" for number in range(PER_SECOND)]
    clock.advance(1)
    logged("more")
    globalLogPublisher.removeObserver(told.append)
    assert told[-2]["left_out"] == 50
    assert told[-1]["line"] == "more"


def test_what_steers_terminals() -> None:
    """It is shown, and has no effect."""
    assert printable("\x1b[2J\x07é\u202e") == "\ufffd[2J\ufffdé\ufffd"
