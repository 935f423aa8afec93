"""Clients that lose their connections and come back, servers that are killed, a disk that is slow: in any order.

What a client has read of a stream is, at every moment, the beginning of what the tool has said: nothing twice, nothing
left out, and one reply at the most. When all is quiet every client that came back in time has its reply, and it is the
result wherever the call was not cut off by the end of its process.
"""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

import attrs
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, invariant, precondition, rule
from twisted.internet.defer import Deferred

from mcpserve.legacy.session import SessionLimits
from mcpserve.legacy.streams import ResumeLimits
from tests.wire.http import Peer
from tests.wire.server import Limits, Server, Session
from tests.wire.stored import Disk
from tests.wire.tools import polled

STEPS = 5


@attrs.define(eq=False)
class Reader:
    """The client's side of one call: what it has read on all its connections."""

    id: int
    peer: Peer
    cursor: str = ""
    values: list[float] = attrs.Factory(list)
    replies: list[str] = attrs.Factory(list)
    _seen: int = 0

    def read(self) -> None:
        """Take in what has arrived."""
        if not self.peer.answered or self.peer.status != 200 or self.peer.type != "text/event-stream":
            return
        events = self.peer.events
        for event in events[self._seen :]:
            self.cursor = event.id or self.cursor
        for message in self.peer.messages[sum(bool(event.data) for event in events[: self._seen]) :]:
            if "method" in message:
                self.values.append(message["params"]["progress"])
            else:
                assert message["id"] == self.id
                self.replies.append("result" if "result" in message else "error")
        self._seen = len(events)

    def come_back(self, session: Session) -> None:
        """Resume on another connection."""
        self.read()
        self.peer, self._seen = session.get(self.cursor), 0
        self.read()


class Resuming(RuleBasedStateMachine):
    """The machine."""

    readers: Bundle[Reader] = Bundle("readers")

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(prefix="mcpserve-"))
        self.disk = Disk(self.folder / "store.db")
        self.all: list[Reader] = []
        self.cut_off: set[Reader] = set()
        self.begin(0.0)
        answer = self.server.initialize()
        self.id = answer.headers["mcp-session-id"]
        self.server.seconds(1, 0.1)

    def begin(self, now: float) -> None:
        """A server begins."""
        limits = Limits(sessions=SessionLimits(resume=ResumeLimits(grace=10_000.0)))
        self.server = Server(polled, limits=limits, journal=self.disk.journal, now=now)

    @property
    def session(self) -> Session:
        """The client, with the server that lives now."""
        return Session(self.server, self.id, "2025-11-25")

    @rule(target=readers, closes=st.lists(st.integers(0, STEPS), max_size=3))
    def call(self, closes: list[int]) -> Reader:
        """A client calls the tool, and waits for an id to come back with."""
        number = len(self.all)
        arguments = {"number": STEPS, "closes": closes}
        reader = Reader(number, self.session.call("polled", arguments, token=1, id=number))
        self.all.append(reader)
        while not reader.cursor:
            self.server.seconds(0.5, 0.1)
            reader.read()
        return reader

    @rule(reader=readers)
    def drop(self, reader: Reader) -> None:
        """A connection is lost, with what was read until now."""
        reader.read()
        reader.peer.drop()

    @rule(reader=readers)
    def come_back(self, reader: Reader) -> None:
        """A client comes back, if it has no reply yet."""
        reader.read()
        if not reader.replies:
            reader.come_back(self.session)

    @rule(seconds=st.sampled_from([0.1, 0.7, 1.0, 3.0]))
    def wait(self, seconds: float) -> None:
        """Time passes."""
        self.server.seconds(seconds, 0.1)

    @rule(seconds=st.sampled_from([0.0, 0.3, 0.9]))
    def slow(self, seconds: float) -> None:
        """The disk is as slow as that now."""
        self.disk.seconds = seconds

    @rule()
    def kill(self) -> None:
        """The server is killed, and another begins."""
        self._end()
        self.disk.kill()
        self.begin(self.server.clock.seconds())

    @rule()
    def stop(self) -> None:
        """The server ends in an orderly way: clients are sent away, and the calls of the others are cut off."""
        for session in self.server.sessions:
            session.send_away(100)
        self.server.seconds(2, 0.1)
        self._end()
        self.server.sessions.suspend()
        over: list[object] = []
        Deferred.fromCoroutine(self.disk.writer.close()).addCallback(over.append)
        self.server.seconds(20, 0.1)  # a slow disk takes its time for each of the last batches
        assert over
        self.begin(self.server.clock.seconds())

    def _end(self) -> None:
        for reader in self.all:
            reader.read()
            if not reader.replies:
                self.cut_off.add(reader)

    @precondition(lambda self: self.all)
    @rule()
    def come_to_rest(self) -> None:
        """All calls end, and everybody comes back: whoever misses something gets it."""
        self.server.seconds(STEPS + 4, 0.1)
        for reader in self.all:
            reader.read()
            while not reader.replies:
                before = reader.cursor, len(reader.values)
                reader.come_back(self.session)
                self.server.seconds(2, 0.1)
                reader.read()
                assert reader.replies or (reader.cursor, len(reader.values)) != before, "it gets no further"
            if reader.replies == ["result"]:
                assert reader.values == list(range(1, STEPS + 1))
            else:
                assert reader in self.cut_off

    @invariant()
    def in_order(self) -> None:
        """Nothing twice, nothing left out, one reply."""
        for reader in self.all:
            reader.read()
            assert reader.values == list(range(1, len(reader.values) + 1))
            assert len(reader.replies) <= 1

    def teardown(self) -> None:
        """Nothing stays on the disk."""
        self.disk.kill()
        shutil.rmtree(self.folder)


TestResuming = Resuming.TestCase
TestResuming.settings = settings(max_examples=40, stateful_step_count=20, deadline=None)
