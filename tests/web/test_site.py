"""What the connections of a site share: the sweep, the date, the drain."""

from __future__ import annotations

from typing import Any

import pytest
from twisted.internet.task import Clock
from twisted.web.server import NOT_DONE_YET

from mcpserve.web.request import McpRequest
from mcpserve.web.site import HttpLimits, McpSite
from tests.web.memory_http import GET, JSON, Scripted, Wire, post, refusal, status


def answer_ok(request: McpRequest) -> Any:
    """A route that answers at once."""
    request.answer(200, JSON, b"ok")
    return NOT_DONE_YET


def test_limits_are_there_by_default() -> None:
    """A site that nobody configured is not an open door."""
    limits = HttpLimits()
    assert (limits.body, limits.header_bytes, limits.header_count) == (4_194_304, 16_384, 100)
    assert (limits.header_timeout, limits.body_timeout, limits.idle_timeout) == (10.0, 30.0, 60.0)
    assert (limits.linger, limits.write_stall) == (2.0, 30.0)


def test_requests_set_no_timers() -> None:
    """One timer for the whole site, however many connections and requests there are."""
    wire = Wire(answer_ok)
    for _ in range(3):
        wire.connect()
        wire.receive(post(b"x"))
    assert len(wire.clock.getDelayedCalls()) == 1


def test_the_sweep_runs_while_the_site_is_served() -> None:
    """From the first port to the last connection: the port of a draining server closes before its connections do."""
    clock = Clock()
    site = McpSite(Scripted(answer_ok), clock=clock, refusal=refusal)
    assert clock.getDelayedCalls() == []
    site.doStart()
    assert len(clock.getDelayedCalls()) == 1
    site.doStop()
    assert clock.getDelayedCalls() == []


def test_the_sweep_outlives_the_port_while_there_are_connections() -> None:
    """Deadlines hold during a drain as well."""
    wire = Wire(limits=HttpLimits(header_timeout=5.0))
    wire.receive(b"GET / HT")
    wire.site.stopFactory()
    wire.seconds(6)
    assert status(wire.transport.value()) == 408
    wire.transport.lose()
    assert wire.clock.getDelayedCalls() == []


def test_the_sweep_is_started_and_stopped_twice_without_harm() -> None:
    """Both are idempotent."""
    wire = Wire()
    wire.site.start_sweep()
    assert len(wire.clock.getDelayedCalls()) == 1
    wire.site.stop_sweep()
    wire.site.stop_sweep()
    assert wire.clock.getDelayedCalls() == []


def test_a_connection_that_fails_in_the_sweep_keeps_no_other_from_it(flush_logged_errors: Any) -> None:
    """A fault in one connection is logged; the deadlines of the others hold, and the sweep goes on."""

    class Faulty:
        deadline = 1.0

        def overdue(self) -> None:
            raise ValueError

        def check_peer(self) -> None:
            raise AssertionError

        def retire(self) -> None:
            raise AssertionError

    wire = Wire(limits=HttpLimits(idle_timeout=5.0))
    faulty = Faulty()
    wire.site.connections.add(faulty)
    wire.seconds(6)
    assert wire.transport.ended == ["closed"]
    assert len(flush_logged_errors(ValueError)) == 6


def test_the_date_is_of_the_second() -> None:
    """It is formatted once a second, not once a request."""
    wire = Wire(answer_ok)
    assert b"Date: Thu, 01 Jan 1970 00:00:00 GMT\r\n" in wire.receive(GET)
    wire.seconds(3)
    assert b"Date: Thu, 01 Jan 1970 00:00:03 GMT\r\n" in wire.receive(GET)


def test_a_refusal_in_a_later_second_has_its_date() -> None:
    """The cached heads go with the second."""
    wire = Wire(answer_ok)
    wire.receive(GET)
    wire.seconds(1)
    assert b"00:00:01 GMT" in wire.receive(b"x\r\n")


def test_only_http_1_1_is_negotiated() -> None:
    """HTTP/2 costs three times as much here, and one unread stream would pause its siblings."""
    assert Wire().site.acceptableProtocols() == [b"http/1.1"]


def test_connections_are_known_while_they_live() -> None:
    """One comes with each client and goes with it."""
    wire = Wire()
    other = wire.connect()
    assert wire.site.connections == {wire.channel, other.protocol}
    other.lose()
    assert wire.site.connections == {wire.channel}


def test_a_drain_closes_what_is_idle_and_was_used() -> None:
    """At once; a fresh connection gets a second for the request that may be on its way."""
    wire = Wire(answer_ok)
    wire.receive(GET)
    wire.seconds(2)
    fresh = wire.connect()
    wire.site.drain()
    assert wire.transport.ended == ["closed"]
    assert fresh.ended == []
    wire.seconds(1)
    assert fresh.ended == ["closed"]


def test_a_drain_serves_the_next_request_of_a_busy_connection() -> None:
    """A client that has just got an answer may have sent more; if it has not, its connection is closed in a second."""
    wire = Wire(answer_ok)
    wire.receive(GET)
    silent = wire.connect()
    silent.protocol.dataReceived(GET)
    wire.site.drain()
    assert wire.site.expected
    assert b"Connection: close\r\n" in wire.receive(GET)
    assert wire.transport.ended == ["closed"]
    wire.seconds(1)
    assert silent.ended == ["closed"]
    assert not wire.site.expected


def test_a_drain_serves_the_request_that_was_on_its_way() -> None:
    """A fresh connection's only request is answered, and the connection closed."""
    wire = Wire(answer_ok)
    wire.site.drain()
    assert b"Connection: close\r\n" in wire.receive(GET)
    assert wire.transport.ended == ["closed"]


@pytest.mark.parametrize("cut", [10, len(post(b"")), len(post(b"0123456789")) - 1])
def test_a_drain_waits_for_a_request_that_has_begun(cut: int) -> None:
    """Whether its head or its body is still arriving."""
    sent = post(b"0123456789")
    wire = Wire(answer_ok)
    wire.receive(sent[:cut])
    wire.site.drain()
    answer = wire.receive(sent[cut:])
    assert status(answer) == 200
    assert b"Connection: close\r\n" in answer
    assert wire.transport.ended == ["closed"]


def test_a_drain_lets_responses_end() -> None:
    """Streams go on; their connections close with them."""
    wire = Wire()
    request, _ = wire.request()
    request.start_stream(200, JSON)
    wire.site.drain()
    wire.seconds(100)
    request.end_stream(b"last")
    assert wire.transport.value().endswith(b"last\r\n0\r\n\r\n")
    assert wire.transport.ended == ["closed"]


def test_a_drain_twice_is_a_drain() -> None:
    """Nothing is closed twice."""
    wire = Wire(answer_ok)
    wire.receive(GET)
    wire.seconds(2)
    wire.site.drain()
    wire.site.drain()
    assert wire.transport.ended == ["closed"]


def test_nothing_is_written_to_an_access_log() -> None:
    """Twisted's costs as much as a request."""
    wire = Wire(lambda request: b"ok")
    wire.receive(GET)
    assert wire.site._logFile is None
