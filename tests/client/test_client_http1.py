"""HTTP/1.1 answers on paper."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st
from twisted.web.http_headers import Headers

from mcpserve.client.http1 import (
    CHUNK_LINE_LIMIT,
    HEAD_LIMIT,
    BadHttp,
    Body,
    Chunked,
    Head,
    HeadReader,
    HeadTooLarge,
    Sized,
    UntilClose,
    body_of,
    compressed,
    lasts,
    read_head,
)
from tests.protocol.sse_reference import cut

PLACES = st.lists(st.integers(min_value=0, max_value=400), max_size=12)


def _head(*lines: str, minor: int = 1, status: int = 200) -> Head:
    headers = Headers()
    for line in lines:
        name, _, value = line.partition(": ")
        headers.addRawHeader(name, value)
    return Head(minor=minor, status=status, phrase=b"", headers=headers)


def _content(body: Body, pieces: list[bytes]) -> tuple[bytes, bytes]:
    """The content and what came after it."""
    content = b""
    for number, piece in enumerate(pieces):
        content += body.feed(piece)
        if body.done:
            return content, body.rest + b"".join(pieces[number + 1 :])
    return content, b""


# --- heads


@given(PLACES, st.binary(max_size=20), st.integers(min_value=0, max_value=3))
def test_head_of_any_cut(places: list[int], rest: bytes, interim: int) -> None:
    """However it is cut, after whatever interim answers, it is the same head, and what comes after it is untouched."""
    stream = (
        b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" * interim + b"HTTP/1.1 200 OK\r\nA: b\r\nC:d \r\n\r\n" + rest
    )
    reader = HeadReader()
    pieces = cut(stream, places)
    for number, piece in enumerate(pieces):
        if (found := reader.feed(piece)) is not None:
            head, after = found
            assert (head.status, head.phrase, head.headers) == (200, b"OK", Headers({b"A": [b"b"], b"C": [b"d"]}))
            assert after + b"".join(pieces[number + 1 :]) == rest
            return
    pytest.fail("no head was found")


@given(
    st.lists(
        st.sampled_from([b"HTTP/1.1 200 OK", b"\r\n", b"\n", b"\r", b"A: b", b" ", b":", b"\0", b"x"]) | st.binary()
    )
)
def test_head_of_any_kind(pieces: list[bytes]) -> None:
    """Whatever comes, it is a head, or not yet one, or an error of one kind."""
    reader = HeadReader()
    with contextlib.suppress(BadHttp):
        any(reader.feed(piece) is not None for piece in pieces)


@pytest.mark.parametrize(
    ("data", "minor", "status", "phrase"),
    [
        (b"HTTP/1.1 200 OK", 1, 200, b"OK"),
        (b"HTTP/1.0 404 Not Found", 0, 404, b"Not Found"),
        (b"HTTP/1.1 202", 1, 202, b""),
        (b"HTTP/1.1 202 ", 1, 202, b""),
        (b"HTTP/1.1 599 \xe4", 1, 599, b"\xe4"),
    ],
)
def test_status_lines(data: bytes, minor: int, status: int, phrase: bytes) -> None:
    """With or without a phrase."""
    head = read_head(data)
    assert (head.minor, head.status, head.phrase) == (minor, status, phrase)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"HTTP/1.1",
        b"HTTP/1.1 20 OK",
        b"HTTP/1.1 2000 OK",
        b"HTTP/1.1 200OK",
        b"HTTP/1.1 +20 OK",
        b"HTTP/1.2 200 OK",
        b"HTTP/2.0 200 OK",
        b" HTTP/1.1 200 OK",
        b"http/1.1 200 OK",
        b"HTTP/1.1 000 OK",
        b"HTTP/1.1 200 OK\r\nA",
        b"HTTP/1.1 200 OK\r\nA : b",
        b"HTTP/1.1 200 OK\r\n: b",
        b"HTTP/1.1 200 OK\r\n A: b",
        b"HTTP/1.1 200 OK\r\nA: b\0",
        b"HTTP/1.1 200 OK\r\nA: b\rC: d",
        b"HTTP/1.1 200 OK\r\n\xe4: b",
    ],
)
def test_heads_that_are_none(data: bytes) -> None:
    """They are refused, not guessed at."""
    with pytest.raises(BadHttp):
        read_head(data)


def test_folded_header() -> None:
    """A line that goes on with a space belongs to the header before."""
    head = read_head(b"HTTP/1.1 200 OK\r\nA: b\r\n  c\r\n\td\r\nE: f")
    assert head.headers == Headers({b"A": [b"b c d"], b"E": [b"f"]})


def test_bare_line_feeds() -> None:
    """Lines of a head may end without a return."""
    found = HeadReader().feed(b"HTTP/1.1 200 OK\nA: b\n\nrest")
    assert found is not None
    assert (found[0].headers, found[1]) == (Headers({b"A": [b"b"]}), b"rest")


def test_protocol_that_nobody_asked_for() -> None:
    """To switch is no interim answer."""
    with pytest.raises(BadHttp):
        HeadReader().feed(b"HTTP/1.1 101 Switching Protocols\r\n\r\n")


@pytest.mark.parametrize("piece", [b"A: b\r\n", b"x", b"A: b\r\n\r\nHTTP/1.1 100 Continue\r\n"])
def test_head_without_end(piece: bytes) -> None:
    """Neither long heads, nor many interim answers, are read for ever."""
    reader = HeadReader()
    reader.feed(b"HTTP/1.1 100 Continue\r\n")
    pieces = [piece] * (HEAD_LIMIT // len(piece) + 2)
    with pytest.raises(HeadTooLarge):
        any(reader.feed(one) for one in pieces)


# --- how a body ends


@pytest.mark.parametrize(
    ("head", "method", "kind"),
    [
        (_head("Content-Length: 5"), b"POST", Sized),
        (_head("Content-Length: 5, 5", "Content-Length: 5"), b"POST", Sized),
        (_head("Transfer-Encoding: Chunked"), b"POST", Chunked),
        (_head("Transfer-Encoding: chunked", "Content-Length: 5"), b"POST", Chunked),
        (_head(), b"POST", UntilClose),
        (_head("Content-Length: 5"), b"HEAD", Sized),
        (_head(status=204), b"POST", Sized),
        (_head("Transfer-Encoding: chunked", status=304), b"GET", Sized),
    ],
)
def test_kinds_of_bodies(head: Head, method: bytes, kind: type) -> None:
    """The head says how the end is found."""
    body = body_of(head, method)
    assert type(body) is kind
    assert body.done == (method == b"HEAD" or head.status != 200)


@pytest.mark.parametrize(
    "line",
    [
        "Content-Length: -1",
        "Content-Length: +1",
        "Content-Length: 1_0",
        "Content-Length: 0x5",
        "Content-Length: 5, 6",
        "Content-Length: 5,",
        "Content-Length: " + "9" * 19,
        "Content-Length: \u0665",
        "Transfer-Encoding: identity",
        "Transfer-Encoding: gzip, chunked",
        "Transfer-Encoding: chunked, chunked",
        "Transfer-Encoding: xchunked",
    ],
)
def test_ends_that_cannot_be_known(line: str) -> None:
    """Two readers might find two ends: no one reads it."""
    with pytest.raises(BadHttp):
        body_of(_head(line), b"POST")


@pytest.mark.parametrize(
    ("head", "expected"),
    [
        (_head(), True),
        (_head("Connection: keep-alive"), True),
        (_head("Connection: Close"), False),
        (_head("Connection: foo, close"), False),
        (_head(minor=0), False),
        (_head("Connection: keep-alive", minor=0), False),
        (_head("Content-Length: 5"), True),
        (_head("Transfer-Encoding: chunked", "Content-Length: 5"), False),
    ],
)
def test_what_lasts(head: Head, expected: bool) -> None:
    """A connection is used again if nothing speaks against it."""
    assert lasts(head) is expected


def test_compression() -> None:
    """Any coding but none."""
    assert not compressed(_head())
    assert not compressed(_head("Content-Encoding: Identity"))
    assert compressed(_head("Content-Encoding: identity, gzip"))
    assert compressed(_head("Content-Encoding: br"))


# --- bodies


@given(st.integers(min_value=1, max_value=50), PLACES, st.binary(max_size=5))
def test_sized_body(length: int, places: list[int], rest: bytes) -> None:
    """So many bytes, and no more."""
    content = bytes(range(length))
    assert _content(Sized(length), cut(content + rest, places)) == (content, rest)


def test_ends_by_closing() -> None:
    """Only a body without any other end ends so."""
    assert not Sized(5).closed()
    assert not Chunked().closed()
    body = UntilClose()
    assert (body.feed(b"abc"), body.done, body.closed(), body.done) == (b"abc", False, True, True)


@given(
    st.lists(st.binary(min_size=1, max_size=30)),
    st.sampled_from([b"", b";a=b", b" ;a", b"\t"]),
    st.sampled_from([b"", b"A: b\r\n", b"A: b\r\nC: d\r\n"]),
    st.sampled_from([b"%x", b"%X", b"000%x"]),
    PLACES,
    st.binary(max_size=5),
)
def test_chunked_body(
    chunks: list[bytes], extension: bytes, trailers: bytes, size: bytes, places: list[int], rest: bytes
) -> None:
    """Chunks of any size, with extensions and trailers, however they are cut."""
    stream = b"".join(size % len(data) + extension + b"\r\n" + data + b"\r\n" for data in chunks)
    stream += b"0" + extension + b"\r\n" + trailers + b"\r\n" + rest
    assert _content(Chunked(), cut(stream, places)) == (b"".join(chunks), rest)


@pytest.mark.parametrize(
    "stream",
    [
        b"\r\n",
        b"x\r\n",
        b"0x5\r\nabcde\r\n",
        b"-5\r\n",
        b"+5\r\n",
        b"5_0\r\n",
        b" 5\r\n",
        b"5\nabcde",
        b"5\r\nabcdef\r\n",
        b"5\r\nabcde\n",
        b"5\r\nabcde5\r\n",
        b"0\r\n\n",
        b"1" * 17 + b"\r\n",
        b"5;" + b"x" * CHUNK_LINE_LIMIT + b"\r\n",
        b"5;" + b"x" * CHUNK_LINE_LIMIT,
        b"0\r\n" + b"A: b\r\n" * HEAD_LIMIT,
    ],
)
@pytest.mark.parametrize("step", [1, 100_000])
def test_chunks_that_are_none(stream: bytes, step: int) -> None:
    """They are refused as soon as that is known."""
    body = Chunked()
    with pytest.raises(BadHttp):
        _content(body, [stream[at : at + step] for at in range(0, min(len(stream), 100_000), step)])


@given(
    st.lists(st.sampled_from([b"5\r\n", b"abcde", b"\r\n", b"0\r\n", b"\n", b"\r", b";", b"a"]) | st.binary(max_size=5))
)
def test_chunks_of_any_kind(pieces: list[bytes]) -> None:
    """Whatever comes, it is content, an end, or an error of one kind."""
    with contextlib.suppress(BadHttp):
        _content(Chunked(), pieces)
