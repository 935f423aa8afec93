"""Requests and answers over connections in memory, and a few over sockets."""

from __future__ import annotations

import gc
from collections.abc import Mapping
from typing import Any

import attrs
import pytest
from twisted.internet.defer import Deferred

from mcpserve.client.answer import Inflow
from mcpserve.client.credentials import ApiKey, BearerToken, Challenge, Credentials, RequestFacts
from mcpserve.client.limits import Limits, Timeouts
from mcpserve.client.web import Answer, Web
from mcpserve.errors import (
    AnswerLost,
    AnswerTooLarge,
    BadAnswer,
    ClientClosed,
    ConfigurationError,
    DeadlinePassed,
    Refused,
    Unauthorized,
    Unreachable,
)
from tests.client.network import REFUSED, Link, Network, Task, answer, chunk, head, stream

URL = "http://server.example:8000/mcp"
TIMEOUTS = Timeouts(connect=10, head=30, idle=60)
LIMITS = Limits(body=1000, event=500, buffer=200)


class Setting:
    """A client and the network that it is in."""

    def __init__(self, *, limits: Limits = LIMITS, timeouts: Timeouts = TIMEOUTS, idle: int = 8, **more: Any) -> None:
        network = {name: more.pop(name) for name in ("refuse", "hold") if name in more}
        self.network = Network(**network)
        agent = self.network.agent(idle)
        self.web = Web(self.network.clock, timeouts=timeouts, limits=limits, agent=agent, **more)

    def send(self, url: str = URL, body: bytes | None = b"{}", method: str = "POST", **more: Any) -> Task:
        """Begin a request."""
        return Task(self.web.send(method, url, {"Accept": "application/json, text/event-stream"}, body, **more))

    def answered(self, *pieces: bytes) -> Answer:
        """The answer to a request, of which so much has come."""
        sending = self.send()
        self.link.say(*pieces)
        found: Answer = sending.result
        return found

    @property
    def link(self) -> Link:
        """The newest connection."""
        return self.network.link

    def wait(self, seconds: float) -> None:
        """Let time pass."""
        self.network.clock.advance(seconds)

    def close(self) -> None:
        """Close, and look whether anything is left."""
        closing = Task(self.web.close())
        self.network.turn()
        assert closing.result is None
        assert self.network.leftovers == []


@pytest.fixture
def setting() -> Setting:
    """A client with small limits."""
    return Setting()


# --- requests and whole bodies


def test_request_on_the_wire(setting: Setting) -> None:
    """A request is one write: the request line, Host, headers, the length, the body; no compression is asked for."""
    sending = setting.send(URL + "?a=b", b"[1]")
    assert not sending.done
    (request,) = setting.link.requests
    first, *lines = request.partition(b"\r\n\r\n")[0].split(b"\r\n")
    assert first == b"POST /mcp?a=b HTTP/1.1"
    assert sorted(lines) == [
        b"Accept: application/json, text/event-stream",
        b"Content-Length: 3",
        b"Host: server.example:8000",
    ]
    assert request.endswith(b"\r\n\r\n[1]")
    setting.close()


def test_no_length_without_a_body(setting: Setting) -> None:
    """A GET has neither body nor length."""
    setting.send(method="GET", body=None)
    assert b"Length" not in setting.link.asked
    setting.close()


def test_head_and_body(setting: Setting) -> None:
    """The head is there before the body is; the body is waited for."""
    sending = setting.send()
    setting.link.say(head("Content-Length: 4", "Mcp-Session-Id: s1", type="Application/JSON; charset=utf-8"))
    received: Answer = sending.result
    assert (received.status, received.media_type) == (200, "application/json")
    assert (received.header("mcp-session-id"), received.header("other")) == ("s1", None)
    reading = Task(received.whole())
    setting.link.say(b"[1", b"]")
    assert not reading.done
    setting.link.say(b"\n")
    assert reading.result == b"[1]\n"
    setting.close()


@pytest.mark.parametrize("step", [1, 3, 50, 1000])
def test_any_cut(setting: Setting, step: int) -> None:
    """However the bytes of an answer are cut, it is the same answer."""
    sending = setting.send()
    data = (
        b"HTTP/1.1 100 Continue\r\n\r\n" + stream("Connection: keep-alive") + chunk(b"abc") + chunk(b"d") + chunk(b"")
    )
    setting.link.say(*[data[at : at + step] for at in range(0, len(data), step)])
    assert Task(sending.result.whole()).result == b"abcd"
    setting.close()


@pytest.mark.parametrize("status", ["400 Bad Request", "404 Not Found", "405 No", "500 Oh", "202 Accepted", "204 None"])
def test_statuses_are_given_back(setting: Setting, status: str) -> None:
    """What other statuses mean is for others to say."""
    body = b"" if status.startswith("204") else b"text"
    found = setting.answered(answer(body, status=status) if body else head(status=status))
    assert found.status == int(status[:3])
    assert Task(found.whole()).result == body
    setting.close()


def test_header_that_is_no_utf8(setting: Setting) -> None:
    """A header with bytes that are no UTF-8 is read with replacements, and stands in nobody's way."""
    sending = setting.send()
    setting.link.say(answer(b"{}").replace(b"\r\n\r\n", b"\r\nX-A: \xe4\r\nSet-Cookie: \xe4=1\r\n\r\n"))
    assert sending.result.header("X-A") == "\ufffd"
    setting.close()


def test_body_too_large(setting: Setting) -> None:
    """A body past the limit ends with an error, before it is read if its length was told."""
    told = setting.answered(head("Content-Length: 1001"))
    assert isinstance(Task(told.whole()).error, AnswerTooLarge)
    assert setting.link.aborted
    setting.network.turn()
    endless = setting.answered(stream())
    reading = Task(endless.whole())
    setting.link.say(chunk(b"x" * 600))
    assert not reading.done
    setting.link.say(chunk(b"x" * 600))
    assert isinstance(reading.error, AnswerTooLarge)
    assert setting.link.aborted
    setting.close()


def test_endless_body_that_nobody_reads(setting: Setting) -> None:
    """Until somebody wants the body, no more than the buffer's worth of it is read."""
    found = setting.answered(head("Transfer-Encoding: chunked"))
    for _ in range(100):
        setting.link.say(chunk(b"x" * 50))
    assert setting.link.paused
    assert setting.link.unread > 4500
    found.abort()
    setting.close()


# --- the connection breaks


def test_refused_connection() -> None:
    """Nobody listens: unreachable, with the server and the reason named."""
    setting = Setting(refuse=REFUSED)
    problem = setting.send(URL + "?secret=1").error
    assert isinstance(problem, Unreachable)
    assert "http://server.example:8000 can't be reached" in str(problem)
    assert "Nobody listens" in str(problem)
    assert "secret" not in str(problem)
    setting.close()


@pytest.mark.parametrize("part", [b"", b"HT", b"HTTP/1.1 200 OK\r\nContent-"])
@pytest.mark.parametrize("how", ["reset", "hang_up"])
def test_broken_before_the_head(setting: Setting, part: bytes, how: str) -> None:
    """A connection that breaks off before the head has come has lost the answer."""
    sending = setting.send()
    setting.link.say(part)
    getattr(setting.link, how)()
    assert isinstance(sending.error, AnswerLost)
    setting.close()


BODIES = {
    "sized": head("Content-Length: 100") + b"x" * 50,
    "chunk": stream() + b"64\r\n" + b"x" * 50,
    "between chunks": stream() + chunk(b"x" * 50),
    "last chunk": stream() + chunk(b"x" * 50) + b"0\r\n",
    "trailers": stream() + chunk(b"x" * 50) + b"0\r\nA: b\r\n",
}


@pytest.mark.parametrize("data", BODIES.values(), ids=BODIES)
@pytest.mark.parametrize("how", ["reset", "hang_up"])
def test_broken_within_the_body(setting: Setting, data: bytes, how: str) -> None:
    """A body that lacks its end is never given as a whole one, however the connection ended."""
    reading = Task(setting.answered(data).whole())
    getattr(setting.link, how)()
    assert isinstance(reading.error, AnswerLost)
    assert "server.example" in str(reading.error)
    setting.close()


def test_body_until_the_close(setting: Setting) -> None:
    """A body without a length ends with its connection, if that is closed in good order."""
    reading = Task(setting.answered(head()).whole())
    setting.link.say(b"ab", b"c")
    assert not reading.done
    setting.link.hang_up()
    assert reading.result == b"abc"
    reading = Task(setting.answered(head() + b"abc").whole())
    setting.link.reset()
    assert isinstance(reading.error, AnswerLost)
    setting.close()


@pytest.mark.parametrize(
    "data",
    [
        b"SSH-2.0-OpenSSH\r\n\r\n",
        b"HTTP/2 200\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nno header\r\n\r\n",
        b"HTTP/1.1 101 Switching\r\nUpgrade: x\r\n\r\n",
        head("Content-Length: ten"),
        head("Content-Length: 1", "Content-Length: 2"),
        head("Transfer-Encoding: gzip, chunked"),
        stream() + b"0x5\r\n",
        head("Content-Encoding: gzip", "Content-Length: 5") + b"abcde",
    ],
)
def test_what_is_not_http(setting: Setting, data: bytes) -> None:
    """What is not HTTP/1.1, or not what was asked for, is said to be that."""
    sending = setting.send()
    setting.link.say(data)
    assert isinstance(sending.error, BadAnswer)
    assert setting.link.aborted
    setting.close()


def test_endless_head(setting: Setting) -> None:
    """A head that does not end is cut off."""
    sending = setting.send()
    setting.link.say(b"HTTP/1.1 200 OK\r\n", *[b"X: " + b"x" * 1000 + b"\r\n"] * 70)
    assert isinstance(sending.error, AnswerTooLarge)
    assert setting.link.aborted
    setting.close()


def test_chunk_that_lies(setting: Setting) -> None:
    """A body whose chunks are not what they say is lost."""
    reading = Task(setting.answered(stream() + chunk(b"abc")).whole())
    setting.link.say(b"3\r\nabcd\r\n")
    assert isinstance(reading.error, AnswerLost)
    assert setting.link.aborted
    setting.close()


# --- connections are used again


def test_connection_is_used_again(setting: Setting) -> None:
    """One request after the other goes over the same connection."""
    for _ in range(3):
        assert Task(setting.answered(answer(b"{}")).whole()).result == b"{}"
    assert len(setting.network.links) == 1
    assert len(setting.link.requests) == 3
    setting.close()


def test_one_request_a_connection(setting: Setting) -> None:
    """Requests at the same time have connections of their own; no more of them are kept than the limit says."""
    setting = Setting(idle=2)
    sendings = [setting.send() for _ in range(4)]
    assert len(setting.network.links) == 4
    for link in setting.network.links:
        link.say(answer(b"{}"))
    assert [Task(sending.result.whole()).result for sending in sendings] == [b"{}"] * 4
    setting.network.turn()
    assert sum(link.connected for link in setting.network.links) == 2
    setting.close()


@pytest.mark.parametrize(
    "data",
    [
        answer(b"{}", "Connection: close"),
        answer(b"{}").replace(b"HTTP/1.1", b"HTTP/1.0"),
        answer(b"{}") + b"HTTP/1.1 200 OK\r\n",
        stream("Content-Length: 2") + chunk(b"{}") + chunk(b""),
    ],
)
def test_connection_is_not_used_again(setting: Setting, data: bytes) -> None:
    """Not after an answer that says so, nor after more than was asked for, nor after one with two lengths."""
    assert Task(setting.answered(data).whole()).result == b"{}"
    assert Task(setting.answered(answer(b"{}")).whole()).result == b"{}"
    assert len(setting.network.links) == 2
    setting.close()


def test_stale_connection(setting: Setting) -> None:
    """A connection that the server has closed meanwhile fails nobody."""
    Task(setting.answered(answer()).whole())
    setting.link.hang_up()
    assert Task(setting.answered(answer(b"[]")).whole()).result == b"[]"
    assert len(setting.network.links) == 2
    setting.close()


def test_lost_connection_is_not_counted() -> None:
    """A connection that broke while it was idle does not keep another one from being kept."""
    setting = Setting(idle=1)
    sendings = [setting.send(), setting.send()]
    first, second = setting.network.links
    first.say(answer())
    first.hang_up()
    second.say(answer())
    setting.network.turn()
    assert second.connected
    assert [sending.result.status for sending in sendings] == [200, 200]
    setting.close()


def test_words_out_of_turn(setting: Setting) -> None:
    """What comes on an idle connection is an answer to nobody: the connection is cut."""
    Task(setting.answered(answer()).whole())
    setting.link.say(answer(b"poison"))
    assert setting.link.aborted
    assert Task(setting.answered(answer(b"[]")).whole()).result == b"[]"
    setting.close()


def test_used_connection_that_breaks(setting: Setting) -> None:
    """A request that may have been received is not sent a second time, even on a connection that was used before."""
    Task(setting.answered(answer()).whole())
    sending = setting.send()
    setting.link.hang_up()
    assert isinstance(sending.error, AnswerLost)
    assert len(setting.network.links) == 1
    setting.close()


def test_idle_connections_are_closed(setting: Setting) -> None:
    """A connection that nobody used for long is closed, and not held against one that was used just now."""
    sendings = [setting.send(), setting.send()]
    first, second = setting.network.links
    first.say(answer())
    setting.wait(20)
    second.say(answer())
    setting.wait(75)
    assert (first.connected, second.connected) == (False, True)
    setting.wait(20)
    assert not second.connected
    assert [sending.result.status for sending in sendings] == [200, 200]
    assert setting.network.leftovers == []
    setting.close()


def test_aborted_connection_is_not_used_again(setting: Setting) -> None:
    """An answer that was not read to its end takes its connection with it."""
    found = setting.answered(stream() + chunk(b"x"))
    found.abort()
    found.abort()
    assert isinstance(Task(found.next_event()).error, AnswerLost)
    setting.send()
    assert len(setting.network.links) == 2
    setting.close()


def test_abort_after_the_end(setting: Setting) -> None:
    """After the end of an answer an abort changes nothing: the connection may be somebody else's."""
    found = setting.answered(answer())
    assert Task(found.whole()).result == b"{}"
    other = setting.send()
    found.abort()
    setting.link.say(answer())
    assert other.result.status == 200
    setting.close()


# --- events


def _events(*texts: str) -> bytes:
    return chunk("".join(f"data: {text}\n\n" for text in texts).encode())


def test_events_one_by_one(setting: Setting) -> None:
    """Events are given as they come, those of one chunk without a turn of the reactor between, and None at the end."""
    found = setting.answered(stream())
    waiting = Task(found.next_event())
    assert not waiting.done
    setting.link.say(_events("1", "2"))
    assert waiting.result.data == b"1"
    assert Task(found.next_event()).result.data == b"2"
    waiting = Task(found.next_event())
    setting.link.say(chunk(b": still here\n\n"), chunk(b"dat"), chunk(b"a: 3\r\n"))
    assert not waiting.done
    setting.link.say(chunk(b"\r\n"))
    assert waiting.result.data == b"3"
    setting.link.say(chunk(b""))
    assert Task(found.next_event()).result is None
    assert Task(found.next_event()).result is None
    setting.send()
    assert len(setting.network.links) == 1
    setting.close()


def test_priming_event(setting: Setting) -> None:
    """An event without data is not given, but its id and its time to wait are known once it has come."""
    found = setting.answered(stream())
    waiting = Task(found.next_event())
    assert (found.last_event_id, found.retry_ms) == (None, None)
    setting.link.say(chunk(b"id: 1-0\nretry: 500\ndata:\n\n"))
    assert not waiting.done
    assert (found.last_event_id, found.retry_ms) == ("1-0", 500)
    setting.link.say(chunk(b""))
    assert waiting.result is None
    setting.close()


def test_last_event_id_is_of_what_was_given(setting: Setting) -> None:
    """Who goes on after the last event id misses nothing that was read ahead."""
    found = setting.answered(stream() + chunk(b"id: 1\ndata: a\n\nid: 2\ndata: b\n\nid: 3\n\n"))
    assert found.last_event_id is None
    ids = []
    for _ in range(2):
        Task(found.next_event()).result  # noqa: B018
        ids.append(found.last_event_id)
    assert ids == ["1", "3"]
    found.abort()
    setting.close()


@pytest.mark.parametrize("how", ["reset", "hang_up"])
def test_stream_that_breaks_off(setting: Setting, how: str) -> None:
    """What came before is given first; the stream has not ended in good order, and says so each time."""
    found = setting.answered(stream() + _events("1", "2") + chunk(b"data: half"))
    getattr(setting.link, how)()
    assert [Task(found.next_event()).result.data for _ in range(2)] == [b"1", b"2"]
    for _ in range(2):
        assert isinstance(Task(found.next_event()).error, AnswerLost)
    setting.close()


def test_half_an_event_at_the_end(setting: Setting) -> None:
    """An event without its empty line is none, even at an orderly end."""
    found = setting.answered(stream() + _events("1") + chunk(b"data: half\n") + chunk(b""))
    assert Task(found.next_event()).result.data == b"1"
    assert Task(found.next_event()).result is None
    setting.close()


def test_event_too_large(setting: Setting) -> None:
    """An event past the limit is an explicit error, after those that came before it."""
    found = setting.answered(stream() + _events("1"))
    assert Task(found.next_event()).result.data == b"1"
    waiting = Task(found.next_event())
    setting.link.say(chunk(b"data: 2\n\ndata: " + b"x" * 400), chunk(b"x" * 400))
    assert waiting.result.data == b"2"
    for _ in range(2):
        assert isinstance(Task(found.next_event()).error, AnswerTooLarge)
    assert setting.link.aborted
    setting.close()


def test_event_as_large_as_allowed(setting: Setting) -> None:
    """One event may be larger than what may wait."""
    found = setting.answered(stream())
    waiting = Task(found.next_event())
    setting.link.say(chunk(b"data: "), *[chunk(b"x" * 100)] * 5, chunk(b"\n\n"))
    assert waiting.result.data == b"x" * 500
    found.abort()
    setting.close()


def test_many_comments(setting: Setting) -> None:
    """A hundred thousand comments keep a stream alive and leave nothing behind."""
    found = setting.answered(stream())
    waiting = Task(found.next_event())
    for _ in range(100):
        setting.link.say(chunk(b": keep-alive\n\n" * 1000))
    assert not waiting.done
    setting.link.say(_events("1"))
    assert waiting.result.data == b"1"
    found.abort()
    setting.close()


def test_slow_consumer(setting: Setting) -> None:
    """Reading is paused while more waits than the limit allows, and goes on when it is taken; nothing is lost."""
    found = setting.answered(stream())
    for number in range(100):
        setting.link.say(_events(f"{number:045}"))
    assert setting.link.paused
    assert setting.link.unread > 4000
    taken = [int(Task(found.next_event()).result.data) for _ in range(100)]
    assert taken == list(range(100))
    assert not setting.link.paused
    assert setting.link.pauses > 10
    setting.link.say(chunk(b""))
    assert Task(found.next_event()).result is None
    setting.close()


def test_paused_connection_is_used_again(setting: Setting) -> None:
    """A connection is read again when its answer has ended, even if the end came while it was to pause."""
    found = setting.answered(stream())
    setting.link.say(_events("x" * 300) + chunk(b""))
    assert not setting.link.paused
    assert Task(setting.answered(answer(b"[]")).whole()).result == b"[]"
    assert Task(found.next_event()).result.data == b"x" * 300
    assert len(setting.network.links) == 1
    setting.close()


def test_end_that_comes_in_spite_of_a_pause(setting: Setting) -> None:
    """What was decrypted before a pause still comes after it; then the connection is read again for the next answer."""
    found = setting.answered(stream() + _events("x" * 300))
    assert setting.link.paused
    setting.link.protocol.dataReceived(_events("2") + chunk(b""))
    assert not setting.link.paused
    assert Task(setting.answered(answer(b"[]")).whole()).result == b"[]"
    assert [Task(found.next_event()).result.data for _ in range(2)] == [b"x" * 300, b"2"]
    assert Task(found.next_event()).result is None
    assert len(setting.network.links) == 1
    setting.close()


# --- cancelling


def test_cancel_while_connecting() -> None:
    """Cancelling gives up the attempt."""
    setting = Setting(hold=True)
    sending = setting.send()
    sending.cancel()
    assert setting.network.given_up == 1
    setting.close()


@pytest.mark.parametrize("part", [b"", b"HTTP/1.1 200"])
def test_cancel_before_the_head(setting: Setting, part: bytes) -> None:
    """Cancelling cuts the connection at once."""
    sending = setting.send()
    setting.link.say(part)
    sending.cancel()
    assert setting.link.aborted
    setting.close()


@pytest.mark.parametrize("method", ["whole", "next_event"])
def test_cancel_within_the_body(setting: Setting, method: str) -> None:
    """Cancelling whoever waits for the body cuts the connection at once."""
    found = setting.answered(stream() + chunk(b"data: 1"))
    reading = Task(getattr(found, method)())
    reading.cancel()
    assert setting.link.aborted
    assert isinstance(Task(found.next_event()).error, AnswerLost)
    setting.close()


def test_abort_tells_who_waits(setting: Setting) -> None:
    """Who waits for an event of an answer that is aborted is told."""
    found = setting.answered(stream())
    waiting = Task(found.next_event())
    found.abort()
    assert isinstance(waiting.error, AnswerLost)
    setting.close()


def test_cancel_while_credentials_are_made(setting: Setting) -> None:
    """Cancelling reaches the credentials, too."""
    setting = Setting(credentials=Slow())
    sending = setting.send()
    assert setting.network.links == []
    sending.cancel()
    setting.close()


# --- deadlines


def test_connect_deadline() -> None:
    """A connection that does not come about in time is given up."""
    setting = Setting(hold=True)
    sending = setting.send()
    setting.wait(9.9)
    assert not sending.done
    setting.wait(0.2)
    assert isinstance(sending.error, DeadlinePassed)
    assert (sending.error.which, setting.network.given_up) == ("connect", 1)
    assert "10 seconds" in str(sending.error)
    setting.close()


@pytest.mark.parametrize("late", [0, 9])
def test_head_deadline(late: float) -> None:
    """The time for the head begins when the connection stands, and half a head is none."""
    setting = Setting(hold=True)
    sending = setting.send()
    setting.wait(late)
    link = setting.network.accept()
    for _ in range(29):
        setting.wait(1)
        link.say(b"H" if not link.pauses else b"")
        assert not sending.done
        break
    setting.wait(28.9)
    assert not sending.done
    setting.wait(0.2)
    assert isinstance(sending.error, DeadlinePassed)
    assert (sending.error.which, link.aborted) == ("head", True)
    setting.close()


@pytest.mark.parametrize("method", ["whole", "next_event"])
def test_idle_deadline(setting: Setting, method: str) -> None:
    """Silence within an answer ends it; each sign of life, comments too, begins the time anew."""
    found = setting.answered(stream())
    reading = Task(getattr(found, method)())
    for _ in range(5):
        setting.wait(59)
        setting.link.say(chunk(b":\n\n"))
    setting.wait(59)
    assert not reading.done
    setting.wait(2)
    assert isinstance(reading.error, DeadlinePassed)
    assert (reading.error.which, setting.link.aborted) == ("idle", True)
    setting.close()


def test_idle_deadline_gives_what_came(setting: Setting) -> None:
    """What came before the silence is given before the error is."""
    found = setting.answered(stream() + _events("1", "2"))
    setting.wait(61)
    assert [Task(found.next_event()).result.data for _ in range(2)] == [b"1", b"2"]
    assert isinstance(Task(found.next_event()).error, DeadlinePassed)
    setting.close()


def test_slow_consumer_is_not_the_servers_silence(setting: Setting) -> None:
    """While we do not read, the server can't be late; when we do, its time begins anew."""
    found = setting.answered(stream())
    setting.link.say(_events("x" * 150, "y" * 150))
    assert setting.link.paused
    setting.wait(1000)
    assert Task(found.next_event()).result.data == b"x" * 150
    assert Task(found.next_event()).result.data == b"y" * 150
    waiting = Task(found.next_event())
    setting.wait(59)
    assert not waiting.done
    setting.wait(2)
    assert waiting.error.which == "idle"
    setting.close()


def test_deadlines_of_one_request(setting: Setting) -> None:
    """A request may have deadlines of its own, or none."""
    sending = setting.send(timeouts=Timeouts(head=1))
    setting.wait(2)
    assert sending.error.which == "head"
    sending = setting.send(timeouts=Timeouts(connect=None, head=None, idle=None))
    setting.wait(10_000)
    setting.link.say(stream())
    waiting = Task(sending.result.next_event())
    setting.wait(10_000)
    assert not waiting.done
    assert setting.network.clock.getDelayedCalls() == []
    sending.result.abort()
    setting.close()


def test_an_answer_leaves_no_timer(setting: Setting) -> None:
    """When an answer has ended, only the idle connection is left to look after."""
    Task(setting.answered(answer()).whole())
    assert len(setting.network.clock.getDelayedCalls()) == 1
    setting.close()


# --- closing


def test_close_while_all_is_going_on() -> None:
    """Who waits when the client is closed is told, at every stage, and nothing is left."""
    setting = Setting(hold=True)
    reading, sending, connecting = setting.send(), setting.send(), setting.send()
    setting.network.accept().say(stream())
    setting.network.accept()
    waiting = Task(reading.result.next_event())
    setting.close()
    for task in (waiting, sending, connecting):
        assert isinstance(task.error, ClientClosed)
    assert isinstance(setting.send().error, ClientClosed)
    setting.close()


def test_close_while_credentials_are_made() -> None:
    """A request whose credentials come after the end is not sent."""
    slow = Slow()
    setting = Setting(credentials=slow)
    sending = setting.send()
    setting.close()
    slow.ready.callback({})
    assert isinstance(sending.error, ClientClosed)
    assert setting.network.links == []


def test_nothing_is_kept_of_an_answer(setting: Setting) -> None:
    """Answers that were read are not held by the client."""
    Task(setting.answered(answer()).whole())
    gc.collect()
    before = sum(isinstance(one, (Answer, Inflow)) for one in gc.get_objects())
    for _ in range(20):
        Task(setting.answered(answer()).whole())
    gc.collect()
    assert sum(isinstance(one, (Answer, Inflow)) for one in gc.get_objects()) <= before
    setting.close()


# --- redirects


def _redirect(location: str, status: str = "307 Temporary Redirect") -> bytes:
    return answer(b"", f"Location: {location}", status=status)


@pytest.mark.parametrize("status", ["307 Temporary Redirect", "308 Permanent Redirect"])
@pytest.mark.parametrize("location", ["/mcp/", "http://SERVER.example:8000/mcp/", "mcp/"])
def test_redirect_within_the_origin(status: str, location: str) -> None:
    """The same request is made there, with its secrets."""
    setting = Setting(credentials=BearerToken("token-of-mine"))
    sending = setting.send()
    setting.link.say(_redirect(location, status))
    setting.network.link.say(answer(b"[]"))
    assert Task(sending.result.whole()).result == b"[]"
    requests = [request for link in setting.network.links for request in link.requests]
    assert [request.split(b" ")[1] for request in requests] == [b"/mcp", b"/mcp/"]
    assert all(b"Authorization: Bearer token-of-mine" in request for request in requests)
    assert all(request.endswith(b"{}") for request in requests)
    setting.close()


@pytest.mark.parametrize(
    ("location", "status"),
    [
        ("https://server.example:8000/mcp", "307 Temporary Redirect"),
        ("http://server.example:8001/mcp", "307 Temporary Redirect"),
        ("http://other.example:8000/mcp", "308 Permanent Redirect"),
        ("//other.example/mcp", "308 Permanent Redirect"),
        ("/mcp/", "301 Moved"),
        ("/mcp/", "302 Found"),
        ("/mcp/", "303 See Other"),
    ],
)
def test_redirect_that_is_not_followed(location: str, status: str) -> None:
    """Not to another origin, nor with another method; the origin is named, and gets to see nothing."""
    setting = Setting(credentials=BearerToken("token-of-mine"), headers={"X-Mine": "mine"})
    sending = setting.send()
    setting.link.say(_redirect(location, status))
    assert isinstance(sending.error, Refused)
    assert sending.error.status == int(status[:3])
    assert ("other.example" in str(sending.error)) == ("other" in location)
    assert len(setting.network.links) == 1
    setting.close()


@pytest.mark.parametrize("location", ["file:///etc/passwd", "http://[", "http://a b/"])
def test_redirect_to_nonsense(setting: Setting, location: str) -> None:
    """A place that can't be asked is refused as the server's fault, not the user's."""
    sending = setting.send()
    setting.link.say(_redirect(location))
    assert isinstance(sending.error, Refused)
    setting.close()


def test_redirects_without_end(setting: Setting) -> None:
    """Five in a row, and no more."""
    sending = setting.send()
    for _ in range(6):
        assert not sending.done
        setting.network.link.say(_redirect("/mcp"))
    assert isinstance(sending.error, Refused)
    assert sum(len(link.requests) for link in setting.network.links) == 6
    setting.close()


def test_redirect_without_a_location(setting: Setting) -> None:
    """That is a status like others."""
    assert setting.answered(answer(b"", status="307 Temporary Redirect")).status == 307
    setting.close()


# --- URLs


@pytest.mark.parametrize(
    "url", ["ftp://a/", "server.example/mcp", "http://", "", "http://user:pw@a/", "http://a:port/", "http://a\r\nb/"]
)
def test_urls_that_cannot_be_asked(setting: Setting, url: str) -> None:
    """They are the user's mistake, and told at once."""
    problem = setting.send(url).error
    assert isinstance(problem, ConfigurationError)
    assert "pw" not in str(problem)
    setting.close()


def test_urls_of_the_world(setting: Setting) -> None:
    """Names and paths are brought into the form of the wire."""
    setting.send("http://b\u00fccher.example/\u00e4 b?q=\u00fc#fragment")
    assert setting.link.target.host == "xn--bcher-kva.example"
    assert setting.link.asked.startswith(b"POST /%C3%A4%20b?q=%C3%BC HTTP/1.1\r\nHost: xn--bcher-kva.example\r\n")
    setting.send("http://[::1]:9/x")
    assert (setting.link.target.host, setting.link.target.port) == ("::1", 9)
    assert b"Host: [::1]:9\r\n" in setting.link.asked
    setting.send("http://my_service:80/x")
    assert setting.link.target.host == "my_service"
    setting.send("http://a")
    assert setting.link.asked.startswith(b"POST / HTTP/1.1\r\nHost: a\r\n")
    setting.close()


# --- secrets


@attrs.define
class Learning:
    """Credentials that have a new token after each challenge, so many times."""

    times: int
    seen: list[Challenge] = attrs.Factory(list)
    facts: list[RequestFacts] = attrs.Factory(list)

    async def headers(self, request: RequestFacts) -> Mapping[str, str]:
        """The token of this attempt."""
        self.facts.append(request)
        return {"Authorization": f"Bearer token-{len(self.seen)}"}

    async def challenged(self, challenge: Challenge) -> bool:
        """Make a new one."""
        self.seen.append(challenge)
        return len(self.seen) <= self.times


class Slow:
    """Credentials that take their time."""

    def __init__(self) -> None:
        self.ready: Deferred[Mapping[str, str]] = Deferred()

    async def headers(self, request: RequestFacts) -> Mapping[str, str]:
        """When they are ready."""
        return await self.ready

    async def challenged(self, challenge: Challenge) -> bool:
        """There are no others."""
        return False


UNAUTHORIZED = answer(
    b'{"error": "who are you?"}',
    'WWW-Authenticate: Bearer realm="a, b", scope="x"',
    "WWW-Authenticate: Basic",
    status="401 Unauthorized",
)


def test_challenge_that_is_met() -> None:
    """Credentials see the challenge, and the request is repeated with what they have then."""
    credentials = Learning(times=1)
    setting = Setting(credentials=credentials)
    sending = setting.send()
    setting.link.say(UNAUTHORIZED)
    assert not sending.done
    setting.link.say(answer(b"[]"))
    assert sending.result.status == 200
    assert [b"token-0" in setting.link.requests[0], b"token-1" in setting.link.requests[1]] == [True, True]
    (challenge,) = credentials.seen
    assert (challenge.status, challenge.url, challenge.attempt) == (401, URL, 1)
    assert [(scheme.name, dict(scheme.params)) for scheme in challenge.schemes] == [
        ("bearer", {"realm": "a, b", "scope": "x"}),
        ("basic", {}),
    ]
    assert [(facts.method, facts.attempt) for facts in credentials.facts] == [("POST", 1), ("POST", 2)]
    setting.close()


@pytest.mark.parametrize("status", [401, 403])
def test_challenges_without_end(status: int) -> None:
    """After three repetitions that is that."""
    credentials = Learning(times=100)
    setting = Setting(credentials=credentials)
    sending = setting.send()
    for _ in range(4):
        setting.network.link.say(UNAUTHORIZED.replace(b"401", b"%d" % status))
    assert isinstance(sending.error, Unauthorized)
    assert sending.error.status == status
    assert sending.error.challenges == ('Bearer realm="a, b", scope="x"', "Basic")
    assert "who are you?" in str(sending.error)
    assert sum(len(link.requests) for link in setting.network.links) == 4
    setting.close()


@pytest.mark.parametrize("credentials", [None, BearerToken("a-token"), ApiKey("a-key-of-mine")])
def test_static_credentials_are_refused(credentials: Credentials | None) -> None:
    """Who has nothing better to show is refused at once."""
    setting = Setting(credentials=credentials)
    sending = setting.send()
    setting.link.say(UNAUTHORIZED)
    assert isinstance(sending.error, Unauthorized)
    assert len(setting.link.requests) == 1
    setting.close()


def test_secrets_that_a_server_repeats() -> None:
    """What the server says goes into the error, on one line, but for our secrets."""
    setting = Setting(credentials=BearerToken("token-of-mine"), headers={"X-Other": "another secret"})
    sending = setting.send()
    body = b"Bearer token-of-mine?\r\n'token-of-mine' and\x1b[31m another secret!"
    setting.link.say(answer(body, status="403 Forbidden", type="text/plain"))
    assert str(sending.error).endswith("403: [secret]? '[secret]' and[31m [secret]!")
    setting.close()


@pytest.mark.parametrize(
    "data", [stream() + b"64\r\nx", head("Content-Length: 99999") + b"y" * 20_000, stream() + chunk(b"y" * 300)]
)
def test_refusal_with_a_body_that_does_not_end(setting: Setting, data: bytes) -> None:
    """What the server has to say is waited for a little, and read a little."""
    sending = setting.send()
    setting.link.say(data.replace(b"200 OK", b"401 No"))
    for _ in range(20):
        setting.wait(0.1)
        setting.link.say(b"x")
    setting.wait(0.1)
    assert isinstance(sending.error, Unauthorized)
    assert setting.link.aborted
    setting.close()


def test_secrets_are_for_one_origin() -> None:
    """Another origin than that of the first request is asked without credentials and headers; so is its challenge."""
    credentials = Learning(times=3)
    setting = Setting(credentials=credentials, headers={"X-Mine": "mine"})
    setting.send()
    assert b"X-Mine: mine\r\n" in setting.link.asked
    for url in ("http://server.example:8001/", "https://server.example:8000/", "http://other.example:8000/"):
        sending = setting.send(url)
        if url.startswith("https"):
            setting.link.protocol.handshakeCompleted()
        assert b"mine" not in setting.link.asked
        assert b"token" not in setting.link.asked
        setting.link.say(UNAUTHORIZED)
        assert isinstance(sending.error, Unauthorized)
    assert credentials.seen == []
    setting.close()


def test_secrets_are_for_the_origin_that_was_named() -> None:
    """Where the origin is named, the first request does not choose it."""
    setting = Setting(credentials=BearerToken("token-of-mine"), origin=URL)
    setting.send("http://other.example/")
    assert b"token" not in setting.link.asked
    setting.send()
    assert b"token" in setting.link.asked
    setting.close()


def test_own_headers_do_not_replace_the_protocols(setting: Setting) -> None:
    """What the caller of a request says counts more than what the user says for all, whatever the case."""
    setting = Setting(headers={"ACCEPT": "text/html", "X-Mine": "mine"})
    setting.send()
    assert b"text/html" not in setting.link.asked
    assert setting.link.asked.count(b"Accept") == 1
    setting.close()


@pytest.mark.parametrize("headers", [{"X-Mine": "mine\r\nX-Injected: 1"}, {"X-Mine": "mine\0"}, {"X Mine": "mine"}])
def test_headers_that_cannot_be_sent(headers: Mapping[str, str]) -> None:
    """They are the user's mistake, told at once and without their values."""
    with pytest.raises(ConfigurationError) as raised:
        Setting(headers=headers)
    assert "mine" not in str(raised.value).replace("X Mine", "")


def test_connection_is_free_with_the_last_byte(setting: Setting) -> None:
    """Who asks again when the last event has come, or gives up the answer, does so over the same connection."""
    found = setting.answered(stream())
    asked: list[Task] = []

    async def ask_again() -> None:
        assert (await found.next_event()).data == b"1"  # type: ignore[union-attr]
        asked.append(setting.send())
        found.abort()

    asking = Task(ask_again())
    setting.link.say(_events("1") + chunk(b""))
    assert asking.result is None
    setting.link.say(answer(b"[]"))
    assert Task(asked[0].result.whole()).result == b"[]"
    assert len(setting.network.links) == 1
    setting.close()


def test_tls_is_agreed_on_first() -> None:
    """Over TLS nothing is said before it is agreed on, and the time for that counts as connecting."""
    setting = Setting(credentials=BearerToken("token-of-mine"))
    sending = setting.send("https://server.example/")
    assert setting.link.asked == b""
    setting.wait(11)
    assert sending.error.which == "connect"
    sending = setting.send("https://server.example/")
    setting.link.reset()
    assert isinstance(sending.error, Unreachable)
    sending = setting.send("https://server.example/")
    setting.link.protocol.handshakeCompleted()
    setting.link.say(answer(b"[]"))
    assert sending.result.status == 200
    setting.close()


def test_cookies_come_back(setting: Setting) -> None:
    """A balancer that sets a cookie finds it in the next requests."""
    Task(setting.answered(answer(b"{}", "Set-Cookie: node=7; Path=/")).whole())
    Task(setting.answered(answer(b"{}")).whole())
    assert [b"Cookie: node=7" in request for request in setting.link.requests] == [False, True]
    setting.close()
