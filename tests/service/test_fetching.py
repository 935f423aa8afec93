"""Questions to issuers over real sockets: bounded in time and size, no redirects, nothing left behind."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import attrs
import pytest
from twisted.internet.defer import Deferred, inlineCallbacks
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.task import deferLater

from mcpserve.errors import IssuerUnavailable
from mcpserve.service.fetching import Fetcher

JSON = b'{"issuer": "us"}'


def answer(body: bytes = JSON, status: bytes = b"200 OK", headers: bytes = b"") -> bytes:
    """A whole answer."""
    return b"HTTP/1.1 %b\r\nContent-Length: %d\r\n%b\r\n%b" % (status, len(body), headers, body)


class Talker(Protocol):
    """Says the next of its factory's answers to each request; None closes the connection without a word."""

    factory: Any

    def connectionMade(self) -> None:
        """Count."""
        self.factory.server.connections.append(self)

    def dataReceived(self, data: bytes) -> None:
        """Answer."""
        server = self.factory.server
        server.requests.append(data)
        said = server.answers.pop(0) if len(server.answers) > 1 else server.answers[0]
        if said is None:
            self.transport.abortConnection()
        else:
            self.transport.write(said)

    def connectionLost(self, reason: Any = None) -> None:
        """Count."""
        self.factory.server.connections.remove(self)


@attrs.define
class Server:
    """An issuer that answers as it is told to."""

    answers: list[bytes | None] = attrs.field(factory=lambda: [answer()])
    requests: list[bytes] = attrs.field(factory=list)
    connections: list[Talker] = attrs.field(factory=list)
    url: str = ""


@pytest.fixture
def server(running_reactor: Any) -> Iterator[Server]:
    """It listens on loopback."""
    server = Server()
    factory: Any = Factory.forProtocol(Talker)
    factory.noisy, factory.server = False, server
    port = running_reactor.listenTCP(0, factory, interface="127.0.0.1")
    server.url = f"http://127.0.0.1:{port.getHost().port}/x"
    yield server
    port.stopListening()
    for connection in list(server.connections):
        connection.transport.abortConnection()


@pytest.fixture
def fetcher(running_reactor: Any) -> Iterator[Fetcher]:
    """Patient for a second."""
    fetcher = Fetcher(running_reactor, timeout=1.0, limit=1000)
    yield fetcher
    fetcher.close()


def get(fetcher: Fetcher, url: str) -> Deferred[Any]:
    """Ask."""
    return Deferred.fromCoroutine(fetcher.get(url))


@inlineCallbacks
def test_a_document(server: Server, fetcher: Fetcher) -> Any:
    """It is read, and the connection is kept for the next one."""
    for _ in range(2):
        found = yield get(fetcher, server.url)
        assert found == (200, {"issuer": "us"})
    assert len(server.connections) == 1
    assert b"Accept: application/json" in server.requests[0]


@inlineCallbacks
def test_other_statuses(server: Server, fetcher: Fetcher) -> Any:
    """They are given back without a document, redirects too: nobody is led elsewhere."""
    server.answers = [answer(b"", b"302 Found", b"Location: %b/y\r\n" % server.url.encode())]
    assert (yield get(fetcher, server.url)) == (302, None)
    server.answers = [answer(b"<html>", b"500 Oops")]
    assert (yield get(fetcher, server.url)) == (500, None)
    assert len(server.requests) == 2


@inlineCallbacks
def test_a_form(server: Server, fetcher: Fetcher) -> Any:
    """It is encoded, and the headers go with it."""
    asked = fetcher.post(server.url, {"token": "a+b=="}, {"Authorization": "Basic eA=="})
    yield Deferred.fromCoroutine(asked)
    assert b"token=a%2Bb%3D%3D" in server.requests[0]
    assert b"Authorization: Basic eA==" in server.requests[0]


HUGE = b"x" * 1001


@pytest.mark.parametrize(
    ("said", "words"),
    [
        (answer(b"<html>"), "did not answer with JSON"),
        (answer(b""), "did not answer with JSON"),
        (answer(b"[" * 900), "did not answer with JSON"),
        (answer(HUGE), "larger than 1000 bytes"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + b"fff\r\n" + b"x" * 2000, "larger than 1000"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\n{", "gave no answer in 1 s"),
        (b"HTTP/1.1 200", "gave no answer in 1 s"),
        (b"", "gave no answer in 1 s"),
        (b"SSH-2.0-OpenSSH\r\n", "gave no answer"),
        (None, "gave no answer"),
    ],
)
@inlineCallbacks
def test_what_is_no_answer(
    server: Server, fetcher: Fetcher, running_reactor: Any, said: bytes | None, words: str
) -> Any:
    """A sentence that names the URL or the bound; the connection is closed."""
    server.answers = [said]
    with pytest.raises(IssuerUnavailable, match=words):
        yield get(fetcher, server.url)
    # a connection that is closed after a whole answer goes through the pool
    yield deferLater(running_reactor, 0.05)
    # who was silent for too long is not asked again, who closed the connection is
    assert len(server.requests) == (2 if said is None else 1)


@inlineCallbacks
def test_nobody_listens(fetcher: Fetcher) -> Any:
    """The same."""
    with pytest.raises(IssuerUnavailable, match=r"http://127\.0\.0\.1:1/ gave no answer \(ConnectionRefusedError\)"):
        yield get(fetcher, "http://127.0.0.1:1/")


@inlineCallbacks
def test_a_connection_that_was_closed_meanwhile(server: Server, fetcher: Fetcher) -> Any:
    """The question is asked once more, on a new one."""
    yield get(fetcher, server.url)
    server.answers = [None, answer()]
    asked = fetcher.post(server.url, {"token": "a"}, {})
    assert (yield Deferred.fromCoroutine(asked)) == (200, {"issuer": "us"})
    assert len(server.requests) == 3


@inlineCallbacks
def test_cancelling(server: Server, fetcher: Fetcher, running_reactor: Any) -> Any:
    """The connection is closed."""
    server.answers = [b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\n{"]
    asked = get(fetcher, server.url)
    asked.addErrback(lambda failure: None)
    yield deferLater(running_reactor, 0.1)
    asked.cancel()
    yield asked
