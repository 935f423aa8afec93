"""What is answered leaves nothing that only the garbage collector can find: its pauses are everybody's."""

from __future__ import annotations

import gc
from collections.abc import Iterator

import pytest

from tests.wire.server import Server
from tests.wire.tools import echo


@pytest.fixture
def collector() -> Iterator[None]:
    """A collector that runs only when it is asked to."""
    gc.disable()
    yield
    gc.enable()


def test_an_answered_call_leaves_no_cycle(collector: None) -> None:
    """A call of a plain tool, answered with JSON on a connection that stays open."""
    server = Server(echo)
    peer = server.connect()
    assert server.call("echo", {"text": "x"}, peer=peer).status == 200
    gc.collect()
    for _ in range(20):
        assert server.call("echo", {"text": "x"}, peer=peer).status == 200
    assert gc.collect() == 0
