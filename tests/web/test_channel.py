"""Connections: what is refused, what times out, and who is gone."""

from __future__ import annotations

import datetime
import inspect
import socket
import ssl
import struct
from collections.abc import Callable, Iterator
from typing import Any

import attrs
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from OpenSSL import SSL
from twisted.internet import tcp
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IHalfCloseableProtocol, IReactorTime
from twisted.internet.ssl import ContextFactory
from twisted.internet.task import deferLater
from twisted.internet.threads import deferToThread
from twisted.web import http
from twisted.web.server import NOT_DONE_YET

from mcpserve.web.channel import McpChannel
from mcpserve.web.request import McpRequest
from mcpserve.web.sending import send_now
from mcpserve.web.site import HttpLimits, McpSite
from tests.web.memory_http import (
    CHUNKED,
    DEFAULT,
    GET,
    HEAD,
    JSON,
    Notes,
    Scripted,
    Wire,
    answer_ok,
    body,
    post,
    refusal,
    status,
)

# Who waits for a go-ahead


def test_whoever_waits_for_a_go_ahead_gets_it() -> None:
    """`Expect: 100-continue` is answered when the head is fine."""
    wire = Wire(answer_ok)
    assert wire.receive(HEAD + b"Content-Length: 2\r\nExpect: 100-Continue\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
    assert body(wire.receive(b"hi")) == b"hi"


@pytest.mark.parametrize(
    "sent",
    [
        HEAD + b"Content-Length: 2\r\nExpect: 100-continue\r\n\r\nhi",
        HEAD + b"Content-Length: 0\r\nExpect: 100-continue\r\n\r\n",
        b"POST / HTTP/1.0\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\nhi",
    ],
)
def test_whoever_does_not_wait_gets_none(sent: bytes) -> None:
    """No 100 when the body is there, when there is none, or when the client is too old for it."""
    assert status(Wire(answer_ok).receive(sent)) == 200


def test_a_go_ahead_is_not_given_for_a_body_that_is_too_large() -> None:
    """413 instead of 100, and nothing after it."""
    wire = Wire(limits=HttpLimits(body=10))
    assert status(wire.receive(HEAD + b"Content-Length: 11\r\nExpect: 100-continue\r\n\r\n")) == 413


# What times out


def drip(wire: Wire, byte: bytes, seconds: int) -> None:
    """Send a byte a second."""
    for _ in range(seconds):
        wire.receive(byte)
        wire.seconds(1)


def test_a_head_that_drips_is_refused() -> None:
    """Each byte would push Twisted's timeout away (T3); here the deadline stands."""
    wire = Wire(limits=HttpLimits(header_timeout=10.0))
    wire.receive(b"GET / HTTP/1.1\r\n")
    drip(wire, b"A", 10)
    assert wire.transport.writes == []
    drip(wire, b"A", 1)
    assert status(wire.transport.value()) == 408
    assert wire.transport.ended == ["half"]


def test_a_body_that_drips_is_refused() -> None:
    """As with the head (T3)."""
    wire = Wire(limits=HttpLimits(body_timeout=5.0))
    wire.receive(HEAD + b"Content-Length: 1000\r\n\r\n")
    drip(wire, b"A", 5)
    assert wire.transport.writes == []
    drip(wire, b"A", 1)
    assert status(wire.transport.value()) == 408


@pytest.mark.parametrize("served", [True, False])
def test_an_idle_connection_is_closed_without_a_word(served: bool) -> None:
    """Before the first request and between two."""
    wire = Wire(answer_ok, limits=HttpLimits(idle_timeout=5.0))
    if served:
        wire.receive(GET)
    wire.seconds(5)
    assert wire.transport.ended == []
    wire.seconds(1)
    assert wire.transport.ended == ["closed"]
    assert len(wire.transport.writes) == int(served)


def test_a_response_may_take_its_time() -> None:
    """No deadline runs while the request is handled."""
    wire = Wire(limits=HttpLimits(idle_timeout=5.0, header_timeout=5.0, body_timeout=5.0, write_stall=5.0))
    request, _ = wire.request()
    wire.seconds(1000)
    request.start_stream(200, JSON)
    wire.seconds(1000)
    assert wire.transport.ended == []


def test_a_stray_line_break_starts_no_request() -> None:
    """An empty line after a body, as old clients send it, is not a head that takes too long."""
    wire = Wire(answer_ok, limits=HttpLimits(header_timeout=5.0, idle_timeout=60.0))
    wire.receive(post(b"x") + b"\r\n")
    wire.receive(post(b"x"))
    wire.receive(b"\r")
    wire.receive(b"\n")
    wire.seconds(10)
    assert len(wire.transport.writes) == 2
    assert wire.transport.ended == []


def test_a_reader_that_stalls_is_dropped() -> None:
    """A stream whose transport is paused for too long is aborted, and its watcher told."""
    wire = Wire(limits=HttpLimits(write_stall=5.0))
    request, notes = wire.request()
    request.start_stream(200, JSON)
    wire.channel.pauseProducing()
    wire.seconds(5)
    assert wire.transport.ended == []
    wire.seconds(1)
    assert wire.transport.ended == ["aborted"]
    assert notes.told == ["pause", "lost"]


def test_writing_on_does_not_help_a_reader_that_stalls() -> None:
    """The transport says at each write that it is full; the deadline stays that of the first time."""
    wire = Wire(limits=HttpLimits(write_stall=5.0))
    request, _ = wire.request()
    request.start_stream(200, JSON)
    for _ in range(6):
        wire.channel.pauseProducing()
        wire.seconds(1)
    assert wire.transport.ended == ["aborted"]


def test_a_reader_that_catches_up_is_not_dropped() -> None:
    """Each pause has its own deadline."""
    wire = Wire(limits=HttpLimits(write_stall=5.0))
    request, _ = wire.request()
    request.start_stream(200, JSON)
    for _ in range(3):
        wire.channel.pauseProducing()
        wire.seconds(4)
        wire.channel.resumeProducing()
    wire.seconds(100)
    assert wire.transport.ended == []


def test_a_client_that_never_reads_is_not_read() -> None:
    """Answers that nobody reads must not pile up: no next request is read, and the connection is dropped in time."""
    wire = Wire(limits=HttpLimits(write_stall=5.0))
    request, _ = wire.request()
    wire.channel.pauseProducing()
    request.answer(200, JSON, b"{}")
    assert wire.transport.producerState == "paused"
    wire.seconds(6)
    assert wire.transport.ended == ["aborted"]


def test_pipelined_requests_wait_for_a_reader() -> None:
    """Requests that came together must not pile up their answers either; they are answered when there is room."""
    wire = Wire(answer_ok, limits=HttpLimits(header_timeout=5.0, write_stall=20.0))
    remember = wire.transport.write

    def fill(data: bytes) -> None:
        remember(data)
        wire.channel.pauseProducing()

    wire.transport.write = fill  # type: ignore[method-assign]
    wire.receive(post(b"1") + post(b"2") + post(b"3"))
    for number in (1, 2, 3):
        assert [answer[-1:] for answer in wire.transport.writes] == [b"1", b"2", b"3"][:number]
        wire.seconds(10)
        wire.channel.resumeProducing()
    assert len(wire.transport.writes) == 3
    assert wire.transport.producerState == "producing"


def test_a_client_that_reads_late_is_read_again() -> None:
    """When the answers have gone out, the connection is idle, with the deadline of an idle one."""
    wire = Wire(limits=HttpLimits(write_stall=5.0, idle_timeout=50.0))
    request, _ = wire.request()
    wire.channel.pauseProducing()
    request.answer(200, JSON, b"{}")
    wire.channel.resumeProducing()
    assert wire.transport.producerState == "producing"
    wire.seconds(50)
    assert wire.transport.ended == []


def test_a_close_that_hangs_is_cut_short() -> None:
    """A client that does not read the last bytes can't keep the connection open."""
    wire = Wire(answer_ok, limits=HttpLimits(write_stall=5.0))
    wire.transport.loseConnection = lambda: wire.transport.ended.append("closing")  # it never ends
    wire.receive(post(b"x", b"Connection: close\r\n"))
    wire.seconds(6)
    assert wire.transport.ended == ["closing", "aborted"]


# Pipelining


def test_requests_that_are_answered_at_once_may_be_pipelined() -> None:
    """They are answered in order."""
    wire = Wire(answer_ok)
    answers = wire.receive(post(b"1") + GET + post(b"3") + b"GET / HT")
    assert [part[-1:] for part in answers.split(b"HTTP/1.1 200 OK")[1:]] == [b"1", b"k", b"3"]
    assert body(wire.receive(b"TP/1.1\r\nHost: a\r\n\r\n")) == b"ok"


def test_the_rest_of_a_pipelined_head_has_a_deadline() -> None:
    """A head that began behind another request is not idle."""
    wire = Wire(answer_ok, limits=HttpLimits(header_timeout=5.0))
    wire.receive(GET + b"GET / HTTP/1.1\r\n")
    wire.seconds(6)
    assert b" 408 " in wire.transport.value()


@pytest.mark.parametrize("together", [True, False])
@pytest.mark.parametrize("first", [GET, post(b"x"), CHUNKED + b"1\r\nx\r\n0\r\n\r\n"])
def test_what_comes_behind_a_running_response_is_dropped(first: bytes, together: bool) -> None:
    """Reading goes on, for the end of the connection to be seen, and the connection is not used again (T2)."""
    wire = Wire()
    if together:
        wire.receive(first + post(b"behind"))
    else:
        wire.receive(first)
        for _ in range(10):
            wire.receive(post(b"x" * 10_000))
    assert wire.transport.producerState == "producing"
    wire.requests[0].answer(200, JSON, b"{}")
    assert len(wire.requests) == 1
    assert b"Connection: close\r\n" in wire.transport.value()
    assert wire.transport.ended == ["half"]
    wire.seconds(3)
    assert wire.transport.ended == ["half", "closed"]


def test_a_line_break_behind_a_running_response_does_no_harm() -> None:
    """It is the slip of an old client, not a second request."""
    wire = Wire()
    request, _ = wire.request(post(b"x"))
    wire.receive(b"\r\n")
    request.answer(200, JSON, b"{}")
    assert wire.transport.ended == []


# Half-close


def test_a_client_that_shuts_its_sending_half_gets_its_response() -> None:
    """Twisted would take it for gone; here only the watcher is told."""
    wire = Wire()
    request, notes = wire.request()
    request.start_stream(200, JSON)
    wire.channel.readConnectionLost()
    assert notes.told == ["input ended"]
    request.end_stream(b"last")
    assert wire.transport.value().endswith(b"4\r\nlast\r\n0\r\n\r\n")
    assert wire.transport.ended == ["closed"]


@pytest.mark.parametrize("sent", [b"", b"GET / HT", HEAD + b"Content-Length: 9\r\n\r\n"])
def test_an_eof_without_a_request_ends_the_connection(sent: bytes) -> None:
    """There is nothing to answer."""
    wire = Wire()
    if sent:
        wire.receive(sent)
    wire.channel.readConnectionLost()
    assert wire.transport.ended == ["closed"]
    assert wire.transport.writes == []


def test_an_eof_can_be_answered_at_once() -> None:
    """A watcher may finish when it hears that the input has ended; no probe is left."""
    wire = Wire()
    request, notes = wire.request()
    notes.on_input_ended = lambda: request.answer(200, JSON, b"{}")
    wire.channel.readConnectionLost()
    assert wire.transport.ended == ["closed"]
    wire.turn()
    wire.site.stop_sweep()
    assert wire.clock.getDelayedCalls() == []


def test_no_probe_outlives_the_connection() -> None:
    """The timers that look after a half-closed client go with it."""
    wire = Wire()
    wire.request()
    wire.channel.readConnectionLost()
    wire.transport.lose()
    wire.site.stop_sweep()
    assert wire.clock.getDelayedCalls() == []


def test_reading_is_not_taken_up_after_an_eof() -> None:
    """The descriptor would be readable for ever."""
    wire = Wire()
    request, _ = wire.request()
    request.start_stream(200, JSON)
    wire.channel.readConnectionLost()
    wire.transport.pauseProducing()
    wire.channel.pauseProducing()
    wire.channel.resumeProducing()
    assert wire.transport.producerState == "paused"


def test_what_we_use_of_twisted_is_there() -> None:
    """Private names that the channel builds on; if one goes, this says which."""
    channel = http.HTTPChannel()
    assert channel._dataBuffer == []
    assert channel._handlingRequest is False
    assert channel._waitingForTransport is False
    assert (channel._receivedHeaderCount, channel._receivedHeaderSize) == (0, 0)
    assert channel._requestProducer is None
    assert list(inspect.signature(channel._maybeChooseTransferDecoder).parameters) == ["header", "data"]
    assert list(inspect.signature(channel._respondToBadRequestAndDisconnect).parameters) == []
    assert "_networkProducer" in inspect.getsource(http.HTTPChannel.connectionMade)
    assert {"_command", "_path", "_version"} <= set(http.HTTPChannel.lineReceived.__code__.co_names)
    transport = tcp.Connection(socket.socket(), McpChannel(Wire().site), reactor=object())
    transport.socket.close()
    assert (transport._tempDataLen, transport.dataBuffer, transport._writeDisconnecting) == (0, b"", False)
    assert transport.TLS is False
    assert IHalfCloseableProtocol.providedBy(transport.protocol)


# Real sockets


@attrs.define
class Loopback:
    """A site on a real port, and blocking clients in threads."""

    reactor: Any
    site: McpSite
    port: Any
    notes: list[Notes]
    requests: list[McpRequest]
    opened: list[socket.socket] = attrs.Factory(list)

    def connect(self, sent: bytes) -> socket.socket:
        """Connect and send."""
        client = socket.create_connection(("127.0.0.1", self.port.getHost().port), timeout=5)
        self.opened.append(client)
        client.sendall(sent)
        return client

    def connect_with_tls(self, sent: bytes) -> socket.socket:
        """Connect, shake hands and send; blocks, so call it in a thread."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        client = context.wrap_socket(self.connect(b""), suppress_ragged_eofs=False)
        self.opened.append(client)
        client.sendall(sent)
        return client

    async def until(self, condition: Callable[[], object]) -> None:
        """Turn the reactor until something is so; the test's deadline ends it otherwise."""
        while not condition():
            await deferLater(self.reactor, 0.001)


class ServerTls(ContextFactory):
    """The side of a server, with a certificate of its own making."""

    def getContext(self) -> SSL.Context:
        """Make it."""
        context = SSL.Context(SSL.TLS_METHOD)
        key, certificate = self_signed()
        context.use_privatekey(key)
        context.use_certificate(certificate)
        return context


def self_signed() -> tuple[ec.EllipticCurvePrivateKey, x509.Certificate]:
    """A key and its certificate."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    start = datetime.datetime(2020, 1, 1)
    built = x509.CertificateBuilder(name, name, key.public_key(), 1, start, datetime.datetime(2120, 1, 1))
    return key, built.sign(key, hashes.SHA256())


def read_all(client: socket.socket) -> bytes:
    """Read to the end."""
    return b"".join(iter(lambda: client.recv(65536), b""))


@pytest.fixture
def loopback(running_reactor: Any) -> Iterator[Callable[..., Loopback]]:
    """Makes sites on real ports."""
    made: list[Loopback] = []

    def make(limits: HttpLimits = DEFAULT, tls: bool = False) -> Loopback:
        notes: list[Notes] = []
        requests: list[McpRequest] = []

        def route(request: McpRequest) -> Any:
            notes.append(Notes())
            requests.append(request)
            request.watch(notes[-1])
            return NOT_DONE_YET

        clock: IReactorTime = running_reactor
        site = McpSite(Scripted(route), clock=clock, limits=limits, refusal=refusal)
        if tls:
            port = running_reactor.listenSSL(0, site, ServerTls(), interface="127.0.0.1")
        else:
            port = running_reactor.listenTCP(0, site, interface="127.0.0.1")
        made.append(Loopback(running_reactor, site, port, notes, requests))
        return made[-1]

    yield make
    for one in made:
        one.port.stopListening()
        for client in one.opened:
            client.close()
        for channel in list(one.site.connections):
            channel.transport.abortConnection()  # type: ignore[attr-defined]


async def test_a_half_closed_client_reads_to_the_end(loopback: Callable[..., Loopback]) -> None:
    """Real EOF, real response."""
    server = loopback()
    client = server.connect(GET)
    client.shutdown(socket.SHUT_WR)
    await server.until(lambda: server.notes and server.notes[0].told)
    server.requests[0].start_stream(200, JSON, b"first")
    await deferLater(server.reactor, 0.05)
    server.requests[0].end_stream(b"last")
    assert body(await deferToThread(read_all, client)) == b"5\r\nfirst\r\n4\r\nlast\r\n0\r\n\r\n"
    assert server.notes[0].told == ["input ended"]


async def test_a_client_that_closed_is_found_by_a_probe(loopback: Callable[..., Loopback]) -> None:
    """A close looks like a half-close until something is written; then the kernel knows within milliseconds."""
    server = loopback()
    client = server.connect(GET)
    await server.until(lambda: server.requests)
    request, notes = server.requests[0], server.notes[0]
    request.start_stream(200, JSON)
    await deferToThread(client.recv, 65536)
    notes.on_input_ended = lambda: request.send(b":\n\n")
    client.close()
    await server.until(lambda: "input ended" in notes.told)
    ended = server.reactor.seconds()
    await server.until(lambda: "lost" in notes.told)
    assert server.reactor.seconds() - ended < 0.5
    assert notes.told == ["input ended", "lost"]


async def test_a_reset_is_a_loss_at_once(loopback: Callable[..., Loopback]) -> None:
    """No probe is needed for a client that resets."""
    server = loopback()
    client = server.connect(GET)
    await server.until(lambda: server.requests)
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    client.close()
    await server.until(lambda: server.notes[0].told)
    assert server.notes[0].told == ["lost"]


async def test_a_reset_after_a_half_close_is_a_loss(loopback: Callable[..., Loopback]) -> None:
    """The descriptor is no longer watched then; the probes find it."""
    server = loopback()
    client = server.connect(GET)
    client.shutdown(socket.SHUT_WR)
    await server.until(lambda: server.notes and server.notes[0].told)
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    client.close()
    await server.until(lambda: "lost" in server.notes[0].told)
    assert server.notes[0].told == ["input ended", "lost"]


async def test_a_refusal_is_read_by_a_client_that_goes_on_sending(loopback: Callable[..., Loopback]) -> None:
    """The answer is not lost to a reset although megabytes were not read."""
    server = loopback(HttpLimits(body=1000))
    client = server.connect(HEAD + b"Content-Length: 8000000\r\n\r\n")

    def send_then_read() -> bytes:
        client.sendall(b"x" * 8_000_000)
        client.shutdown(socket.SHUT_WR)
        return read_all(client)

    assert status(await deferToThread(send_then_read)) == 413
    assert server.requests == []


async def test_large_and_small_writes_keep_their_order(loopback: Callable[..., Loopback]) -> None:
    """What is sent directly never overtakes what is queued."""
    server = loopback()
    client = server.connect(GET)
    await server.until(lambda: server.requests)
    request = server.requests[0]
    request.clientproto = b"HTTP/1.0"
    request.start_stream(200, JSON)
    expected = b""
    for number in range(300):
        data = b"%d," % number * (1 if number % 3 else 20_000)
        expected += data
        request.send(data)
    reading: Deferred[bytes] = deferToThread(read_all, client)
    server.site.drain()
    request.end_stream()
    assert body(await reading) == expected
    assert "pause" in server.notes[0].told


async def test_a_direct_write_waits_behind_a_queued_one(loopback: Callable[..., Loopback]) -> None:
    """`transport.write` sends in the next turn; what comes in this turn has to queue up."""
    server = loopback()
    client = server.connect(b"GET / HTTP/1.0\r\n\r\n")
    await server.until(lambda: server.requests)
    request = server.requests[0]
    request.start_stream(200, JSON)
    request.transport.write(b"first ")
    request.send(b"second")
    request.end_stream()
    assert body(await deferToThread(read_all, client)) == b"first second"


async def test_a_direct_write_to_a_dead_socket_is_a_loss(loopback: Callable[..., Loopback]) -> None:
    """An error of `send` is left to the transport, which reports it in a turn of its own."""
    server = loopback()
    client = server.connect(GET)
    await server.until(lambda: server.requests)
    server.requests[0].start_stream(200, JSON)
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    client.close()
    transport = server.requests[0].transport
    for _ in range(3):
        send_now(transport, b"x")
    assert server.notes[0].told == []
    await server.until(lambda: "lost" in server.notes[0].told)
    assert server.notes[0].told.count("lost") == 1


async def test_a_response_goes_through_tls(loopback: Callable[..., Loopback]) -> None:
    """Direct writes are for plain connections; here the bytes take the way through the TLS wrapper."""
    server = loopback(tls=True)
    client = await deferToThread(server.connect_with_tls, post(b"x", b"Connection: close\r\n"))
    await server.until(lambda: server.requests)
    server.requests[0].start_stream(200, JSON, b"first")
    server.requests[0].end_stream(b"last")
    assert body(await deferToThread(read_all, client)) == b"5\r\nfirst\r\n4\r\nlast\r\n0\r\n\r\n"


async def test_a_refusal_goes_through_tls(loopback: Callable[..., Loopback]) -> None:
    """The wrapper hands `loseWriteConnection` on to the socket, so that TLS could no longer be ended in good order."""
    server = loopback(HttpLimits(body=10, linger=0.0), tls=True)
    client = await deferToThread(server.connect_with_tls, HEAD + b"Content-Length: 1000\r\n\r\n")
    assert status(await deferToThread(read_all, client)) == 413


async def test_an_eof_under_tls_is_a_loss(loopback: Callable[..., Loopback]) -> None:
    """Half-closes do not come through Twisted's TLS wrapper."""
    server = loopback(tls=True)
    client = await deferToThread(server.connect_with_tls, GET)
    await server.until(lambda: server.requests)
    client.shutdown(socket.SHUT_WR)
    await server.until(lambda: server.notes[0].told)
    assert server.notes[0].told == ["lost"]
