"""What is well-formed, and that whatever is not gets an answer."""

from __future__ import annotations

import pytest

from mcpserve.web.site import HttpLimits
from tests.web.memory_http import CHUNKED, GET, HEAD, Wire, answer_ok, body, status


@pytest.mark.parametrize(
    ("sent", "expected"),
    [
        (b"nonsense\r\n", 400),
        (b"GET / HTTP/3.0\r\n", 400),
        (b"G@T / HTTP/1.1\r\n", 400),
        (b"GET / HTTP/1.1\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: a b\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: \xff\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: " + b"a" * 64 + b"\r\n\r\n", 400),
        (b"OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        (b"CONNECT a:80 HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: a\r\nno colon\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: a\r\nName : b\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: a\r\n: b\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: a\r\nA: b\x00c\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: a\r\nA: b\nX: c\r\n\r\n", 400),
        (HEAD + b"Content-Length: 1\r\nContent-Length: 1\r\n\r\n", 400),
        (HEAD + b"Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", 400),
        (HEAD + b"Transfer-Encoding: chunked\r\nContent-Length: 1\r\n\r\n", 400),
        (HEAD + b"Transfer-Encoding: gzip\r\n\r\n", 400),
        (HEAD + b"Transfer-Encoding: identity\r\n\r\n", 400),
        (HEAD + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n", 400),
        (HEAD + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n", 400),
        (HEAD + b"Content-Length: +5\r\n\r\n", 400),
        (HEAD + b"Content-Length: \r\n\r\n", 400),
        (HEAD + b"Content-Length: " + b"9" * 20 + b"\r\n\r\n", 400),
        (CHUNKED + b"x\r\n", 400),
        (CHUNKED + b"1\r\nab", 400),
        (HEAD + b"Content-Length: 10737418240\r\n\r\n", 413),
        (CHUNKED + b"b\r\n01234567890\r\n", 413),
        (HEAD + b"A: b\r\n" * 100 + b"\r\n", 431),
        (HEAD + b"A: " + b"b" * 2000 + b"\r\n\r\n", 431),
        (HEAD + b"A: b\r\n" + b" folded\r\n" * 200 + b"\r\n", 431),
        (b"GET /" + b"a" * 2000, 431),
    ],
)
@pytest.mark.parametrize("piecemeal", [True, False])
def test_a_bad_request_is_refused(sent: bytes, expected: int, piecemeal: bool) -> None:
    """In the words of the site, once, and no route sees it; then our half is closed and the rest thrown away."""
    wire = Wire(answer_ok, limits=HttpLimits(body=10, header_bytes=1000, header_count=20))
    for piece in [sent[i : i + 1] for i in range(len(sent))] if piecemeal else [sent]:
        wire.receive(piece)
    wire.receive(GET)
    answer = wire.transport.value()
    assert status(answer) == expected
    assert answer.count(b"HTTP/1.1 ") == 1
    assert body(answer).startswith(b'{"refused": %d' % expected)
    assert b"Connection: close\r\n" in answer
    assert wire.transport.ended == ["half"]


def test_a_length_of_thousands_of_digits_is_no_traceback() -> None:
    """Python refuses to read such a number with an exception of its own."""
    assert status(Wire().receive(HEAD + b"Content-Length: " + b"9" * 5000 + b"\r\n\r\n")) == 400


@pytest.mark.parametrize(
    ("host", "target", "seen", "path"),
    [
        (b"a", b"/x", b"a", b"/x"),
        (b"a.b-c.example:8080", b"/x?y", b"a.b-c.example:8080", b"/x"),
        (b"[::1]:80", b"/", b"[::1]:80", b"/"),
        (b"a", b"http://other:81/x?y", b"other:81", b"/x"),
        (b"a", b"HTTPS://other", b"other", b"/"),
    ],
)
def test_the_target_names_host_and_path(host: bytes, target: bytes, seen: bytes, path: bytes) -> None:
    """RFC 9112, 3.2.2: the authority of an absolute target replaces the Host header."""
    wire = Wire()
    request, _ = wire.request(b"GET %b HTTP/1.1\r\nHost: %b\r\n\r\n" % (target, host))
    assert request.header(b"host") == seen
    assert request.path == path
