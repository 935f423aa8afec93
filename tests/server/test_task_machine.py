"""Tasks in any order of events: the last state is the last, answers go where they belong, and callers are apart."""

from __future__ import annotations

from typing import Any

import attrs
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from mcpserve import Stream, ToolError, tool
from mcpserve.errors import InvalidParams
from mcpserve.protocol.tasks import EXTENSION
from mcpserve.server.tasks import TaskLimits
from mcpserve.stores.tasks import MemoryTasks
from tests.server.desk import Asked, Desk

KNOWS = {"extensions": {EXTENSION: {}}, "elicitation": {}}
CALLERS = st.sampled_from([None, "alice", "bob"])
KEYS = ("a", "b", "c")
WORDS = ("accept", "cancel")
TERMINAL = {"completed", "failed", "cancelled"}
TTL = 100.0
MOST = 6
ERRORS = {"refused": ToolError("no"), "failed": InvalidParams("no")}


@attrs.define(eq=False)
class Known:
    """A task as its client, its tool and this machine know it."""

    id: str
    owner: str | None
    stream: Stream
    status: str = "working"
    asked: dict[str, str | None] = attrs.Factory(dict)
    last: dict[str, Any] | None = None

    @property
    def open(self) -> set[str]:
        """The keys of the questions that nobody answered yet."""
        return {key for key, answer in self.asked.items() if answer is None}


class TasksInAnyOrder(RuleBasedStateMachine):
    """A desk, three callers, and a tool that does what the machine says."""

    tasks = Bundle("tasks")

    def __init__(self) -> None:
        super().__init__()
        self.streams: list[Stream] = []
        self.all: list[Known] = []
        self.store = MemoryTasks()
        self.desk = self._new_desk(self.store)

    def _new_desk(self, store: MemoryTasks) -> Desk:
        return Desk(self._tool(), tasks=TaskLimits(ttl=TTL, count=MOST, of_caller=3), store=store)

    def _tool(self) -> Any:
        @tool(task="required")
        def obey(stream: Stream) -> None:
            """Leave it to the machine."""
            self.streams.append(stream)

        return obey

    def ask(self, caller: str | None, method: str, **params: Any) -> Asked:
        """Send a request of a client that knows tasks."""
        return self.desk.ask(method, params, capabilities=KNOWS, caller=caller)

    def look(self, one: Known, caller: str | None) -> dict[str, Any] | None:
        """What a caller sees of a task; None if nothing."""
        (reply,) = self.ask(caller, "tasks/get", taskId=one.id).carrier.replies
        if "error" in reply:
            assert reply["error"]["code"] == -32602
        result: dict[str, Any] | None = reply.get("result")
        return result

    # --- what clients do

    @rule(target=tasks, caller=CALLERS)
    def begin(self, caller: str | None) -> Any:
        """A client calls the tool; there may be no room."""
        result = self.ask(caller, "tools/call", name="obey", arguments={}).result
        if result["resultType"] == "task":
            one = Known(result["taskId"], caller, self.streams.pop())
            self.all.append(one)
            return one
        assert result["isError"]
        works = [one for one in self.all if one.status not in TERMINAL]
        of_caller = [one for one in works if one.owner == caller]
        assert len(works) == MOST or (caller is not None and len(of_caller) == 3)
        return Known("none", caller, None, "cancelled")  # type: ignore[arg-type]

    @rule(
        one=tasks,
        caller=CALLERS,
        keys=st.sets(st.sampled_from([*KEYS, "z"])),
        word=st.sampled_from(WORDS),
    )
    def update(self, one: Known, caller: str | None, keys: set[str], word: str) -> None:
        """A client answers, perhaps to another's task, perhaps what is not asked."""
        gone = self.look(one, caller) is None
        if caller == one.owner and not gone:
            # before the work goes on: it may look at what is known
            self._answered(one, keys & one.open, word)
        answers = {key: {"action": word} for key in keys}
        asked = self.ask(caller, "tasks/update", taskId=one.id, inputResponses=answers)
        assert ("error" in asked.carrier.replies[0]) == gone
        assert len(asked.carrier.replies) == 1

    def _answered(self, one: Known, keys: set[str], word: str) -> None:
        if one.status not in TERMINAL and keys:
            one.asked |= dict.fromkeys(keys, word)
            one.status = "input_required" if one.open else "working"

    @rule(one=tasks, caller=CALLERS)
    def cancel(self, one: Known, caller: str | None) -> None:
        """A client cancels, perhaps another's task, perhaps again."""
        gone = self.look(one, caller) is None
        asked = self.ask(caller, "tasks/cancel", taskId=one.id)
        assert ("error" in asked.carrier.replies[0]) == gone
        if not gone and one.status not in TERMINAL:
            one.status = "cancelled"

    # --- what the tool does

    @rule(one=tasks, number=st.integers(0, 9))
    def report(self, one: Known, number: int) -> None:
        """The tool reports, perhaps too late."""
        if one.stream is not None:
            one.stream.write(f"step {number}")

    @rule(one=tasks, key=st.sampled_from(KEYS))
    def question(self, one: Known, key: str) -> None:
        """The tool asks, if it may."""
        if one.stream is None or key in one.asked or one.status in TERMINAL:
            return
        one.asked[key] = None
        one.status = "input_required"
        one.stream.elicit("Well?", key=key).addCallbacks(
            lambda answer: self._heard(one, key, answer.action), lambda failure: None
        )

    def _heard(self, one: Known, key: str, word: str) -> None:
        """An answer comes only to a question that was answered, and with the words of its client."""
        assert one.asked[key] == word

    @rule(one=tasks, how=st.sampled_from(["finished", "unspeakable", *ERRORS]))
    def end(self, one: Known, how: str) -> None:
        """The tool ends, perhaps for the second time."""
        if one.stream is None:
            return
        if one.status not in TERMINAL:
            one.status = "failed" if how == "failed" else "completed"
        if how in ERRORS:
            one.stream.fail(ERRORS[how])
        else:
            one.stream.finish("done" if how == "finished" else object)

    # --- what else happens

    @rule(seconds=st.sampled_from([0.1, 1, 30]))
    def wait(self, seconds: float) -> None:
        """Time passes; what works too long fails."""
        self.desk.clock.advance(seconds)
        for one in self.all:
            if one.status not in TERMINAL and one.stream.closed:
                assert self.desk.clock.seconds() >= TTL
                one.status = "failed"

    @rule()
    def stop(self) -> None:
        """The server cancels what runs."""
        self.desk.stop()
        for one in self.all:
            if one.status not in TERMINAL:
                one.status = "failed"

    @rule()
    def restart(self) -> None:
        """The process dies, and another one takes its place."""
        dead, now = self.desk, self.desk.clock.seconds()
        store = MemoryTasks()
        for kept in self.store.all_tasks():
            store.keep(kept)
        self.store, self.desk = store, self._new_desk(store)
        dead.stop()  # it has its own store, and nobody looks there any more
        self.desk.clock.advance(now)
        self.desk.tasks.restore()
        for one in self.all:
            if one.status not in TERMINAL:
                one.status = "failed"

    # --- what is always true

    @invariant()
    def each_sees_its_own(self) -> None:
        """The owner sees the state that is to be expected, or nothing any more; the others see nothing."""
        for one in self.all:
            for caller in (None, "alice", "bob"):
                seen = self.look(one, caller)
                if caller == one.owner:
                    self._as_expected(one, seen)
                else:
                    assert seen is None

    def _as_expected(self, one: Known, seen: dict[str, Any] | None) -> None:
        if seen is None:
            assert one.status in TERMINAL
            return
        assert seen["status"] == one.status
        assert set(seen.get("inputRequests", {})) == (one.open if one.status == "input_required" else set())
        assert ("result" in seen, "error" in seen) == (one.status == "completed", one.status == "failed")
        if one.last is not None and one.last["status"] in TERMINAL:
            assert seen == one.last
        one.last = seen

    @invariant()
    def the_store_knows_the_same(self) -> None:
        """What is kept stands where it stands here; there are not too many."""
        kept = {task.id: task.status.value for task in self.store.all_tasks()}
        assert len(kept) == len(self.desk.tasks) <= MOST
        assert all(one.status == kept[one.id] for one in self.all if one.id in kept)

    def teardown(self) -> None:
        """In the end nothing runs."""
        self.desk.stop()
        assert self.desk.nothing_left()


def test_tasks_in_any_order() -> None:
    """Whatever happens in whatever order."""
    run_state_machine_as_test(
        TasksInAnyOrder, settings=settings(max_examples=60, stateful_step_count=40, deadline=None)
    )
