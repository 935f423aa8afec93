"""Calls that become tasks: when they do, what becomes of them, who may see them, and how long."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import attrs
import pytest
from twisted.internet.defer import Deferred, succeed
from twisted.python.failure import Failure

from mcpserve import Call, Elicit, Stream, ToolError, tool
from mcpserve.errors import InvalidParams, UrlRequired
from mcpserve.protocol.revisions import LEGACY, V2026_07_28
from mcpserve.protocol.tasks import EXTENSION, Status, Task
from mcpserve.server.tasks import TaskLimits
from mcpserve.stores.tasks import MemoryTasks
from tests.garbage import cycles_left_by
from tests.server.desk import Asked, Desk

KNOWS = {"extensions": {EXTENSION: {}}, "elicitation": {}, "roots": {}}
UNKNOWN = (-32602, "Unknown task: there is none with this id, or it has expired")
AGREED = {"action": "accept", "content": {}}


@attrs.frozen
class Client:
    """A client that knows tasks."""

    desk: Desk
    name: str | None = None

    def ask(self, method: str, **params: Any) -> Asked:
        """Send a request."""
        return self.desk.ask(method, params, capabilities=KNOWS, caller=self.name)

    def call(self, name: str, **arguments: Any) -> Asked:
        """Call a tool."""
        return self.ask("tools/call", name=name, arguments=arguments)

    def begin(self, name: str, **arguments: Any) -> str:
        """Call a tool, and get a task."""
        result = self.call(name, **arguments).result
        assert result["resultType"] == "task"
        return str(result["taskId"])

    def get(self, task_id: str) -> dict[str, Any]:
        """Look at a task."""
        return self.ask("tasks/get", taskId=task_id).result

    def status(self, task_id: str) -> str:
        """Look where a task stands."""
        return str(self.get(task_id)["status"])

    def answer(self, task_id: str, **answers: Any) -> Asked:
        """Answer questions of a task."""
        return self.ask("tasks/update", taskId=task_id, inputResponses=answers)

    def cancel(self, task_id: str) -> Asked:
        """Cancel a task."""
        return self.ask("tasks/cancel", taskId=task_id)


@tool(task="optional")
async def bake(call: Call, loaves: int = 3) -> str:
    """Bake, a loaf a second."""
    for done in range(loaves):
        call.progress(done, loaves, f"loaf {done + 1}")
        call.log("info", "hot")
        await call.sleep(1)
    return f"Baked {loaves} loaves."


@tool(task="required")
async def fail_late(call: Call) -> str:
    """Fail after a second."""
    await call.sleep(1)
    raise ToolError("No more flour.")


@tool(task="optional")
async def break_late(call: Call) -> str:
    """Fail after a second, with an error of the protocol."""
    await call.sleep(1)
    raise InvalidParams("Not like this.")


@tool(task="optional")
async def confirm(call: Call) -> str:
    """Ask, and say what the answer was."""
    return (await call.elicit("Go on?")).action


@tool(task="optional")
async def confirm_twice(call: Call) -> str:
    """Ask two things at once."""
    answers = await call.ask(a=Elicit("A?"), b=Elicit("B?"))
    return " ".join(answer.action for answer in answers.values())


@tool(task="optional", defer_task=True)
async def later(call: Call, tasks: int = 1) -> str:
    """Ask first, become a task then, and ask again."""
    first = await call.elicit("First?")
    for _ in range(tasks):
        await call.start_task()
    second = await call.elicit("Second?")
    await call.sleep(1)
    return f"{first.action} {second.action}"


@tool
async def plain(call: Call) -> str:
    """Never be a task."""
    await call.start_task()
    await call.sleep(1)
    return "done"


@tool(task="optional")
def at_once() -> str:
    """Be done at once."""
    return "done"


@tool(task="optional", thread=True)
def blocking(call: Call) -> str:
    """Work in a thread."""
    call.progress(1, 2)
    return "worked"


streams: list[Stream] = []


@tool(task="optional")
def taken(stream: Stream) -> None:
    """Take the response over."""
    streams.append(stream)


@attrs.frozen
class Choice:
    """A form."""

    keep: bool


@tool(task="optional")
async def choose(call: Call) -> str:
    """Ask with a form."""
    answer = await call.elicit("Keep it?", Choice)
    assert answer.form is not None
    return f"keep: {answer.form.keep}"


TOOLS = [bake, fail_late, break_late, choose, confirm, confirm_twice, later, plain, at_once, blocking, taken]


@pytest.fixture
def desk() -> Desk:
    """A desk with all tools."""
    streams.clear()
    return Desk(*TOOLS)


@pytest.fixture
def client(desk: Desk) -> Client:
    """Its client."""
    return Client(desk)


# --- when a call becomes a task


def test_answered_with_a_task(client: Client) -> None:
    """The answer says what is needed to come back, and nothing more; the task is there at once."""
    result = client.call("bake").result
    task_id = result.pop("taskId")
    assert result == {
        "resultType": "task",
        "status": "working",
        "createdAt": "1970-01-01T00:00:00.000Z",
        "lastUpdatedAt": "1970-01-01T00:00:00.000Z",
        "ttlMs": 3_600_000,
        "pollIntervalMs": 1000,
        "_meta": result["_meta"],
    }
    assert client.get(task_id)["resultType"] == "complete"


def test_ids_are_not_to_be_guessed(client: Client) -> None:
    """They have 192 random bits, and go into a header as they are."""
    ids = {client.begin("bake") for _ in range(50)}
    assert len(ids) == 50
    assert all(len(one) == 32 and one.isascii() for one in ids)


def test_a_client_without_the_extension_waits(desk: Desk) -> None:
    """An optional task is an ordinary call for it, with progress and log messages."""
    asked = desk.call("bake", loaves=2)
    desk.clock.pump([1] * 2)
    assert asked.text == "Baked 2 loaves."
    assert [notice["method"] for notice in asked.carrier.notices] == [
        "notifications/progress",
        "notifications/message",
    ] * 2
    assert len(desk.tasks) == 0


@pytest.mark.parametrize("revision", [*LEGACY.values(), V2026_07_28])
def test_required_and_not_declared(desk: Desk, revision: Any) -> None:
    """The error names the extension; nothing runs."""
    asked = desk.ask("tools/call", {"name": "fail_late"}, revision)
    assert asked.carrier.replies[0]["error"]["data"] == {"requiredCapabilities": {"extensions": {EXTENSION: {}}}}
    assert asked.error[0] == -32021
    assert desk.nothing_left()


@pytest.mark.parametrize("revision", LEGACY.values())
def test_sessions_have_no_tasks(desk: Desk, revision: Any) -> None:
    """Not even if the client declares them."""
    asked = desk.ask("tools/call", {"name": "at_once"}, revision, capabilities=KNOWS)
    assert asked.text == "done"
    for method in ("tasks/get", "tasks/update", "tasks/cancel"):
        assert desk.ask(method, {"taskId": "x"}, revision, capabilities=KNOWS).error[0] == -32601


def test_never_a_task(client: Client) -> None:
    """A tool that does not say so never becomes one, whatever it does."""
    asked = client.call("plain")
    client.desk.clock.advance(1)
    assert asked.text == "done"


def test_wrong_arguments_make_no_task(client: Client) -> None:
    """They are answered at once."""
    assert client.call("bake", loaves="many").result["isError"]
    assert len(client.desk.tasks) == 0


@pytest.mark.parametrize(("name", "text"), [("at_once", "done"), ("blocking", "worked")])
def test_sync_functions(client: Client, name: str, text: str) -> None:
    """What is done at once is a task all the same, and has its result already."""
    task = client.get(client.begin(name))
    assert (task["status"], task["result"]["content"][0]["text"]) == ("completed", text)


def test_a_stream(client: Client) -> None:
    """A tool that takes the response over goes on, unheard but for its progress."""
    task_id = client.begin("taken")
    (stream,) = streams
    stream.write("chunk")
    assert client.get(task_id)["statusMessage"] == "chunk"
    stream.finish("done")
    assert client.get(task_id)["result"]["content"][0]["text"] == "done"


# --- questions before there is a task


def test_asked_before_there_is_a_task(client: Client) -> None:
    """First an ordinary question, then the task; the answer is known in it."""
    first = client.call("later").result
    assert (first["resultType"], "taskId" in first) == ("input_required", False)
    again = {"requestState": first["requestState"], "inputResponses": {"elicit-1": {"action": "decline"}}}
    created = client.ask("tools/call", name="later", arguments={}, **again).result
    assert created["resultType"] == "task"
    assert not {"requestState", "inputRequests"} & set(created)
    task_id = created["taskId"]
    assert set(client.get(task_id)["inputRequests"]) == {"elicit-2"}
    client.answer(task_id, **{"elicit-2": AGREED})
    client.desk.clock.advance(1)
    assert client.get(task_id)["result"]["content"][0]["text"] == "decline accept"
    assert client.desk.nothing_left()


@pytest.mark.parametrize("tasks", [0, 1, 2])
def test_a_task_is_begun_once(client: Client, tasks: int) -> None:
    """A tool that never says so is answered as any other; one that says so twice has one task."""
    asked = client.ask("tools/call", name="later", arguments={"tasks": tasks}, inputResponses={"elicit-1": AGREED})
    assert asked.result["resultType"] == ("task" if tasks else "input_required")
    assert len(client.desk.tasks) == min(tasks, 1)


def test_progress_before_and_after(client: Client) -> None:
    """What was said before stays with the request; what comes after is the task's message."""

    @tool(task="optional", defer_task=True)
    async def turn(call: Call) -> None:
        """Report, become a task, report."""
        call.progress(1, message="before")
        await call.start_task()
        call.progress(2, message="after")
        await call.sleep(1)

    client = Client(Desk(turn))
    asked = client.call("turn")
    assert [notice["params"]["message"] for notice in asked.carrier.notices] == ["before"]
    assert client.get(asked.result["taskId"])["statusMessage"] == "after"


def test_a_slow_reader_does_not_hold_up_a_task() -> None:
    """Who waited for the reader of the request goes on when nobody reads any more."""

    @tool(task="optional", defer_task=True)
    async def turn(call: Call) -> str:
        """Become a task while the reader is behind."""
        await call.sleep(1)
        await call.start_task()
        await call.progress(1)
        return "done"

    client = Client(Desk(turn))
    asked = client.call("turn")
    asked.exchange.pause()
    client.desk.clock.advance(1)
    assert client.status(asked.result["taskId"]) == "completed"


# --- while it works


def test_progress_is_the_message(client: Client) -> None:
    """A message as it is, numbers as a sentence; log messages nowhere."""
    task_id = client.begin("bake")
    assert client.get(task_id)["statusMessage"] == "loaf 1"
    client.desk.clock.advance(1)
    task = client.get(task_id)
    assert (task["statusMessage"], task["lastUpdatedAt"]) == ("loaf 2", "1970-01-01T00:00:01.000Z")


@pytest.mark.parametrize(
    ("said", "message"),
    [
        ((1,), "1"),
        ((0.5,), "0.5"),
        ((1, 4), "1 of 4"),
        ((1, 4, "go"), "go"),
        ((2, None, ""), ""),
        ((3e9, 4e9), "3000000000 of 4000000000"),
    ],
)
def test_numbers_as_a_message(said: Any, message: str) -> None:
    """What there is, in words."""

    @tool(task="optional")
    async def report(call: Call) -> None:
        """Report once."""
        call.progress(*said)
        await call.sleep(1)

    client = Client(Desk(report))
    assert client.get(client.begin("report"))["statusMessage"] == message


def test_the_request_does_not_matter_any_more(client: Client) -> None:
    """The client of the first request may go, and withdraw it; the task goes on."""
    asked = client.call("bake")
    asked.exchange.lost()
    asked.exchange.withdraw()
    client.desk.clock.pump([1] * 3)
    assert client.status(asked.result["taskId"]) == "completed"
    assert (len(asked.carrier.replies), asked.carrier.notices) == (1, [])


# --- how it ends


def test_completed(client: Client) -> None:
    """The result is what the call would have been answered with."""
    task_id = client.begin("bake")
    client.desk.clock.pump([1] * 3)
    task = client.get(task_id)
    assert (task["status"], task["lastUpdatedAt"]) == ("completed", "1970-01-01T00:00:03.000Z")
    assert task["result"]["content"] == [{"type": "text", "text": "Baked 3 loaves."}]
    assert not {"statusMessage", "error", "inputRequests"} & set(task)
    assert client.desk.nothing_left()


def test_a_tool_that_fails_has_completed(client: Client) -> None:
    """Its result says what went wrong."""
    task_id = client.begin("fail_late")
    client.desk.clock.advance(1)
    task = client.get(task_id)
    assert (task["status"], task["result"]["isError"]) == ("completed", True)


def test_failed(client: Client) -> None:
    """A JSON-RPC error is the task's error, and its message too."""
    task_id = client.begin("break_late")
    client.desk.clock.advance(1)
    task = client.get(task_id)
    assert (task["status"], task["error"]) == ("failed", {"code": -32602, "message": "Not like this."})
    assert (task["statusMessage"], "result" in task) == ("Not like this.", False)


@pytest.mark.parametrize("name", ["bake", "confirm", "taken"])
def test_cancelled(client: Client, name: str) -> None:
    """The acknowledgement is empty, the work is cancelled in the same turn; to cancel again changes nothing."""
    task_id = client.begin(name)
    assert set(client.cancel(task_id).result) == {"resultType", "_meta"}
    task = client.get(task_id)
    assert (task["status"], task["statusMessage"]) == ("cancelled", "Cancelled, as the client asked")
    assert client.desk.nothing_left()
    assert set(client.cancel(task_id).result) == {"resultType", "_meta"}
    assert client.get(task_id) == task


def test_cancelling_what_has_completed(client: Client) -> None:
    """It stays completed."""
    task_id = client.begin("at_once")
    client.cancel(task_id)
    assert client.status(task_id) == "completed"


def test_the_tools_timeout() -> None:
    """It applies, and is a result that the model reads."""

    @tool(task="optional", timeout=5)
    async def slow(call: Call) -> None:
        """Take long."""
        await call.sleep(10)

    client = Client(Desk(slow))
    task_id = client.begin("slow")
    client.desk.clock.advance(5.1)
    assert client.get(task_id)["result"]["content"][0]["text"] == "The tool did not finish within 5 s"
    assert client.desk.nothing_left()


@pytest.mark.parametrize("name", ["bake", "confirm", "taken"])
def test_the_server_stops(client: Client, name: str) -> None:
    """What works then has failed, and says why; nothing is left."""
    task_id = client.begin(name)
    client.desk.stop()
    task = client.get(task_id)
    assert (task["status"], task["error"]["code"]) == ("failed", -32603)
    assert task["error"]["message"] == task["statusMessage"] == "The server is shutting down; call again"
    assert client.desk.nothing_left()


def test_the_server_is_about_to_stop(client: Client) -> None:
    """What waits for an answer ends at once, as none can come; what works goes on."""
    parked, works = client.begin("confirm"), client.begin("bake")
    client.desk.tasks.end_parked()
    assert (client.status(parked), client.status(works)) == ("failed", "working")


# --- questions of a task


def test_a_question(client: Client) -> None:
    """The task waits; the answer lets it go on, after the acknowledgement."""
    task_id = client.begin("confirm")
    task = client.get(task_id)
    assert (task["status"], task["inputRequests"]["elicit-1"]["method"]) == ("input_required", "elicitation/create")
    assert set(client.answer(task_id, **{"elicit-1": {"action": "cancel"}}).result) == {"resultType", "_meta"}
    assert client.get(task_id)["result"]["content"][0]["text"] == "cancel"
    assert client.desk.nothing_left()


@pytest.mark.parametrize("order", ["ab", "ba"])
def test_one_answer_after_the_other(client: Client, order: str) -> None:
    """What is answered is not asked any more; the work goes on with the last."""
    task_id = client.begin("confirm_twice")
    assert set(client.get(task_id)["inputRequests"]) == {"a", "b"}
    client.answer(task_id, **{order[0]: AGREED})
    assert (client.status(task_id), set(client.get(task_id)["inputRequests"])) == ("input_required", {order[1]})
    client.answer(task_id, **{order[0]: {"action": "cancel"}, order[1]: {"action": "decline"}})
    texts = {"ab": "accept decline", "ba": "decline accept"}
    assert client.get(task_id)["result"]["content"][0]["text"] == texts[order]


@pytest.mark.parametrize("answers", [{}, {"nobody": AGREED}, {"elicit-2": "nonsense"}])
def test_answers_to_nothing(client: Client, answers: Any) -> None:
    """They are acknowledged and ignored."""
    task_id = client.begin("confirm")
    before = client.get(task_id)
    assert client.answer(task_id, **answers).result["resultType"] == "complete"
    assert client.get(task_id) == before


@pytest.mark.parametrize("name", ["bake", "at_once"])
def test_answers_to_one_who_does_not_ask(client: Client, name: str) -> None:
    """They are acknowledged and ignored, whether it works or has ended."""
    task_id = client.begin(name)
    before = client.get(task_id)
    assert client.answer(task_id, a=AGREED).result["resultType"] == "complete"
    assert client.get(task_id) == before


@pytest.mark.parametrize("wrong", [None, 1, [], {}, {"action": "shrug"}, {"action": "accept", "content": []}])
def test_an_answer_of_another_shape(client: Client, wrong: Any) -> None:
    """It is refused with its key, and no other answer is taken with it: the client may answer again."""
    task_id = client.begin("confirm_twice")
    code, message = client.answer(task_id, a=AGREED, b=wrong).error
    assert (code, message.partition(": ")[0]) == (-32602, "params.inputResponses.b")
    assert set(client.get(task_id)["inputRequests"]) == {"a", "b"}
    client.answer(task_id, a=AGREED, b=AGREED)
    assert client.status(task_id) == "completed"


def test_a_form_that_is_not_filled_in_right(client: Client) -> None:
    """It is refused with what is wrong in it, and the task still waits: it can be mended."""
    task_id = client.begin("choose")
    code, message = client.answer(task_id, **{"elicit-1": {"action": "accept", "content": {"keep": "x"}}}).error
    assert code == -32602
    assert "keep" in message
    assert client.status(task_id) == "input_required"
    client.answer(task_id, **{"elicit-1": {"action": "accept", "content": {"keep": True}}})
    assert client.get(task_id)["result"]["content"][0]["text"] == "keep: True"


@pytest.mark.parametrize("wrong", [None, 1, [], "x"])
def test_answers_that_are_none(client: Client, wrong: Any) -> None:
    """`inputResponses` is an object, and must be there."""
    task_id = client.begin("confirm")
    assert client.ask("tasks/update", taskId=task_id, inputResponses=wrong).error[0] == -32602
    assert client.ask("tasks/update", taskId=task_id).error[0] == -32602


def test_a_question_that_was_not_declared() -> None:
    """Nothing is asked; the task fails with the error that an ordinary call would have had."""
    desk = Desk(confirm)
    only = {"extensions": {EXTENSION: {}}}
    task_id = desk.ask("tools/call", {"name": "confirm"}, capabilities=only).result["taskId"]
    task = desk.ask("tasks/get", {"taskId": task_id}, capabilities=only).result
    assert (task["status"], task["error"]["code"]) == ("failed", -32021)


def test_a_page_to_visit_first() -> None:
    """A task can't be called again, so its result says what the user has to do."""

    @tool(task="optional")
    async def sign(call: Call) -> None:
        """Need a signature."""
        raise UrlRequired("Sign here:", "https://x.example/sign")

    desk = Desk(sign)
    knows = {"extensions": {EXTENSION: {}}, "elicitation": {"url": {}}}
    task_id = desk.ask("tools/call", {"name": "sign"}, capabilities=knows).result["taskId"]
    task = desk.ask("tasks/get", {"taskId": task_id}, capabilities=knows).result
    assert (task["status"], task["result"]["resultType"], task["result"]["isError"]) == ("completed", "complete", True)
    assert task["result"]["content"][0]["text"] == "Sign here: https://x.example/sign"


def test_a_question_that_is_taken_back() -> None:
    """The task works again, and an answer that comes then is ignored."""

    @tool(task="optional")
    async def impatient(call: Call) -> str:
        """Wait for an answer, but not long."""
        question = call.elicit("Well?")
        call.call_later(1, question.cancel)
        try:
            await question
        except BaseException:
            await call.sleep(5)
        return "done"

    client = Client(Desk(impatient))
    task_id = client.begin("impatient")
    client.desk.clock.advance(1)
    assert client.status(task_id) == "working"
    client.answer(task_id, **{"elicit-1": AGREED})
    assert client.status(task_id) == "working"
    client.desk.clock.advance(5)
    assert client.status(task_id) == "completed"


def test_the_first_answer_ends_the_work() -> None:
    """The second, which came with it, has nobody left to go to."""
    told: list[str] = []

    @tool(task="optional")
    def either(stream: Stream) -> None:
        """Finish with the first answer."""
        for key in "ab":
            stream.elicit("Well?", key=key).addCallbacks(
                lambda answer: (told.append(answer.action), stream.finish("done")), lambda failure: None
            )

    client = Client(Desk(either))
    task_id = client.begin("either")
    client.answer(task_id, a=AGREED, b={"action": "decline"})
    assert (told, client.status(task_id)) == (["accept"], "completed")
    assert client.desk.nothing_left()


# --- who may see it


@pytest.mark.parametrize("method", ["tasks/get", "tasks/update", "tasks/cancel"])
@pytest.mark.parametrize("other", [None, "bob"])
def test_tasks_of_another_caller(desk: Desk, method: str, other: str | None) -> None:
    """They are not there, in the same words as those that never were; and nothing happens to them."""
    alice = Client(desk, "alice")
    task_id = alice.begin("confirm")
    params = {"inputResponses": {"elicit-1": AGREED}}
    assert Client(desk, other).ask(method, taskId=task_id, **params).error == UNKNOWN
    assert Client(desk, other).ask(method, taskId="x" * 32, **params).error == UNKNOWN
    assert alice.status(task_id) == "input_required"


@pytest.mark.parametrize("method", ["tasks/get", "tasks/update", "tasks/cancel"])
def test_methods_need_the_extension(desk: Desk, method: str) -> None:
    """Each request declares it anew."""
    task_id = Client(desk).begin("bake")
    asked = desk.ask(method, {"taskId": task_id, "inputResponses": {}})
    assert (asked.error[0], asked.carrier.statuses) == (-32021, [400])
    assert Client(desk).status(task_id) == "working"


@pytest.mark.parametrize("wrong", [None, 1, [], {}])
def test_ids_are_texts(client: Client, wrong: Any) -> None:
    """Anything else is refused."""
    assert client.ask("tasks/get", taskId=wrong).error[0] == -32602


# --- how long, and how many


def test_what_has_ended_expires(client: Client) -> None:
    """It is there until its time is over, and not longer."""
    client = Client(Desk(*TOOLS, tasks=TaskLimits(ttl=10)))
    task_id = client.begin("at_once")
    client.desk.clock.advance(9.9)
    assert client.status(task_id) == "completed"
    client.desk.clock.advance(0.1)
    assert client.ask("tasks/get", taskId=task_id).error == UNKNOWN
    assert len(client.desk.tasks) == 0


@pytest.mark.parametrize("name", ["bake", "confirm"])
def test_what_works_too_long(name: str) -> None:
    """It has failed when its time is over, and is there to be looked at as long again."""
    client = Client(Desk(*TOOLS, tasks=TaskLimits(ttl=10)))
    task_id = client.call(name, **({"loaves": 100} if name == "bake" else {})).result["taskId"]
    client.desk.clock.pump([1] * 10)
    client.desk.clock.advance(0.01)
    task = client.get(task_id)
    assert (task["status"], task["error"]["message"]) == ("failed", "The task did not end within its time to live")
    assert task["ttlMs"] == pytest.approx(20_000, abs=20)
    assert client.desk.nothing_left()
    client.desk.clock.advance(10)
    assert client.ask("tasks/get", taskId=task_id).error == UNKNOWN


def test_a_late_result_has_its_time(client: Client) -> None:
    """A result that came shortly before the end of the time to live can still be fetched."""
    client = Client(Desk(*TOOLS, tasks=TaskLimits(ttl=10)))
    task_id = client.call("bake", loaves=9).result["taskId"]
    client.desk.clock.pump([1] * 18)
    assert client.status(task_id) == "completed"


def test_the_oldest_that_has_ended_gives_way() -> None:
    """What works stays, however old it is."""
    client = Client(Desk(*TOOLS, tasks=TaskLimits(count=3)))
    works, first, second = client.begin("confirm"), client.begin("at_once"), client.begin("at_once")
    third = client.begin("at_once")
    assert client.ask("tasks/get", taskId=first).error == UNKNOWN
    assert [client.status(one) for one in (works, second, third)] == ["input_required", "completed", "completed"]


def test_no_room() -> None:
    """When all are at work, the call is answered with an error that the model reads, and nothing runs."""
    client = Client(Desk(*TOOLS, tasks=TaskLimits(count=2)))
    for _ in range(2):
        client.begin("confirm")
    asked = client.call("confirm")
    assert (asked.text, asked.result["isError"]) == ("The server is busy: 2 tasks are at work. Try again later.", True)
    assert (len(client.desk.tasks), len(client.desk.calls.running)) == (2, 2)


def test_no_room_for_a_later_task() -> None:
    """The tool that says so gets the error, and may go on without."""

    @tool(task="optional", defer_task=True)
    async def flexible(call: Call) -> str:
        """Be a task if it can be."""
        try:
            await call.start_task()
        except ToolError as error:
            return f"without: {error}"
        return "with"

    client = Client(Desk(flexible, confirm, tasks=TaskLimits(count=1)))
    client.begin("confirm")
    assert client.call("flexible").text.startswith("without: The server is busy")


def test_the_tasks_of_one_caller() -> None:
    """One caller's tasks leave room for those of others, and make room for its own."""
    desk = Desk(*TOOLS, tasks=TaskLimits(of_caller=2))
    alice, bob = Client(desk, "alice"), Client(desk, "bob")
    first, works, others = alice.begin("at_once"), alice.begin("confirm"), bob.begin("at_once")
    alice.begin("confirm")
    assert alice.ask("tasks/get", taskId=first).error == UNKNOWN
    assert (alice.status(works), bob.status(others)) == ("input_required", "completed")
    assert alice.call("at_once").text == "You have 2 tasks at work. Try again later."
    assert bob.begin("confirm")


def test_callers_without_a_name_share_the_total() -> None:
    """Nobody knows how many they are."""
    client = Client(Desk(*TOOLS, tasks=TaskLimits(of_caller=1)))
    assert [client.status(client.begin("confirm")) for _ in range(3)] == ["input_required"] * 3


def test_large_outcomes() -> None:
    """Together they keep within their bound; the last is there in any case."""

    @tool(task="optional")
    def large() -> str:
        """Say much."""
        return "x" * 1000

    client = Client(Desk(large, tasks=TaskLimits(size=2500)))
    first, second, third = (client.begin("large") for _ in range(3))
    assert client.ask("tasks/get", taskId=first).error == UNKNOWN
    assert [client.status(one) for one in (second, third)] == ["completed"] * 2
    small = Client(Desk(large, tasks=TaskLimits(size=10)))
    assert small.status(small.begin("large")) == "completed"


@pytest.mark.parametrize("name", ["at_once", "taken", "confirm"])
def test_nothing_for_the_collector(name: str) -> None:
    """A task that has ended by itself leaves no cycle of ours."""
    client = Client(Desk(*TOOLS))

    def live() -> None:
        task_id = client.begin(name)
        if name == "taken":
            streams.pop().finish("done")
        client.answer(task_id, **{"elicit-1": AGREED})
        assert client.status(task_id) == "completed"

    assert cycles_left_by(live) == []


# --- the store


@attrs.define
class Disk:
    """A store that is done when the test says so, or fails."""

    kept: MemoryTasks = attrs.Factory(MemoryTasks)
    waiting: list[Deferred[None]] = attrs.Factory(list)
    slow: bool = True
    broken: bool = False

    def keep(self, task: Task) -> Deferred[None]:
        """See `TaskStore`."""
        done: Deferred[None] = Deferred()
        if self.broken:
            done.errback(OSError("disk full"))
            return done
        self.kept.keep(task)
        if not self.slow:
            return succeed(None)
        self.waiting.append(done)
        return done

    def forget(self, task_id: str) -> Deferred[None]:
        """See `TaskStore`."""
        return self.kept.forget(task_id)

    def all_tasks(self) -> Sequence[Task]:
        """See `TaskStore`."""
        return self.kept.all_tasks()

    def turn(self) -> None:
        """What waits is done."""
        waiting, self.waiting = self.waiting, []
        for done in waiting:
            done.callback(None)


def statuses(store: Disk | MemoryTasks) -> list[Status]:
    """Where the kept tasks stand."""
    return [task.status for task in store.all_tasks()]


def test_kept_before_it_is_answered() -> None:
    """The client hears of the task, and the work begins, when it is durable."""
    disk = Disk()
    client = Client(Desk(*TOOLS, store=disk))
    asked = client.call("bake")
    assert (asked.carrier.replies, statuses(disk), len(client.desk.wheel)) == ([], [Status.WORKING], 0)
    disk.turn()
    assert client.get(asked.result["taskId"])["statusMessage"] == "loaf 1"


@pytest.mark.parametrize("event", ["lost", "withdraw", "stop"])
def test_the_client_goes_before_the_task_is_kept(event: str) -> None:
    """It never heard of the task, so there is none; nothing runs."""
    disk = Disk()
    client = Client(Desk(*TOOLS, store=disk))
    asked = client.call("bake")
    {"lost": asked.exchange.lost, "withdraw": asked.exchange.withdraw, "stop": client.desk.stop}[event]()
    disk.waiting.clear()
    assert (len(client.desk.tasks), statuses(disk), client.desk.nothing_left()) == (0, [], True)


def test_the_work_ends_before_its_task_is_kept() -> None:
    """A tool that did not wait for the task may be done before: it is answered with its result, and there is none."""

    @tool(task="optional", defer_task=True)
    def hasty(stream: Stream) -> None:
        """Become a task, and be done."""
        stream.start_task().addErrback(lambda failure: None)
        stream.finish("done")

    disk = Disk()
    client = Client(Desk(hasty, store=disk))
    asked = client.call("hasty")
    disk.turn()
    assert (asked.text, len(client.desk.tasks), statuses(disk)) == ("done", 0, [])


@pytest.mark.usefixtures("logged_errors")
def test_a_task_that_can_not_be_kept() -> None:
    """The call fails, as there is nothing that the client could come back for."""
    client = Client(Desk(*TOOLS, store=Disk(broken=True)))
    asked = client.call("bake")
    assert asked.text.startswith("The tool failed; the server's log has the reason under id ")
    assert (len(client.desk.tasks), client.desk.nothing_left()) == (0, True)


def test_a_later_state_that_can_not_be_kept(flush_logged_errors: Callable[..., list[Failure]]) -> None:
    """It is logged; the task goes on."""
    disk = Disk(slow=False)
    client = Client(Desk(*TOOLS, store=disk))
    task_id = client.begin("bake")
    disk.broken = True
    client.desk.clock.pump([1] * 3)
    assert client.status(task_id) == "completed"
    assert len(flush_logged_errors(OSError)) == 1


def test_what_is_kept_of_a_task() -> None:
    """Where it stands; its messages pass."""
    disk = Disk(slow=False)
    client = Client(Desk(*TOOLS, store=disk))
    client.begin("bake")
    client.desk.clock.advance(1)
    assert [task.message for task in disk.all_tasks()] == [None]
    client.desk.clock.pump([1] * 2)
    assert statuses(disk) == [Status.COMPLETED]


def test_what_is_forgotten_is_not_kept() -> None:
    """Neither what expires nor what gives way."""
    disk = Disk(slow=False)
    client = Client(Desk(*TOOLS, store=disk, tasks=TaskLimits(count=2, ttl=10)))
    for _ in range(3):
        client.begin("at_once")
    assert len(disk.all_tasks()) == 2
    client.desk.clock.advance(10)
    client.ask("tasks/get", taskId="x")
    assert disk.all_tasks() == []


def test_a_server_that_starts_again() -> None:
    """What has ended is there again; what was at work has failed, and is kept so."""
    store = MemoryTasks()
    before = Client(Desk(*TOOLS, store=store), "alice")
    done, works, asks = before.begin("at_once"), before.begin("bake"), before.begin("confirm")
    desk = Desk(*TOOLS, store=store)
    after = Client(desk, "alice")
    desk.tasks.restore()
    assert after.get(done) == before.get(done)
    for task_id in (works, asks):
        task = after.get(task_id)
        assert (task["status"], "inputRequests" in task) == ("failed", False)
        assert task["error"]["message"] == "The server was restarted while the task was at work; call again"
    assert set(statuses(store)) == {Status.COMPLETED, Status.FAILED}
    assert Client(desk, "bob").ask("tasks/get", taskId=done).error == UNKNOWN


def test_what_expired_meanwhile() -> None:
    """It is not there again, and not kept any longer; the rest counts, and expires in its turn."""
    store = MemoryTasks()
    before = Client(Desk(*TOOLS, store=store, tasks=TaskLimits(ttl=10)))
    old = before.begin("at_once")
    before.desk.clock.advance(5)
    young = before.begin("at_once")
    desk = Desk(*TOOLS, store=store, tasks=TaskLimits(ttl=10))
    desk.clock.advance(12)
    desk.tasks.restore()
    after = Client(desk)
    assert after.ask("tasks/get", taskId=old).error == UNKNOWN
    assert (after.status(young), len(desk.tasks), len(store.all_tasks())) == ("completed", 1, 1)
    desk.clock.advance(3)
    assert after.ask("tasks/get", taskId=young).error == UNKNOWN


def test_they_expire_in_the_order_of_their_ends_after_a_restart() -> None:
    """Not in that of their beginnings."""
    store = MemoryTasks()
    before = Client(Desk(*TOOLS, store=store, tasks=TaskLimits(ttl=10)))
    slow, quick = before.begin("bake"), before.begin("at_once")
    before.desk.clock.pump([1] * 5)
    desk = Desk(*TOOLS, store=store, tasks=TaskLimits(ttl=10))
    desk.clock.advance(5)
    desk.tasks.restore()
    desk.clock.advance(5)
    after = Client(desk)
    assert after.ask("tasks/get", taskId=quick).error == UNKNOWN
    assert after.status(slow) == "completed"


# --- the option


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"task": "maybe"}, "task is 'never', 'optional' or 'required'"),
        ({"defer_task": True}, "defer_task is for a tool that may be a task"),
        ({"defer_task": True, "task": "optional", "thread": True}, "does not run in a thread"),
    ],
)
def test_options_that_do_not_fit(options: Any, words: str) -> None:
    """They are found when the plugin is loaded."""

    @tool(**options)
    def wrong() -> None:
        """Do nothing."""

    with pytest.raises(Exception, match=words):
        Desk(wrong)
