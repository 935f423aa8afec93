"""Tasks on the wire: statuses, headers, what stays when a connection goes, and who hears of a task."""

from __future__ import annotations

from typing import Any

import pytest

from mcpserve import Call, Stream, tool
from mcpserve.server.tasks import TaskLimits
from tests.wire.http import Peer
from tests.wire.server import CAPABILITIES, PREFIX, TASK_METHODS, Limits, Server
from tests.wire.tools import echo

EXTENSION = PREFIX + "tasks"
ID = PREFIX + "subscriptionId"
KNOWS = {"extensions": {EXTENSION: {}}, "elicitation": {}}


@tool(task="optional")
async def bake(call: Call, loaves: int = 3) -> str:
    """Bake, a loaf a second."""
    for done in range(loaves):
        await call.progress(done, loaves)
        call.log("info", "hot")
        await call.sleep(1)
    return f"Baked {loaves} loaves."


@tool(task="required")
async def confirm(call: Call) -> str:
    """Ask."""
    return (await call.elicit("Go on?")).action


@tool(task="required", defer_task=True)
async def late(call: Call) -> str:
    """Report, become a task, and be done."""
    await call.progress(1, message="before")
    await call.start_task()
    await call.progress(2, message="after")
    await call.sleep(1)
    return "done"


def ask(server: Server, method: str, task_id: Any = None, **more: Any) -> Peer:
    """A request of a client that knows tasks."""
    params = {**more.pop("params", {}), **({} if task_id is None else {"taskId": task_id})}
    return server.modern(method, params, meta={CAPABILITIES: KNOWS, **more.pop("meta", {})}, **more)


def begin(server: Server, name: str = "bake", **more: Any) -> str:
    """Call a tool, and get a task."""
    peer = ask(server, "tools/call", params={"name": name, "arguments": {}}, **more)
    assert (peer.status, peer.result["resultType"]) == (200, "task")
    return str(peer.result["taskId"])


def serving(*tools: Any, **limits: Any) -> Server:
    """A server with these tools, or all."""
    return Server(*(tools or (bake, confirm, late, echo)), limits=Limits(**limits))


def assert_error(peer: Peer, status: int, code: int) -> Any:
    """The answer is this error."""
    assert (peer.status, peer.error["code"]) == (status, code), peer.json
    return peer.error


# --- requests


def test_a_task_from_its_beginning_to_its_end() -> None:
    """All is plain JSON: the handle, what it says meanwhile, the result."""
    server = serving()
    peer = ask(server, "tools/call", params={"name": "bake", "arguments": {"loaves": 2}}, meta={"progressToken": 1})
    assert (peer.status, peer.type, peer.result["resultType"]) == (200, "application/json", "task")
    task_id = peer.result["taskId"]
    first = ask(server, "tasks/get", task_id)
    assert (first.status, first.result["status"], first.result["statusMessage"]) == (200, "working", "0 of 2")
    server.seconds(2)
    result = ask(server, "tasks/get", task_id).result
    assert (result["status"], result["result"]["content"][0]["text"]) == ("completed", "Baked 2 loaves.")
    assert server.leftovers() == []


def test_the_connection_goes() -> None:
    """The task does not notice."""
    server = serving()
    peer = ask(server, "tools/call", params={"name": "bake", "arguments": {}})
    peer.drop()
    server.seconds(3)
    assert ask(server, "tasks/get", peer.result["taskId"]).result["status"] == "completed"


def test_a_stream_that_ends_with_a_task() -> None:
    """What was said before came over the stream, which then ends with the handle."""
    server = serving()
    peer = ask(server, "tools/call", params={"name": "late", "arguments": {}}, meta={"progressToken": 1})
    progress, reply = peer.messages
    assert (progress["params"]["message"], reply["result"]["resultType"], peer.complete) == ("before", "task", True)
    assert ask(server, "tasks/get", reply["result"]["taskId"]).result["statusMessage"] == "after"


@pytest.mark.parametrize("method", TASK_METHODS)
def test_D29_not_declared(method: str) -> None:
    """400, and the extension that is missing."""
    server = serving()
    task_id = begin(server)
    error = assert_error(server.modern(method, {"taskId": task_id, "inputResponses": {}}), 400, -32021)
    assert error["data"] == {"requiredCapabilities": {"extensions": {EXTENSION: {}}}}


def test_D24_a_tool_that_must_be_a_task() -> None:
    """Likewise, before anything runs."""
    server = serving()
    error = assert_error(server.call("confirm"), 400, -32021)
    assert error["data"] == {"requiredCapabilities": {"extensions": {EXTENSION: {}}}}
    assert server.leftovers() == []


def test_a_tool_that_may_be_a_task() -> None:
    """It is none for a client that did not declare them."""
    server = serving()
    peer = server.call("bake", {"loaves": 1}, token=1)
    server.seconds(1)
    assert [message.get("method") for message in peer.messages] == ["notifications/progress", None]


@pytest.mark.parametrize("method", TASK_METHODS)
@pytest.mark.parametrize("task_id", ["", "nobody", "x" * 10_000])
def test_D30_unknown(method: str, task_id: str) -> None:
    """An error of the protocol that says nothing more."""
    peer = ask(serving(), method, task_id, params={"inputResponses": {}})
    assert assert_error(peer, 200, -32602)["message"] == "Unknown task: there is none with this id, or it has expired"


def test_D30_expired() -> None:
    """The same as one that never was."""
    server = serving(tasks=TaskLimits(ttl=60))
    task_id = begin(server)
    server.seconds(62)
    assert ask(server, "tasks/get", task_id).result["status"] == "completed"
    server.seconds(2)
    assert_error(ask(server, "tasks/get", task_id), 200, -32602)


@pytest.mark.parametrize("method", TASK_METHODS)
@pytest.mark.parametrize("params", [{}, {"taskId": None}, {"taskId": 1}, {"taskId": {}}])
def test_D10_id_missing(method: str, params: Any) -> None:
    """The id must be there, and be a text."""
    assert_error(ask(serving(), method, params=params), 200, -32602)


@pytest.mark.parametrize("method", TASK_METHODS)
@pytest.mark.parametrize("header", [None, "", "another", "BAKE"])
def test_D11_the_header_names_the_task(method: str, header: str | None) -> None:
    """It must be there, and be the one of the body; nothing happens to the task."""
    server = serving()
    task_id = begin(server)
    peer = ask(server, method, task_id, params={"inputResponses": {}}, headers={"Mcp-Name": header})
    assert_error(peer, 400, -32020)
    assert ask(server, "tasks/get", task_id).result["status"] == "working"


@pytest.mark.parametrize("method", ["tasks/list", "tasks/result"])
def test_D9_methods_of_earlier_drafts(method: str) -> None:
    """They are not served."""
    assert_error(ask(serving(), method, "x"), 404, -32601)


@pytest.mark.parametrize("member", [{"task": {"ttl": 60_000}}, {"task": None}])
def test_a_hint_of_an_earlier_revision(member: Any) -> None:
    """It is ignored: the server decides."""
    server = serving()
    peer = ask(server, "tools/call", params={"name": "echo", "arguments": {"text": "a"}, **member})
    assert (peer.result["resultType"], peer.result["content"][0]["text"]) == ("complete", "a")


def test_declared_in_discovery() -> None:
    """Among the extensions, without settings; not as a capability of its own, and not in sessions."""
    server = serving()
    capabilities = server.modern("server/discover").result["capabilities"]
    assert capabilities["extensions"] == {EXTENSION: {}}
    assert "tasks" not in capabilities
    assert "extensions" not in server.initialize().result["capabilities"]


def test_sessions_do_not_know_the_methods() -> None:
    """A task can't be seen from there either."""
    server = serving()
    task_id = begin(server)
    for method in TASK_METHODS:
        assert_error(server.session().ask(method, {"taskId": task_id}), 200, -32601)


def test_an_answer_lets_the_work_go_on() -> None:
    """In the turn in which it arrives."""
    server = serving()
    task_id = begin(server, "confirm")
    assert ask(server, "tasks/get", task_id).result["inputRequests"]["elicit-1"]["method"] == "elicitation/create"
    answers = {"inputResponses": {"elicit-1": {"action": "decline"}}}
    acknowledged = ask(server, "tasks/update", task_id, params=answers).result
    assert set(acknowledged) == {"resultType", "_meta"}
    result = ask(server, "tasks/get", task_id).result
    assert (result["status"], result["result"]["content"][0]["text"]) == ("completed", "decline")


# --- who listens


def listen(server: Server, *task_ids: Any, **more: Any) -> Peer:
    """Listen to tasks."""
    return ask(server, "subscriptions/listen", params={"notifications": {"taskIds": list(task_ids)}}, **more)


def heard(peer: Peer) -> list[Any]:
    """The params of what came behind the acknowledgement, without `_meta`."""
    assert all(message["method"] == "notifications/tasks" for message in peer.messages[1:])
    return [{k: v for k, v in message["params"].items() if k != "_meta"} for message in peer.messages[1:]]


def test_whoever_listens_hears_of_each_change() -> None:
    """First how it is now, then each change: the whole task, as `tasks/get` has it; tagged; nothing else."""
    server = serving()
    task_id = begin(server)
    peer = listen(server, task_id, id="l")
    assert peer.messages[0]["params"] == {"_meta": {ID: "l"}, "notifications": {"taskIds": [task_id]}}
    for _ in range(4):
        server.turn()
        seen = ask(server, "tasks/get", task_id).result
        assert heard(peer)[-1] == {key: seen[key] for key in seen if key not in ("_meta", "resultType")}
        server.seconds(1)
    assert [task["status"] for task in heard(peer)] == ["working", "working", "working", "completed"]
    assert all(message["params"]["_meta"] == {ID: "l"} for message in peer.messages[1:])
    assert all(event.id is None for event in peer.events)


def test_what_is_asked_is_heard() -> None:
    """A client need not ask for it again."""
    server = serving()
    task_id = begin(server, "confirm")
    peer = listen(server, task_id)
    server.turn()
    answers = {key: {"action": "accept"} for key in heard(peer)[-1]["inputRequests"]}
    ask(server, "tasks/update", task_id, params={"inputResponses": answers})
    server.turn()
    assert [task["status"] for task in heard(peer)] == ["input_required", "completed"]


def test_only_tasks_that_are_there() -> None:
    """The acknowledgement names those that are honoured."""
    server = serving()
    task_id = begin(server)
    peer = listen(server, "nobody", task_id, task_id)
    assert peer.messages[0]["params"]["notifications"] == {"taskIds": [task_id]}
    assert listen(server, "nobody").messages[0]["params"]["notifications"] == {"taskIds": []}


def test_listening_without_the_extension() -> None:
    """400, before there is a stream."""
    server = serving()
    wanted = {"taskIds": [begin(server)]}
    assert_error(server.listen(wanted), 400, -32021)


@pytest.mark.parametrize("wrong", [None, True, "x", [1], {}])
def test_task_ids_are_a_list_of_texts(wrong: Any) -> None:
    """Anything else is refused."""
    peer = ask(serving(), "subscriptions/listen", params={"notifications": {"taskIds": wrong}})
    assert_error(peer, 200, -32602)


def test_one_listener_is_not_told_of_others_tasks() -> None:
    """Each hears of those it named."""
    server = serving()
    one, other = begin(server), begin(server)
    peer = listen(server, one)
    ask(server, "tasks/cancel", other)
    ask(server, "tasks/cancel", one)
    server.turn()
    assert [(task["taskId"], task["status"]) for task in heard(peer)] == [(one, "cancelled")]


def test_listeners_leave_nothing() -> None:
    """Neither they nor their tasks."""
    server = serving()
    peer = listen(server, begin(server))
    peer.drop()
    server.seconds(3)
    assert (server.leftovers(), server.publisher.listened_to()) == ([], 0)


def test_the_last_message_of_a_turn_is_heard() -> None:
    """A tool may report as often as it likes."""
    streams: list[Stream] = []

    @tool(task="optional")
    def chatty(stream: Stream) -> None:
        """Hand the stream over."""
        streams.append(stream)

    server = serving(chatty)
    peer = listen(server, begin(server, "chatty"))
    server.turn()
    for number in range(100):
        streams[0].progress(number)
    server.turn()
    assert [task.get("statusMessage") for task in heard(peer)] == [None, "99"]
