"""Calls in any order of events, on the wire: one reply at most, no word after it, nothing left in the end."""

from __future__ import annotations

from typing import Any

import attrs
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, invariant, multiple, rule, run_state_machine_as_test

from mcpserve import Stream, ToolError, tool
from mcpserve.web.response import StreamLimits
from tests.wire.http import Peer
from tests.wire.server import LEGACY, Limits, Server, Session

ACCEPTS = ["application/json, text/event-stream", "application/json", "text/event-stream"]
BUFFER = 3000


@attrs.define(eq=False)
class Conversation:
    """One call as both ends know it."""

    id: int
    session: Session | None
    peers: list[Peer]
    json_only: bool
    stream: Stream | None = None
    said: list[str] = attrs.Factory(list)
    replied: bool = False
    withdrawn: bool = False
    dropped: bool = False

    @property
    def untouched(self) -> bool:
        """Whether its client did nothing but read, so that all must have arrived."""
        return not (self.withdrawn or self.dropped) and len(self.peers) == 1 and self.peers[0].ended != ["aborted"]


class Calls(RuleBasedStateMachine):
    """A server, its clients, and tools that do whatever the machine says."""

    conversations = Bundle("conversations")

    def __init__(self) -> None:
        super().__init__()
        self.taken: list[Stream] = []
        self.all: list[Conversation] = []
        limits = Limits(stream=StreamLimits(buffer=BUFFER))
        self.server = Server(self._tool(), limits=limits)
        self.sessions = [self.server.session(version) for version in LEGACY]

    def _tool(self) -> Any:
        @tool
        def obey(stream: Stream) -> None:
            """Leave it to the machine."""
            self.taken.append(stream)

        return obey

    @rule(target=conversations, era=st.integers(-1, len(LEGACY) - 1), accept=st.sampled_from(ACCEPTS))
    def begin(self, era: int, accept: str) -> Any:
        """A client calls the tool."""
        number = len(self.all)
        session = self.sessions[era] if era >= 0 else None
        asked: Any = session or self.server
        peer = asked.call("obey", token=number, id=number, headers={"Accept": accept})
        conversation = Conversation(number, session, [peer], accept == ACCEPTS[1], self.taken.pop())
        self.all.append(conversation)
        return conversation

    @rule(one=conversations, size=st.sampled_from([0, 100, 2000]), times=st.integers(1, 3))
    def say(self, one: Conversation, size: int, times: int) -> None:
        """The tool sends messages."""
        for _ in range(times):
            assert one.stream is not None
            text = f"{len(one.said)}:" + "x" * size
            if not one.stream.closed:
                one.said.append(text)
            one.stream.write(text)

    @rule(one=conversations)
    def count(self, one: Conversation) -> None:
        """The tool reports a bare number."""
        assert one.stream is not None
        one.stream.progress(len(one.said) + 0.5)

    @rule(one=conversations, well=st.booleans())
    def finish(self, one: Conversation, well: bool) -> None:
        """The tool ends, perhaps for the second time."""
        assert one.stream is not None
        one.replied |= not one.stream.closed
        if well:
            one.stream.finish("done")
        else:
            one.stream.fail(ToolError("failed"))

    @rule(one=conversations)
    def drop(self, one: Conversation) -> None:
        """The connection is lost."""
        one.dropped = True
        one.peers[-1].drop()

    @rule(one=conversations)
    def half_close(self, one: Conversation) -> None:
        """The client shuts its sending half down."""
        if one.peers[-1].connected and not one.peers[-1].ended:
            one.peers[-1].half_close()

    @rule(one=conversations)
    def stall(self, one: Conversation) -> None:
        """The client stops reading."""
        one.peers[-1].stall()

    @rule(one=conversations)
    def read_on(self, one: Conversation) -> None:
        """The client reads again."""
        one.peers[-1].read_on()

    @rule(one=conversations)
    def cancel(self, one: Conversation) -> None:
        """The client withdraws its request, which only a session knows."""
        if one.session is not None:
            one.withdrawn = True
            one.session.notify("notifications/cancelled", {"requestId": one.id})

    @rule(target=conversations, one=conversations)
    def come_back(self, one: Conversation) -> Any:
        """The client takes its stream up again, from where it was."""
        latest = one.peers[-1]
        if one.session is None or not latest.answered or latest.type != "text/event-stream":
            return multiple()
        ids = [event.id for event in latest.events if event.id]
        if ids:
            again = one.session.get(ids[-1])
            if again.status == 200:
                one.peers.append(again)
        return multiple()

    @rule(seconds=st.sampled_from([0, 0, 0, 1, 16]))
    def wait(self, seconds: int) -> None:
        """Time passes."""
        self.server.turn()
        self.server.seconds(seconds)

    @invariant()
    def what_was_heard_is_in_order(self) -> None:
        """Of each connection, and of all connections of a call together."""
        for one in self.all:
            heard: list[str] = []
            replies = 0
            for peer in one.peers:
                for message in _messages(peer):
                    assert not replies, "something follows the reply"
                    if "method" in message:
                        assert message["params"]["progressToken"] == one.id
                        heard += [message["params"]["message"]] if "message" in message["params"] else []
                    else:
                        assert message["id"] == one.id
                        replies += 1
            assert heard == one.said[: len(heard)], "a message is missing, comes twice or in the wrong place"
            assert not replies or one.replied
            assert not (one.json_only and heard)

    def teardown(self) -> None:
        """Everybody reads to the end, or is lost; then nothing is left."""
        for one in self.all:
            one.peers[-1].read_on()
        self.server.turn()
        self.what_was_heard_is_in_order()
        for one in self.all:
            messages = [message for peer in one.peers for message in _messages(peer)]
            if one.replied and one.untouched:
                assert one.peers[0].complete
                assert "id" in messages[-1]
                assert one.json_only or len([m for m in messages if m.get("params", {}).get("message")]) == len(
                    one.said
                )
            one.peers[-1].drop()
        self.server.seconds(35)
        assert not self.server.calls.running
        for session in self.sessions:
            session.delete()
        self.server.turn()
        assert self.server.leftovers() == []


def _messages(peer: Peer) -> list[Any]:
    if not peer.answered or peer.status != 200:
        return []
    if peer.type == "application/json":
        return [peer.json] if peer.complete else []
    return list(peer.messages)


def test_calls_in_any_order() -> None:
    """Whatever tools and clients do, and in whatever order."""
    run_state_machine_as_test(Calls, settings=settings(max_examples=40, stateful_step_count=30, deadline=None))
