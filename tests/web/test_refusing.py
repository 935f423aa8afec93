"""Refusing a request that is still on its way, and counting what arrives."""

from __future__ import annotations

import attrs
import pytest
from twisted.internet.error import ConnectionLost
from twisted.python.failure import Failure

from mcpserve.web.site import HttpLimits
from tests.web.memory_http import CHUNKED, HEAD, Wire, answer_ok, post, status


def test_a_body_of_the_limit_is_taken() -> None:
    """The limit itself is not too large, whichever way the body is framed."""
    wire = Wire(answer_ok, limits=HttpLimits(body=10))
    assert status(wire.receive(post(b"0123456789"))) == 200
    assert status(wire.receive(CHUNKED + b"a\r\n0123456789\r\n0\r\n\r\n")) == 200


def test_a_refused_client_is_listened_to_for_a_while() -> None:
    """Our half is closed at once, the connection only after the linger time, so that the answer can be read."""
    wire = Wire(limits=HttpLimits(body=10, linger=2.0))
    wire.receive(HEAD + b"Content-Length: 1000\r\n\r\n")
    assert wire.transport.producer is None  # or a transport that was paused would never close its half
    for _ in range(2):
        wire.seconds(1)
        wire.receive(b"x" * 100)
    assert wire.transport.ended == ["half"]
    wire.seconds(1)
    assert wire.transport.ended == ["half", "closed"]
    assert wire.site.connections == set()


def test_a_refused_client_that_stops_sending_is_let_go() -> None:
    """Its EOF ends the lingering."""
    wire = Wire(limits=HttpLimits(body=10))
    wire.receive(HEAD + b"Content-Length: 1000\r\n\r\n")
    wire.channel.readConnectionLost()
    assert wire.transport.ended == ["half", "closed"]


def test_large_bodies_share_a_bound() -> None:
    """When all that arrives is too much, a body that is large is refused, and a small one is taken."""
    wire = Wire(answer_ok, limits=HttpLimits(bodies=150_000))
    first, second, third = (wire.connect() for _ in range(3))
    half = HEAD + b"Content-Length: 200000\r\n\r\n" + b"x" * 100_000
    first.protocol.dataReceived(half)
    assert first.value() == b""
    second.protocol.dataReceived(half)
    assert status(second.value()) == 503
    assert b"\r\nRetry-After: " in second.value()
    first.protocol.dataReceived(b"x" * 90_000)
    assert status(first.value()) == 503
    third.protocol.dataReceived(half)
    assert third.value() == b""
    wire.site.limits = attrs.evolve(wire.site.limits, bodies=1)
    assert status(wire.receive(post(b"small"))) == 200


@pytest.mark.parametrize("ending", ["all here", "refused", "lost", "late"])
def test_what_a_body_took_is_given_back(ending: str) -> None:
    """However a body ends, its bytes count no longer."""
    wire = Wire(answer_ok, limits=HttpLimits(body=100))
    wire.receive(HEAD + b"Content-Length: 100\r\n\r\n" + b"x" * 99)
    assert wire.site.arriving == 99
    if ending == "all here":
        wire.receive(b"x")
    elif ending == "refused":
        wire.channel.refuse(400, "No.")
    elif ending == "lost":
        wire.channel.connectionLost(Failure(ConnectionLost()))
    else:
        wire.seconds(60)
    assert wire.site.arriving == 0
