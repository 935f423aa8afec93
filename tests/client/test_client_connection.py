"""Connections in memory that are used again, and those that are not."""

from __future__ import annotations

import pytest

from mcpserve.errors import (
    AnswerLost,
)
from tests.client.network import Task, answer, chunk, stream
from tests.client.setting import Setting


@pytest.fixture
def setting() -> Setting:
    """A client with small limits."""
    return Setting()


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
