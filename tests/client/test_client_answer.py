"""Answers in pieces: events, slow readers, breaks, cancelling and deadlines at every stage."""

from __future__ import annotations

import gc

import pytest

from mcpserve.client.limits import Timeouts
from mcpserve.errors import (
    AnswerLost,
    AnswerTooLarge,
    BadAnswer,
    DeadlinePassed,
    Unreachable,
)
from tests.client.network import REFUSED, Task, answer, chunk, head, stream
from tests.client.setting import URL, Setting, Slow, events


@pytest.fixture
def setting() -> Setting:
    """A client with small limits."""
    return Setting()


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


# --- events


def test_events_one_by_one(setting: Setting) -> None:
    """Events are given as they come, those of one chunk without a turn of the reactor between, and None at the end."""
    found = setting.answered(stream())
    waiting = Task(found.next_event())
    assert not waiting.done
    setting.link.say(events("1", "2"))
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
    found = setting.answered(stream() + events("1", "2") + chunk(b"data: half"))
    getattr(setting.link, how)()
    assert [Task(found.next_event()).result.data for _ in range(2)] == [b"1", b"2"]
    for _ in range(2):
        assert isinstance(Task(found.next_event()).error, AnswerLost)
    setting.close()


def test_half_an_event_at_the_end(setting: Setting) -> None:
    """An event without its empty line is none, even at an orderly end."""
    found = setting.answered(stream() + events("1") + chunk(b"data: half\n") + chunk(b""))
    assert Task(found.next_event()).result.data == b"1"
    assert Task(found.next_event()).result is None
    setting.close()


def test_event_too_large(setting: Setting) -> None:
    """An event past the limit is an explicit error, after those that came before it."""
    found = setting.answered(stream() + events("1"))
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
    setting.link.say(events("1"))
    assert waiting.result.data == b"1"
    found.abort()
    setting.close()


def test_slow_consumer(setting: Setting) -> None:
    """Reading is paused while more waits than the limit allows, and goes on when it is taken; nothing is lost."""
    found = setting.answered(stream())
    for number in range(100):
        setting.link.say(events(f"{number:045}"))
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
    setting.link.say(events("x" * 300) + chunk(b""))
    assert not setting.link.paused
    assert Task(setting.answered(answer(b"[]")).whole()).result == b"[]"
    assert Task(found.next_event()).result.data == b"x" * 300
    assert len(setting.network.links) == 1
    setting.close()


def test_end_that_comes_in_spite_of_a_pause(setting: Setting) -> None:
    """What was decrypted before a pause still comes after it; then the connection is read again for the next answer."""
    found = setting.answered(stream() + events("x" * 300))
    assert setting.link.paused
    setting.link.protocol.dataReceived(events("2") + chunk(b""))
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
    """The time for the head begins when the connection stands; bytes of a head that does not end do not put it off."""
    setting = Setting(hold=True)
    sending = setting.send()
    setting.wait(late)
    link = setting.network.accept()
    for _ in range(29):
        setting.wait(1)
        link.say(b"H")
    setting.wait(0.9)
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
    found = setting.answered(stream() + events("1", "2"))
    setting.wait(61)
    assert [Task(found.next_event()).result.data for _ in range(2)] == [b"1", b"2"]
    assert isinstance(Task(found.next_event()).error, DeadlinePassed)
    setting.close()


def test_slow_consumer_is_not_the_servers_silence(setting: Setting) -> None:
    """While we do not read, the server can't be late; when we do, its time begins anew."""
    found = setting.answered(stream())
    setting.link.say(events("x" * 150, "y" * 150))
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


@pytest.mark.parametrize("data", [answer(b"{}"), stream() + events("1") + chunk(b"")], ids=["whole", "events"])
def test_nothing_is_left_to_the_garbage_collector(setting: Setting, data: bytes) -> None:
    """What belonged to an answer goes with it: there are no circles, which would cost more than the call itself."""
    Task(setting.answered(data).whole())
    gc.collect()
    gc.disable()
    try:
        for _ in range(10):
            Task(setting.answered(data).whole())
        assert gc.collect() < 10
    finally:
        gc.enable()
    setting.close()
