"""What is answered leaves nothing that only the garbage collector can find: its pauses are everybody's."""

from __future__ import annotations

from tests.garbage import cycles_left_by
from tests.wire.server import Server
from tests.wire.tools import echo


def test_an_answered_call_leaves_no_cycle() -> None:
    """A call of a plain tool, answered with JSON on a connection that stays open."""
    server = Server(echo)
    peer = server.connect()
    assert server.call("echo", {"text": "x"}, peer=peer).status == 200
    assert cycles_left_by(lambda: server.call("echo", {"text": "x"}, peer=peer)) == []


def test_an_answered_call_of_a_session_leaves_no_cycle() -> None:
    """The same before 2026-07-28, where a stream of the session stands between."""
    server = Server(echo)
    session = server.session()
    peer = server.connect()
    assert session.call("echo", {"text": "x"}, peer=peer).status == 200
    assert cycles_left_by(lambda: session.call("echo", {"text": "x"}, peer=peer)) == []
