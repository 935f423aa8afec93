"""Requests and their responses: one write a step, silence after the end, and what Klein reads."""

from __future__ import annotations

import gc
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET

from mcpserve.web.request import McpRequest
from mcpserve.web.sending import chunk
from mcpserve.web.site import HttpLimits
from tests.web.memory_http import GET, JSON, Notes, Scripted, Wire, body, post, status

SENDING: list[Callable[[McpRequest], object]] = [
    lambda request: request.answer(200, JSON, b"late"),
    lambda request: request.start_stream(200, JSON, b"late"),
    lambda request: request.send(b"late"),
    lambda request: request.end_stream(b"late"),
    lambda request: request.refuse(400, "late"),
    lambda request: request.write(b"late"),
    lambda request: request.finish(),
    lambda request: request.abort(),
    lambda request: request.unregisterProducer(),
    lambda request: request.answer_bytes(b"late"),
]


def test_an_answer_is_one_write() -> None:
    """Head and body leave together, and the connection stays."""
    wire = Wire()
    request, _ = wire.request()
    request.answer(200, JSON, b"{}")
    assert wire.transport.writes == [
        b"HTTP/1.1 200 OK\r\nDate: Thu, 01 Jan 1970 00:00:00 GMT\r\nContent-Type: application/json\r\n"
        b"Content-Length: 2\r\n\r\n{}"
    ]
    assert wire.transport.ended == []
    assert request.finished


def test_head_gets_the_length_without_the_body() -> None:
    """HEAD is answered like GET, minus the body."""
    wire = Wire()
    request, _ = wire.request(GET.replace(b"GET", b"HEAD"))
    request.answer(200, JSON, b"{}")
    assert wire.transport.value().endswith(b"Content-Length: 2\r\n\r\n")


def test_a_status_without_a_body_has_no_length() -> None:
    """RFC 9110, 8.6: no Content-Length in a 204."""
    wire = Wire()
    request, _ = wire.request()
    request.answer(204, [], b"ignored")
    assert b"Content-Length" not in wire.transport.value()
    assert body(wire.transport.value()) == b""


def test_the_last_answer_of_a_connection_says_so() -> None:
    """`Connection: close` is answered in kind, and the connection closed."""
    wire = Wire()
    request, _ = wire.request(post(b"x", b"Connection: Close\r\n"))
    request.answer(200, JSON, b"{}")
    assert b"\r\nConnection: close\r\n" in wire.transport.value()
    assert wire.transport.ended == ["closed"]


def test_a_stream_is_one_write_a_step() -> None:
    """The head takes the first data with it, the end of the body takes the last."""
    wire = Wire()
    request, _ = wire.request()
    request.start_stream(200, [(b"Content-Type", b"text/event-stream")], b"first")
    request.send(b"second")
    request.end_stream(b"third")
    assert wire.transport.writes == [
        b"HTTP/1.1 200 OK\r\nDate: Thu, 01 Jan 1970 00:00:00 GMT\r\nContent-Type: text/event-stream\r\n"
        b"Transfer-Encoding: chunked\r\n\r\n5\r\nfirst\r\n",
        b"6\r\nsecond\r\n",
        b"5\r\nthird\r\n0\r\n\r\n",
    ]
    assert wire.transport.ended == []


def test_a_connection_serves_on_after_a_stream() -> None:
    """A stream that ended leaves a connection that can be used."""
    wire = Wire()
    wire.request()[0].start_stream(200, JSON)
    wire.requests[0].end_stream()
    request, _ = wire.request()
    request.answer(200, JSON, b"again")
    assert wire.transport.writes[-1].endswith(b"again")


def test_a_stream_to_http_1_0_ends_with_the_connection() -> None:
    """An old client knows no chunks."""
    wire = Wire()
    request, _ = wire.request(b"GET / HTTP/1.0\r\n\r\n")
    request.start_stream(200, [], b"a")
    request.send(b"b")
    request.end_stream(b"c")
    assert body(wire.transport.value()) == b"abc"
    assert b"chunked" not in wire.transport.value()
    assert b"\r\nConnection: close\r\n" in wire.transport.value()
    assert wire.transport.ended == ["closed"]


def test_a_stream_for_head_is_its_head() -> None:
    """HEAD never gets a body, not even a chunk."""
    wire = Wire()
    request, _ = wire.request(GET.replace(b"GET", b"HEAD"))
    request.start_stream(200, [], b"a")
    request.send(b"b")
    request.end_stream(b"c")
    assert body(wire.transport.value()) == b""
    assert request.finished


@pytest.mark.parametrize("sending", SENDING)
def test_after_the_end_all_is_silence(sending: Callable[[McpRequest], object]) -> None:
    """Nothing is sent and nothing raised once the response is finished (T4)."""
    wire = Wire()
    request, _ = wire.request()
    request.answer(200, JSON, b"{}")
    sending(request)
    assert len(wire.transport.writes) == 1
    assert wire.transport.ended == []


@pytest.mark.parametrize("sending", SENDING)
@pytest.mark.parametrize("streaming", [True, False])
def test_after_a_loss_all_is_silence(sending: Callable[[McpRequest], object], streaming: bool) -> None:
    """Nothing is sent and nothing raised once the client has gone (T4)."""
    wire = Wire()
    request, _ = wire.request()
    if streaming:
        request.start_stream(200, JSON)
    wire.transport.lose()
    sending(request)
    assert len(wire.transport.writes) == int(streaming)
    assert request.lost


def test_a_watcher_hears_of_a_loss_once() -> None:
    """In the same turn, before those who used notifyFinish."""
    wire = Wire()
    request, notes = wire.request()
    request.notifyFinish().addErrback(lambda failure: notes.told.append(failure.type.__name__))
    wire.transport.lose()
    assert notes.told == ["lost", "ConnectionLost"]


def test_a_watcher_hears_nothing_after_the_end() -> None:
    """A response that is finished has no client to lose."""
    wire = Wire()
    request, notes = wire.request()
    request.answer(200, JSON, b"{}")
    wire.transport.lose()
    assert notes.told == []


def test_a_watcher_that_comes_late_is_told_at_once() -> None:
    """Whoever watches after the loss is not left waiting."""
    wire = Wire()
    request, _ = wire.request()
    wire.transport.lose()
    late = Notes()
    request.watch(late)
    assert late.told == ["lost"]


def test_a_watcher_that_fails_keeps_nobody_from_hearing(flush_logged_errors: Callable[..., Any]) -> None:
    """Its failure is logged, and notifyFinish fires."""

    class Faulty(Notes):
        def connection_lost(self, reason: object) -> None:
            raise ValueError

    wire = Wire()
    request, _ = wire.request()
    request.watch(Faulty())
    heard: list[object] = []
    request.notifyFinish().addErrback(heard.append)
    wire.transport.lose()
    assert len(heard) == 1
    assert len(flush_logged_errors(ValueError)) == 1


def test_pauses_and_resumes_take_turns() -> None:
    """The transport says at each write that it is full; the watcher hears it once (T10)."""
    wire = Wire()
    request, notes = wire.request()
    request.start_stream(200, JSON)
    for call in ["pause", "pause", "resume", "resume", "pause", "resume"]:
        getattr(wire.channel, call + "Producing")()
    assert notes.told == ["pause", "resume", "pause", "resume"]


def test_a_pause_during_the_first_write_is_told_once() -> None:
    """A first event that fills the buffer pauses the stream while it starts."""
    wire = Wire()
    request, notes = wire.request()
    remember = wire.transport.write

    def fill(data: bytes) -> None:
        remember(data)
        wire.channel.pauseProducing()

    wire.transport.write = fill  # type: ignore[method-assign]
    request.start_stream(200, JSON, b"x" * 100_000)
    assert notes.told == ["pause"]


def test_nothing_is_sent_before_the_head() -> None:
    """Data without a head would be taken for a head."""
    wire = Wire()
    request, _ = wire.request()
    request.send(b"early")
    request.end_stream(b"early")
    assert wire.transport.writes == []


@pytest.mark.parametrize("lost", [True, False])
def test_requests_leave_no_garbage(lost: bool) -> None:
    """A stream is freed without the collector, although watcher, request and channel know each other."""

    class Stream(Notes):
        request: McpRequest

    def route(request: McpRequest) -> Any:
        stream = Stream()
        stream.request = request
        request.watch(stream)
        request.start_stream(200, JSON)
        if not lost:
            request.end_stream()
        return NOT_DONE_YET

    wire = Wire(route)
    wire.receive(GET)
    gc.collect()
    gc.disable()
    try:
        wire.receive(GET)
        wire.transport.lose()
        wire.channel.transport = wire.channel._networkProducer = None  # they hold each other in memory only
        del wire.transport.protocol, wire.channel
        assert gc.collect() == 0
    finally:
        gc.enable()


@pytest.mark.parametrize("sending", SENDING)
def test_after_an_abort_all_is_silence(sending: Callable[[McpRequest], object]) -> None:
    """Even before the transport has dropped the connection."""
    wire = Wire()
    request, _ = wire.request()
    request.start_stream(200, JSON)
    request.abort()
    sending(request)
    assert len(wire.transport.writes) == 1
    assert wire.transport.ended == ["aborted"]


def test_a_stream_that_starts_behind_a_slow_reader_is_paused() -> None:
    """A pause that came before the stream is made up for when it starts."""
    wire = Wire()
    request, notes = wire.request()
    wire.channel.pauseProducing()
    assert notes.told == []
    request.start_stream(200, JSON)
    assert notes.told == ["pause"]


def test_an_abort_is_a_loss() -> None:
    """The connection is dropped, the watcher hears of it once, and nothing more is sent."""
    wire = Wire()
    request, notes = wire.request()
    request.start_stream(200, JSON)
    request.abort()
    request.send(b"late")
    request.abort()
    wire.turn()
    assert wire.transport.ended == ["aborted"]
    assert notes.told == ["lost"]
    assert len(wire.transport.writes) == 1


def test_a_second_head_ends_the_connection() -> None:
    """Two responses to one request would be read as the response to the next one."""
    wire = Wire()
    request, notes = wire.request()
    request.start_stream(200, JSON)
    request.answer(200, JSON, b"{}")
    wire.turn()
    assert wire.transport.ended == ["aborted"]
    assert notes.told == ["lost"]


def test_headers_are_found_by_their_lower_case_name() -> None:
    """The first value, and all of them."""
    wire = Wire()
    request, _ = wire.request(post(b"x", b"X-One:  a \r\nx-oNE: b\r\n"))
    assert request.header(b"x-one") == b"a"
    assert request.header_values(b"x-one") == [b"a", b"b"]
    assert request.header(b"x-two") is None
    assert request.header_values(b"x-two") == []


def test_a_stream_forgets_what_came_in() -> None:
    """A body of megabytes is not kept for the hours that a stream may last."""
    wire = Wire()
    request, _ = wire.request(post(b"x" * 1000))
    request.start_stream(200, JSON)
    assert request.body == b""
    assert request.header(b"host") is None


@given(st.lists(st.binary(min_size=1, max_size=50), max_size=8), st.data())
def test_a_body_is_whole_however_it_is_cut(parts: list[bytes], data: st.DataObject) -> None:
    """Chunked or with a length, in whatever pieces it arrives."""
    chunked = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n" + b"".join(map(chunk, parts))
    for sent in (chunked + b"0\r\n\r\n", post(b"".join(parts))):
        wire = Wire()
        cut = data.draw(st.integers(0, len(sent)))
        wire.receive(sent[:cut])
        wire.receive(sent[cut:])
        assert wire.requests[0].body == b"".join(parts)


def test_a_route_that_fails_is_answered_in_the_words_of_the_site(flush_logged_errors: Callable[..., Any]) -> None:
    """A 500 that says nothing about the failure, and no HTML."""

    def route(request: McpRequest) -> Any:
        raise ValueError("secret")

    wire = Wire(route)
    answer = wire.receive(GET)
    assert status(answer) == 500
    assert body(answer) == b'{"refused": 500, "why": "Internal error."}'
    assert len(flush_logged_errors(ValueError)) == 1


def test_a_route_that_fails_amid_its_response_is_broken_off(flush_logged_errors: Callable[..., Any]) -> None:
    """What was begun can't be taken back, but must not look complete."""

    def route(request: McpRequest) -> Any:
        request.start_stream(200, JSON, b"begun")
        raise ValueError

    wire = Wire(route)
    wire.receive(GET)
    assert wire.transport.ended == ["aborted"]
    flush_logged_errors(ValueError)


def test_a_resource_that_does_not_know_the_method_is_no_html() -> None:
    """405 with Allow, in the words of the site."""

    class OnlyGet(Resource):
        isLeaf = True

        def render_GET(self, request: McpRequest) -> bytes:
            return b"got"

    wire = Wire(resource=OnlyGet())
    answer = wire.receive(post(b""))
    assert status(answer) == 405
    assert b"Allow: GET, HEAD\r\n" in answer or b"Allow: HEAD, GET\r\n" in answer
    assert b"<" not in answer


def test_a_resource_that_renders_nonsense_is_a_failure(flush_logged_errors: Callable[..., Any]) -> None:
    """Neither bytes nor NOT_DONE_YET: 500."""
    wire = Wire(resource=Scripted(lambda request: None))
    assert status(wire.receive(GET)) == 500
    assert len(flush_logged_errors(TypeError)) == 1


def test_a_body_that_grows_too_large_stops_growing() -> None:
    """What comes after the refusal is not kept."""
    wire = Wire(limits=HttpLimits(body=10))
    wire.receive(b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n")
    answer = wire.receive(b"b\r\n01234567890\r\nb\r\n01234567890\r\n0\r\n\r\n")
    assert status(answer) == 413
    assert wire.requests == []
