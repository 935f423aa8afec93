"""The agent and the client over sockets: what a kernel does to connections, TLS, and the agents of others."""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterator
from io import BytesIO
from typing import Any

import pytest
from twisted.internet.defer import CancelledError, Deferred, ensureDeferred, gatherResults
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.ssl import Certificate, PrivateCertificate, trustRootFromCertificates
from twisted.internet.task import Cooperator, deferLater
from twisted.web import client as twisted_client
from twisted.web.client import BrowserLikePolicyForHTTPS, HTTPConnectionPool
from twisted.web.http_headers import Headers

from mcpserve.client.agent import PoolAgent, target_of
from mcpserve.client.exchange import NotConnected
from mcpserve.client.limits import Limits, Timeouts
from mcpserve.client.web import Answer, Web
from mcpserve.errors import AnswerLost, DeadlinePassed, Unreachable
from tests.client.network import Network, answer, chunk, head, stream
from tests.client.server_certificate import self_signed

TIMEOUTS = Timeouts(connect=5, head=5, idle=5)


class Listener:
    """A socket that a test accepts connections of by hand; what is done to one is done before the reactor turns."""

    def __init__(self, reactor: Any) -> None:
        self.reactor = reactor
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.socket.setblocking(False)
        self.peers: list[socket.socket] = []

    @property
    def url(self) -> str:
        """Where it is."""
        return f"http://127.0.0.1:{self.socket.getsockname()[1]}/"

    async def accept(self) -> socket.socket:
        """The next connection."""
        while True:
            try:
                peer, _ = self.socket.accept()
            except BlockingIOError:
                await deferLater(self.reactor, 0.005)
            else:
                peer.setblocking(False)
                self.peers.append(peer)
                return peer

    async def receive(self, peer: socket.socket, end: bytes = b"{}", size: int = 0) -> bytes:
        """What a client says, up to an end and a size."""
        data = b""
        while not data.endswith(end) or len(data) < size:
            try:
                data += peer.recv(1 << 20)
            except BlockingIOError:
                await deferLater(self.reactor, 0.005)
        return data

    def reset(self, peer: socket.socket) -> None:
        """Close with RST."""
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        peer.close()

    def close(self) -> None:
        """Close all."""
        for one in (self.socket, *self.peers):
            one.close()


@pytest.fixture
def listener(running_reactor: Any) -> Iterator[Listener]:
    """A listening socket."""
    found = Listener(running_reactor)
    yield found
    found.close()


def _web(reactor: Any, **more: Any) -> Web:
    return Web(reactor, timeouts=TIMEOUTS, limits=Limits(), **more)


async def _exchange(web: Web, listener: Listener, *pieces: bytes) -> tuple[Answer, socket.socket]:
    """A request over a new connection, and an answer by hand."""
    sending = ensureDeferred(web.send("POST", listener.url, {}, b"{}"))
    peer = await listener.accept()
    await listener.receive(peer)
    for piece in pieces:
        peer.sendall(piece)
    return await sending, peer


@pytest.mark.parametrize("how", ["close", "reset"])
async def test_server_closes_before_the_next_request(listener: Listener, how: str) -> None:
    """A connection that was closed in this very moment, unknown to the reactor, fails nobody."""
    web = _web(listener.reactor)
    first, peer = await _exchange(web, listener, answer(b"[1]"))
    assert await first.whole() == b"[1]"
    peer.close() if how == "close" else listener.reset(peer)
    second, _ = await _exchange(web, listener, answer(b"[2]"))
    assert await second.whole() == b"[2]"
    await web.close()


async def test_nothing_was_sent(listener: Listener) -> None:
    """A connection that can't be written to says so, and the request goes over another one."""
    agent = PoolAgent(listener.reactor, idle=8)
    web = _web(listener.reactor, agent=agent)
    first, peer = await _exchange(web, listener, answer(b"[1]"))
    await first.whole()
    (connection,) = agent._open
    # The look at the connection before its use is left out, as a close may come right after it.
    connection._poll = None
    listener.reset(peer)
    second, _ = await _exchange(web, listener, answer(b"[2]"))
    assert await second.whole() == b"[2]"
    await web.close()


async def test_reset_at_the_head(listener: Listener) -> None:
    """A server that resets the connection instead of an answer has lost it."""
    web = _web(listener.reactor)
    sending = ensureDeferred(web.send("POST", listener.url, {}, b"{}"))
    peer = await listener.accept()
    await listener.receive(peer)
    listener.reset(peer)
    with pytest.raises(AnswerLost):
        await sending
    await web.close()


@pytest.mark.parametrize("start", [head("Content-Length: 9") + b"[", stream() + chunk(b"["), head() + b"["])
async def test_reset_within_the_body(listener: Listener, start: bytes) -> None:
    """A reset is no end of any body."""
    web = _web(listener.reactor)
    found, peer = await _exchange(web, listener, start)
    reading = ensureDeferred(found.whole())
    listener.reset(peer)
    with pytest.raises(AnswerLost):
        await reading
    await web.close()


async def test_nobody_listens(listener: Listener) -> None:
    """A port where nobody listens is unreachable."""
    url = listener.url
    listener.close()
    web = _web(listener.reactor)
    with pytest.raises(Unreachable, match="refused"):
        await web.send("POST", url, {}, b"{}")
    await web.close()


async def test_large_request(listener: Listener) -> None:
    """A request that the socket does not take at once is sent as a whole, and the next one after it."""
    web = _web(listener.reactor)
    body = b"x" * 3_000_000 + b"{}"
    sending = ensureDeferred(web.send("POST", listener.url, {}, body))
    peer = await listener.accept()
    received = await listener.receive(peer, size=len(body))
    assert received.partition(b"\r\n\r\n")[2] == body
    peer.sendall(answer(b"[1]"))
    assert await (await sending).whole() == b"[1]"
    sending = ensureDeferred(web.send("POST", listener.url, {}, b"{}"))
    await listener.receive(peer)
    peer.sendall(answer(b"[2]"))
    assert await (await sending).whole() == b"[2]"
    await web.close()


async def test_answer_before_the_request_was_read(listener: Listener) -> None:
    """A server may answer before it has read all; what it reads then is the rest, and only after that the next one."""
    web = _web(listener.reactor)
    body = b"x" * 8_000_000 + b"{}"
    sending = ensureDeferred(web.send("POST", listener.url, {}, body))
    peer = await listener.accept()
    await listener.receive(peer, end=b"x")
    peer.sendall(answer(b"[1]"))
    assert await (await sending).whole() == b"[1]"
    sending = ensureDeferred(web.send("POST", listener.url, {}, b"<>"))
    received = await listener.receive(peer, end=b"<>")
    assert received.startswith(b"x")
    assert b"x{}POST / HTTP/1.1\r\n" in received
    peer.sendall(answer(b"[2]"))
    assert await (await sending).whole() == b"[2]"
    await web.close()


async def test_large_answer_to_a_slow_reader(listener: Listener) -> None:
    """The kernel holds what we do not read; all of it comes when we do."""
    web = _web(listener.reactor)
    found, peer = await _exchange(web, listener, stream())
    frame = chunk(b"data: " + b"x" * 1000 + b"\n\n")
    unsent = memoryview(frame * 20_000 + chunk(b""))

    async def say() -> None:
        nonlocal unsent
        while unsent:
            try:
                unsent = unsent[peer.send(unsent) :]
            except BlockingIOError:
                await deferLater(listener.reactor, 0.002)

    saying = ensureDeferred(say())
    await deferLater(listener.reactor, 0.2)
    assert len(unsent) > 5_000_000
    events = 0
    while await found.next_event() is not None:
        events += 1
    await saying
    assert events == 20_000
    await web.close()


async def test_cancel_is_seen_by_the_server(listener: Listener) -> None:
    """When an answer is given up, the server sees its connection closed."""
    web = _web(listener.reactor)
    found, peer = await _exchange(web, listener, stream() + chunk(b":\n\n"))
    found.abort()
    await deferLater(listener.reactor, 0.05)
    with pytest.raises(ConnectionResetError):
        peer.recv(100)
    await web.close()


# --- TLS


class Canned(Protocol):
    """Answers each piece of input with the same bytes."""

    def dataReceived(self, data: bytes) -> None:
        """Answer."""
        assert self.transport is not None
        self.transport.write(answer(b"[1]"))


class Mute(Protocol):
    """Says nothing."""


async def _with_tls(reactor: Any, certificate: PrivateCertificate, web: Web, times: int = 1) -> list[bytes]:
    port = reactor.listenSSL(0, Factory.forProtocol(Canned), certificate.options(), interface="127.0.0.1")
    try:
        url = f"https://localhost:{port.getHost().port}/"
        return [await (await web.send("POST", url, {}, b"{}")).whole() for _ in range(times)]
    finally:
        await web.close()
        await port.stopListening()


# Twisted's own way to serve a certificate.
AS_TWISTED_DOES = pytest.mark.filterwarnings("ignore:Passing pyOpenSSL:DeprecationWarning")


@AS_TWISTED_DOES
async def test_tls(running_reactor: Any) -> None:
    """A server that is trusted is asked, twice over the same connection."""
    certificate = self_signed("localhost")
    trust = trustRootFromCertificates([Certificate(certificate.original)])
    agent = PoolAgent(running_reactor, idle=8, policy=BrowserLikePolicyForHTTPS(trust))
    found = await _with_tls(running_reactor, certificate, _web(running_reactor, agent=agent), times=2)
    assert found == [b"[1]", b"[1]"]


@AS_TWISTED_DOES
@pytest.mark.parametrize("name", ["localhost", "other.example"])
async def test_tls_is_verified(running_reactor: Any, name: str) -> None:
    """A server that nobody vouches for, or that is another one, is unreachable, and gets to see nothing."""
    certificate = self_signed(name)
    agent = None
    if name != "localhost":
        trust = trustRootFromCertificates([Certificate(certificate.original)])
        agent = PoolAgent(running_reactor, idle=8, policy=BrowserLikePolicyForHTTPS(trust))
    with pytest.raises(Unreachable) as raised:
        await _with_tls(running_reactor, certificate, _web(running_reactor, agent=agent))
    assert ("verify failed" if name == "localhost" else "another host") in str(raised.value)


async def test_tls_that_does_not_come_about(running_reactor: Any) -> None:
    """A server that accepts and says nothing is a connection that does not come about in time."""
    port = running_reactor.listenTCP(0, Factory.forProtocol(Mute), interface="127.0.0.1")
    web = _web(running_reactor)
    with pytest.raises(DeadlinePassed) as raised:
        await web.send("POST", f"https://localhost:{port.getHost().port}/", {}, b"{}", Timeouts(connect=0.1))
    assert raised.value.which == "connect"
    await web.close()
    await port.stopListening()


# --- others' agents, and our own by itself


async def test_agent_of_twisted(listener: Listener) -> None:
    """What another agent brings is read in the same way, paused and aborted too."""
    pool = HTTPConnectionPool(listener.reactor)
    agent = twisted_client.Agent(listener.reactor, pool=pool)  # noqa: TID251  # the agent that ours stands in for
    web = _web(listener.reactor, agent=agent)
    found, peer = await _exchange(web, listener, stream(), chunk(b"data: 1\n\n"))
    event = await found.next_event()
    assert event is not None
    assert event.data == b"1"
    waiting = ensureDeferred(found.next_event())
    listener.reset(peer)
    with pytest.raises(AnswerLost):
        await waiting
    found, peer = await _exchange(web, listener, stream())
    found.abort()
    found, peer = await _exchange(web, listener, answer(b"[1]"))
    assert await found.whole() == b"[1]"
    await web.close()
    await pool.closeCachedConnections()
    await deferLater(listener.reactor, 0.05)


async def test_agent_of_twisted_that_reaches_nobody(listener: Listener) -> None:
    """Its errors are told as ours are."""
    url = listener.url
    listener.close()
    web = _web(listener.reactor, agent=twisted_client.Agent(listener.reactor))  # noqa: TID251  # as above
    with pytest.raises(Unreachable):
        await web.send("POST", url, {}, b"{}")
    await web.close()


@pytest.mark.parametrize("connected", [False, True])
async def test_agent_of_twisted_that_is_cancelled(listener: Listener, connected: bool) -> None:
    """What is cancelled was cancelled, whatever the agent says of it: nobody is to try it again."""
    web = _web(listener.reactor, agent=twisted_client.Agent(listener.reactor))  # noqa: TID251  # as above
    sending = ensureDeferred(web.send("POST", listener.url, {}, b"{}"))
    if connected:
        await listener.accept()
    sending.cancel()
    with pytest.raises(CancelledError):
        await sending
    await web.close()
    await deferLater(listener.reactor, 0.05)


async def test_names_with_underscores(listener: Listener) -> None:
    """A name of a container is asked as it is; over TLS Twisted can't, and that is told."""
    web = _web(listener.reactor)
    with pytest.raises(Unreachable):
        await web.send("POST", "https://my_service.invalid/", {}, b"{}")
    await web.close()


async def test_agent_by_itself(listener: Listener) -> None:
    """Ours is an agent like others: a request without headers or body, and a body for whoever wants it."""
    agent = PoolAgent(listener.reactor, idle=8)
    asking = agent.request(b"GET", listener.url.encode())
    peer = await listener.accept()
    await listener.receive(peer, end=b"\r\n\r\n")
    peer.sendall(answer(b"[1]"))
    response = await asking
    assert (response.code, response.phrase, response.length) == (200, b"OK", 3)
    assert await twisted_client.readBody(response) == b"[1]"
    await agent.close()
    with pytest.raises(NotConnected):
        await agent.request(b"GET", listener.url.encode())


async def test_closing_twice_while_all_is_going_on(listener: Listener) -> None:
    """Whoever closes waits until the last connection is gone."""
    agent = PoolAgent(listener.reactor, idle=8)
    asking: Deferred[Any] = agent.request(b"GET", listener.url.encode(), Headers())
    await listener.accept()
    closing = gatherResults([agent.close(), agent.close()])
    with pytest.raises(Exception, match="abort"):
        await asking
    await closing


def test_answer_that_nobody_reads() -> None:
    """Until its body is asked for, no more of an answer is read than came with its head."""
    network = Network()
    answered: list[Any] = []
    agent = network.agent()
    agent.request(b"GET", b"http://a/").addCallback(answered.append)
    network.link.say(stream() + chunk(b"a"), chunk(b"b"), chunk(b""))
    assert network.link.paused
    read: list[bytes] = []
    twisted_client.readBody(answered[0]).addCallback(read.append)
    assert read == [b"ab"]
    assert agent.close().called is False
    network.turn()
    assert network.leftovers == []


def test_closing_gives_up_connecting() -> None:
    """A connection that is on its way is not waited for."""
    network = Network(hold=True)
    agent = network.agent()
    failed: list[Any] = []
    agent.request(b"GET", b"http://a/").addErrback(failed.append)
    assert agent.close().called
    assert network.given_up == 1
    assert len(failed) == 1


def test_body_that_is_not_in_memory() -> None:
    """A producer that takes its time is refused, and nothing is sent."""
    network = Network()
    failed: list[Any] = []
    producer = twisted_client.FileBodyProducer(BytesIO(b"x"), cooperator=Cooperator(scheduler=lambda f: None))
    agent = network.agent()
    agent.request(b"POST", b"http://a/", None, producer).addErrback(failed.append)
    assert failed[0].check(TypeError)
    assert network.link.asked == b""
    agent.close()


@pytest.mark.parametrize("uri", [b"http://a/ b", b"http://a/\n", b"http://a/\xe4", b"ws://a/", b"/x", b"http://"])
def test_uris_that_cannot_be_asked(uri: bytes) -> None:
    """They are refused before anything is opened."""
    with pytest.raises(ValueError):
        target_of(uri)
