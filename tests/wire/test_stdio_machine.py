"""Calls of one connection in any order of events: one reply at most, no word after it, nobody else's word."""

from __future__ import annotations

from typing import Any

import attrs
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from mcpserve import Stream, ToolError, tool
from mcpserve.stdio import LineLimits
from tests.wire.pipes import Pipes
from tests.wire.server import Server, call_params

BUFFER = 3000
PIPE = 1000
LONGEST = 2200
"""Bytes of the longest line here."""


@attrs.define(eq=False)
class Conversation:
    """One call as both ends know it."""

    id: int | str
    stream: Stream
    said: list[str] = attrs.Factory(list)
    finished: bool = False
    withdrawn: int | None = None
    """How many bytes had left the server when its client withdrew it."""

    @property
    def token(self) -> str:
        """Its progress token."""
        return token_of(self.id)


def token_of(request_id: int | str) -> str:
    """A token for the progress of one call."""
    return f"{type(request_id).__name__} {request_id}"


class Calls(RuleBasedStateMachine):
    """A server, one client of both eras, and tools that do whatever the machine says."""

    conversations = Bundle("conversations")

    def __init__(self) -> None:
        super().__init__()
        self.taken: list[Stream] = []
        self.all: list[Conversation] = []
        self.server = Server(self._tool())
        self.pipes = Pipes(self.server, limits=LineLimits(buffer=BUFFER))
        self.pipes.settle("2025-06-18")

    def _tool(self) -> Any:
        @tool
        def obey(stream: Stream) -> None:
            """Leave it to the machine."""
            self.taken.append(stream)

        return obey

    @rule(target=conversations, modern=st.booleans(), text_id=st.booleans())
    def begin(self, modern: bool, text_id: bool) -> Any:
        """The client calls the tool; two calls may have ids that only differ in their type."""
        number = len(self.all) // 2
        taken = [one.id for one in self.all]
        request_id: int | str = str(number) if text_id else number
        if request_id in taken:
            request_id = f"more {len(self.all)}"
        params = call_params("obey", token=token_of(request_id))
        if modern:
            self.pipes.call("obey", token=params["_meta"]["progressToken"], id=request_id)
        else:
            self.pipes.ask("tools/call", params, id=request_id)
        if not self.taken:  # the server does not read now; the call waits in the pipe
            self.pipes.read_on()
        conversation = Conversation(request_id, self.taken.pop())
        self.all.append(conversation)
        return conversation

    @rule(one=conversations, size=st.sampled_from([0, 100, 2000]), times=st.integers(1, 3))
    def say(self, one: Conversation, size: int, times: int) -> None:
        """The tool sends messages, whoever reads."""
        for _ in range(times):
            text = f"{len(one.said)}:" + "x" * size
            if not one.stream.closed:
                one.said.append(text)
            one.stream.write(text)

    @rule(one=conversations)
    def count(self, one: Conversation) -> None:
        """The tool reports a bare number."""
        one.stream.progress(len(one.said) + 0.5)

    @rule(one=conversations, well=st.booleans())
    def finish(self, one: Conversation, well: bool) -> None:
        """The tool ends, perhaps for the second time."""
        one.finished |= not one.stream.closed
        if well:
            one.stream.finish("done")
        else:
            one.stream.fail(ToolError("failed"))

    @rule(one=conversations)
    def cancel(self, one: Conversation) -> None:
        """The client withdraws its request, perhaps too late."""
        if not self.pipes.takes_input:
            self.pipes.read_on()
        if not one.stream.closed:
            one.withdrawn = len(self.pipes.arrived) + self.pipes.unread
        self.pipes.cancel(one.id)

    @rule()
    def stall(self) -> None:
        """The client stops to read."""
        self.pipes.stall()

    @rule()
    def read_once(self) -> None:
        """The client reads what the pipe holds, and no more."""
        self.pipes.read_once()

    @rule()
    def read_on(self) -> None:
        """The client reads all there is, and goes on."""
        self.pipes.read_on()

    @invariant()
    def what_waits_is_bounded(self) -> None:
        """Notifications by the limit, replies by how many calls there are."""
        assert self.pipes.protocol.outbox.size <= BUFFER + 300 * len(self.all)
        assert self.pipes.unread <= PIPE + BUFFER + LONGEST + 300 * len(self.all)

    @invariant()
    def each_call_is_told_apart(self) -> None:
        """At most one reply, no word after it or after it was withdrawn, all words in order, none of another call."""
        if self.pipes.unread or self.pipes.protocol.outbox.size:
            return
        for one in self.all:
            self._check(one)

    def _check(self, one: Conversation) -> None:
        own = [m for m in self.pipes.messages if m.get("params", {}).get("progressToken") == one.token]
        words = [m["params"]["message"] for m in own if "message" in m["params"]]
        numbers = [m["params"]["progress"] for m in own]
        reply = self.pipes.reply(one.id)
        assert numbers == sorted(set(numbers))
        assert words == one.said[: len(words)]
        if reply is not None:
            assert self.pipes.messages.index(reply) > max(map(self.pipes.messages.index, own), default=-1)
        if one.withdrawn is not None:
            assert reply is None
            assert f'"{one.token}"'.encode() not in self.pipes.arrived[one.withdrawn :]
        elif reply is not None and "error" in reply:
            assert one.stream.closed
        else:
            assert words == one.said
            assert (reply is not None) is one.finished

    def teardown(self) -> None:
        """Nothing stays when the client is gone."""
        self.pipes.read_on()
        self.each_call_is_told_apart()
        self.pipes.close_output()
        assert all(one.stream.closed for one in self.all)
        assert len(self.pipes.protocol.conversation) == 0
        assert self.server.leftovers() == []


def test_any_order_of_events() -> None:
    """Whatever happens in whatever order, what each call says arrives as it should."""
    run_state_machine_as_test(Calls, settings=settings(max_examples=60, stateful_step_count=30, deadline=None))
