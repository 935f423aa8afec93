"""What stock Twisted and Klein expect of a request."""

from __future__ import annotations

from typing import Any

from twisted.internet.error import ConnectionLost
from twisted.web.server import NOT_DONE_YET

from mcpserve.web.request import McpRequest
from tests.web.memory_http import GET, JSON, Wire, post, status


def test_a_producer_that_comes_too_late_is_stopped() -> None:
    """Registering after the loss does not raise (T4); the producer hears that there is nothing to do."""
    wire = Wire()
    request, _ = wire.request()
    wire.transport.lose()
    told = []

    class Producer:
        def stopProducing(self) -> None:
            told.append("stop")

    request.registerProducer(Producer(), True)
    assert told == ["stop"]


def test_notify_finish_is_never_too_late() -> None:
    """Twisted's would never fire when it is asked for after the end (T4)."""
    wire = Wire()
    request, _ = wire.request()
    request.answer(200, JSON, b"{}")
    other, _ = wire.request()
    wire.transport.lose()
    heard: list[object] = []
    request.notifyFinish().addCallback(heard.append)
    other.notifyFinish().addErrback(lambda failure: heard.append(failure.type))
    assert heard == [None, ConnectionLost]


def test_notify_finish_fires_at_the_end() -> None:
    """With None, when the response is finished."""
    wire = Wire()
    request, _ = wire.request()
    heard: list[object] = []
    request.notifyFinish().addCallback(heard.append)
    request.answer(200, JSON, b"{}")
    assert heard == [None]


def test_what_klein_reads_is_there() -> None:
    """The attributes of a twisted.web request, made when they are asked for."""
    wire = Wire()
    request, _ = wire.request(
        b"POST /a/b%20c?d=e HTTP/1.1\r\nHost: h:80\r\nCookie: k=v\r\nX-A: 1\r\nX-A: 2\r\nContent-Length: 2\r\n\r\nhi"
    )
    assert request.path == b"/a/b%20c"
    assert request.uri == b"/a/b%20c?d=e"
    assert request.prepath == []
    assert request.postpath == [b"a", b"b c"]
    assert request.args == {b"d": [b"e"]}
    assert request.content.read() == b"hi"
    assert request.getCookie(b"k") == b"v"
    assert request.getHeader("x-a") == "2"
    assert request.requestHeaders.getRawHeaders(b"x-a") == [b"1", b"2"]
    assert request.getRequestHostname() == b"h"
    assert request.getClientAddress().host == "192.168.1.1"
    assert request.getHost().port == 12345


def test_a_twisted_handler_writes_as_it_always_did() -> None:
    """`setResponseCode`, `setHeader`, `write` and `finish` work, and say when the connection closes."""

    def route(request: McpRequest) -> Any:
        request.setResponseCode(202)
        request.setHeader(b"X-A", b"b")
        request.write(b"one")
        request.write(b"two")
        request.finish()
        return NOT_DONE_YET

    wire = Wire(route)
    answer = wire.receive(post(b"", b"Connection: close\r\n"))
    assert status(answer) == 202
    assert b"X-A: b\r\n" in answer
    assert b"Connection: close\r\n" in answer
    assert answer.endswith(b"3\r\none\r\n3\r\ntwo\r\n0\r\n\r\n")
    assert wire.transport.ended == ["closed"]


def test_returned_bytes_are_one_write() -> None:
    """A resource that returns bytes gets what it set, with a length, and no HTML by default."""

    def route(request: McpRequest) -> bytes:
        request.setResponseCode(203)
        request.addCookie(b"k", b"v")
        return b"text"

    wire = Wire(route)
    answer = wire.receive(GET)
    assert wire.transport.writes == [answer]
    assert status(answer) == 203
    assert b"Set-Cookie: k=v\r\n" in answer
    assert b"Content-Type: text/plain; charset=utf-8\r\n" in answer
    assert answer.endswith(b"Content-Length: 4\r\n\r\ntext")


def test_a_twisted_producer_is_paused_and_let_go() -> None:
    """A push producer of the stock kind hears of the transport; one that is forgotten at the end is let go of."""
    wire = Wire()
    request, _ = wire.request()
    told: list[str] = []

    class Producer:
        def pauseProducing(self) -> None:
            told.append("pause")

        def resumeProducing(self) -> None:
            told.append("resume")

        def stopProducing(self) -> None:
            told.append("stop")

    request.registerProducer(Producer(), True)
    for call in (wire.channel.pauseProducing, wire.channel.resumeProducing):
        call()
        call()
    request.finish()
    wire.channel.pauseProducing()
    assert told == ["pause", "resume"]


def test_an_old_client_without_host_has_a_name() -> None:
    """HTTP/1.0 over a UNIX socket has neither a Host header nor an address with a host."""
    wire = Wire()
    request, _ = wire.request(b"GET / HTTP/1.0\r\n\r\n")
    assert request.getRequestHostname() == b"localhost"
