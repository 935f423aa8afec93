"""The bench for authors of plugins, used as its documentation says."""

from __future__ import annotations

import base64
import gc
from pathlib import Path
from typing import Any, Literal

import pytest

from mcpserve import (
    Audio,
    Call,
    Caller,
    Completion,
    Contents,
    Directory,
    EmbeddedResource,
    Image,
    Message,
    PluginError,
    ResourceLink,
    Stream,
    Text,
    ToolError,
    prompt,
    publish,
    resource,
    tool,
)
from mcpserve.errors import InvalidParams
from mcpserve.testing import LogEntry, Progress, Published, ToolRunner
from plugins.countdown import countdown

PIXEL = base64.b64decode("R0lGODlhAQABAAAAACwAAAAAAQABAAA=")


@tool
async def walk(call: Call, steps: int = 3, message: str | None = None) -> str:
    """Walk."""
    for step in range(steps):
        await call.log("debug", step, "walk")
        await call.progress(step, steps, message)
        await call.sleep(1)
    return f"{steps} steps"


@tool
def hold(stream: Stream) -> None:
    """Hold the stream."""
    stream.every(1, lambda: None)


@tool
def mixed() -> list[Any]:
    """Give one of each."""
    return [
        Text("a"),
        Image(PIXEL, "image/gif"),
        Audio(b"x", "audio/ogg"),
        ResourceLink("file:///a", "a"),
        EmbeddedResource("file:///b", "text", mime_type="text/plain"),
        EmbeddedResource("file:///c", b"\x00"),
        Text("b"),
    ]


@tool
def look(call: Call) -> dict[str, Any]:
    """Show what is known of the call."""
    return {"meta": dict(call.meta), "capabilities": dict(call.client_capabilities)}


def test_the_example_in_its_documentation() -> None:
    """It says what is true."""
    runner = ToolRunner(countdown)
    call = runner.call("countdown", start=3)
    runner.clock.pump([1.0] * 3)
    assert [p.value for p in call.progress] == [0, 1, 2, 3]
    assert call.text == "Counted down from 3."
    assert runner.leftovers() == []


def test_what_it_collects() -> None:
    """Progress and logs in order; keywords and a dict of arguments."""
    runner = ToolRunner(walk)
    call = runner.call("walk", {"steps": 2}, message="m")
    runner.clock.pump([1.0] * 2)
    assert call.progress == [Progress(0, 2, "m"), Progress(1, 2, "m")]
    assert call.logs == [LogEntry("debug", 0, "walk"), LogEntry("debug", 1, "walk")]
    assert (call.done, call.cancelled, call.error) == (True, False, None)


def test_a_client_that_wants_nothing() -> None:
    """Without token and level there is neither progress nor log."""
    runner = ToolRunner(walk)
    call = runner.call("walk", progress_token=None, log_level=None)
    runner.clock.pump([1.0] * 3)
    assert (call.progress, call.logs, call.text) == ([], [], "3 steps")


def test_what_the_client_declares() -> None:
    """Capabilities and `_meta` reach the tool."""
    call = ToolRunner(look).call("look", capabilities={"roots": {}}, meta={"k": 1})
    assert call.structured == {"meta": {"k": 1}, "capabilities": {"roots": {}}}


def test_all_kinds_of_content() -> None:
    """A result comes back as the values that the tool gave."""
    call = ToolRunner(mixed).call("mixed")
    assert list(call.result.content) == mixed()
    assert call.text == "a\nb"


def test_errors() -> None:
    """Arguments that do not fit are a result, an unknown tool is an error."""
    runner = ToolRunner(walk)
    assert runner.call("walk", steps="x").result.is_error
    call = runner.call("run")
    assert call.error is not None
    assert call.error["code"] == -32602
    with pytest.raises(AssertionError, match="-32602"):
        _ = call.result


def test_what_has_no_result_yet() -> None:
    """Asking for it is the test's mistake, and says so."""
    call = ToolRunner(hold).call("hold")
    assert (call.done, call.error) == (False, None)
    with pytest.raises(AssertionError, match="has not ended"):
        _ = call.text
    call.drop()


@pytest.mark.parametrize("end", ["drop", "cancel"])
def test_ends(end: str) -> None:
    """Both end it without a reply, and twice is once."""
    runner = ToolRunner(hold)
    call = runner.call("hold")
    getattr(call, end)()
    getattr(call, end)()
    assert (call.done, call.cancelled, call.error) == (True, True, None)
    assert runner.leftovers() == []


def test_shutting_down() -> None:
    """The client is told so."""
    runner = ToolRunner(hold)
    call = runner.call("hold")
    runner.shut_down()
    assert call.error is not None
    assert call.error["code"] == -32603


def test_a_reader_that_stalls() -> None:
    """What was said meanwhile comes when it reads on; of bare numbers the last, as with a real reader."""
    runner = ToolRunner(hold)
    call = runner.call("hold")
    (stream,) = [running.call for running in runner._calls.running]
    assert stream is not None
    call.stall()
    for value, message in ((1, None), (2, "two"), (3, None), (4, None), (5, "five")):
        stream.progress(value, message=message)
    stream.log("info", "x")
    assert (call.progress, call.logs) == ([], [])
    call.resume()
    assert [p.value for p in call.progress] == [2, 4, 5]
    assert len(call.logs) == 1
    call.drop()


def test_a_result_while_the_reader_stalls() -> None:
    """The call is done; what was held back can still be read."""
    runner = ToolRunner(walk)
    call = runner.call("walk", steps=1, message="m")
    call.stall()
    runner.clock.advance(1)
    call.resume()
    assert call.done
    assert [p.message for p in call.progress] == ["m"]


def test_leftovers() -> None:
    """A call that runs, its timers and their delayed calls are named, each."""
    runner = ToolRunner(hold)
    call = runner.call("hold")
    left = runner.leftovers()
    assert left[0] == "a running call of hold"
    assert left[1] == "1 timers on the wheel"
    assert left[2].startswith("delayed call: ")
    call.drop()
    assert runner.leftovers() == []


def test_a_blocking_tool_runs_at_once() -> None:
    """No thread is needed in a test."""

    @tool(thread=True)
    def block(fail: bool) -> str:
        """Block."""
        if fail:
            raise ToolError("no")
        return "yes"

    runner = ToolRunner(block)
    assert runner.call("block", fail=False).text == "yes"
    assert runner.call("block", fail=True).result.is_error


def test_a_function_that_does_not_fit() -> None:
    """It is refused as the server would refuse it."""

    @tool(timeout=0)
    def t() -> None:
        """Do."""

    with pytest.raises(PluginError, match="timeout"):
        ToolRunner(t)


# --- what is published


@tool(thread=True)
def store(name: str = "a") -> str:
    """Keep something."""
    publish.resource_updated(f"store://{name}")
    publish.resources_changed()
    return "kept"


def test_what_was_published() -> None:
    """Each notice as it was said, from the time when the runner was made."""
    publish.tools_changed()
    runner = ToolRunner(store)
    assert runner.published == []
    for _ in range(2):
        runner.call("store")
    once = [
        Published("notifications/resources/updated", "store://a"),
        Published("notifications/resources/list_changed"),
    ]
    assert runner.published == once * 2


@tool(task="optional")
async def roam(call: Call, far: bool = True) -> str:
    """Walk on, if somebody agrees."""
    call.progress(1, message="packed")
    await call.sleep(1)
    answer = await call.elicit("Go on?", key="on")
    if not far:
        raise InvalidParams("not far")
    return answer.action


def test_a_task() -> None:
    """What its client sees of it, and does."""
    runner = ToolRunner(roam)
    call = runner.call("roam", tasks=True)
    task = call.task
    assert (call.done, task.status, task.message, task.asked, task.error) == (True, "working", "packed", {}, None)
    runner.clock.advance(1)
    assert (task.status, task.asked["on"].params["message"]) == ("input_required", "Go on?")
    task.answer({"on": "decline"})
    assert (task.status, task.text, task.result.is_error) == ("completed", "decline", False)
    assert runner.leftovers() == []


def test_a_task_that_is_cancelled() -> None:
    """Its client says so; it has no result."""
    runner = ToolRunner(roam)
    task = runner.call("roam", tasks=True).task
    task.cancel()
    assert task.status == "cancelled"
    with pytest.raises(AssertionError, match="has no result"):
        assert task.result
    assert runner.leftovers() == []


def test_a_task_that_fails() -> None:
    """It has an error, and no result."""
    runner = ToolRunner(roam)
    task = runner.call("roam", far=False, tasks=True).task
    runner.clock.advance(1)
    task.answer({"on": {}})
    assert (task.status, task.error) == ("failed", {"code": -32602, "message": "not far"})


def test_a_wrong_answer_to_a_task() -> None:
    """The test hears of it."""
    runner = ToolRunner(roam)
    task = runner.call("roam", tasks=True).task
    runner.clock.advance(1)
    with pytest.raises(AssertionError, match="tasks/update is answered with an error"):
        task.answer({"on": "shrug"})
    with pytest.raises(AssertionError, match="nothing was asked by the name of 'off', but"):
        task.answer({"on": "decline", "off": "decline"})


def test_a_call_that_is_no_task() -> None:
    """A client that does not know tasks gets none; a call that is one has no result of its own."""
    runner = ToolRunner(roam, walk)
    with pytest.raises(AssertionError, match="the call is no task"):
        assert runner.call("roam").task
    with pytest.raises(AssertionError, match="the call is no task"):
        assert runner.call("walk", tasks=True).task
    with pytest.raises(AssertionError, match="the call has no result"):
        assert runner.call("roam", tasks=True).result


def test_a_runner_that_is_gone() -> None:
    """It does not stay for what others publish."""
    runner = ToolRunner(store)
    published = runner.published
    publish.tools_changed()
    del runner
    gc.collect()
    publish.tools_changed()
    assert len(published) == 1


# --- prompts, resources, completions


@prompt
async def advise(call: Call, topic: Literal["bread", "rolls"], loudly: bool = False) -> list[Message | str]:
    """Advise on a topic."""
    await call.progress(1)
    await call.sleep(1)
    return [f"Tell me about {topic}{'!' if loudly else '.'}", Message("Gladly.", "assistant")]


@resource("shop://{shelf}")
def shelf(shelf: str) -> list[Contents | bytes]:
    """What is on a shelf."""
    return [Contents(f"on {shelf}", mime_type="text/plain"), b"blob"]


def test_a_prompt_is_gotten() -> None:
    """With its arguments as texts; what it reports on the way is seen."""
    runner = ToolRunner(advise)
    call = runner.get_prompt("advise", topic="bread", loudly="true")
    assert (call.done, call.progress) == (False, [Progress(1, None, None)])
    runner.clock.advance(1)
    assert call.messages == [Message(Text("Tell me about bread!")), Message(Text("Gladly."), "assistant")]
    assert call.text == "Tell me about bread!\nGladly."
    assert runner.leftovers() == []
    error = runner.get_prompt("advise", {"topic": "stones"}).error
    assert error is not None
    assert error["code"] == -32602


def test_a_resource_is_read(tmp_path: Path) -> None:
    """Through its template, or as a file of a directory."""
    (tmp_path / "a.txt").write_text("hello")
    runner = ToolRunner(shelf, Directory("docs://d", tmp_path))
    call = runner.read("shop://left")
    text, blob = call.contents
    assert (text.contents, text.uri, text.mime_type) == ("on left", "shop://left", "text/plain")
    assert blob.contents == b"blob"
    assert call.text == "on left"
    assert runner.read("docs://d/a.txt").text == "hello"
    error = runner.read("nowhere://x").error
    assert error is not None
    assert error["data"] == {"uri": "nowhere://x"}
    error = runner.read("nowhere://x", revision="2025-11-25").error
    assert error is not None
    assert error["code"] == -32002


@pytest.mark.parametrize(
    ("revision", "sent_away"), [("2025-11-25", [None, 500]), ("2025-06-18", []), ("2026-07-28", [])]
)
def test_a_stream_that_is_closed(revision: str, sent_away: list[int | None]) -> None:
    """The bench tells, for the one revision that knows it; the tool goes on in all of them."""

    @tool
    async def poll(call: Call) -> str:
        """Send the client away."""
        await call.close_stream()
        await call.sleep(1)
        await call.close_stream(retry_ms=500)
        return "done"

    runner = ToolRunner(poll)
    call = runner.call("poll", revision=revision)
    runner.clock.advance(1)
    assert (call.sent_away, call.text) == (sent_away, "done")


def test_a_completer_is_asked() -> None:
    """Of a prompt by its name, of a resource by its template."""
    runner = ToolRunner(advise, shelf)
    assert runner.complete("advise", "topic", "b").completion == Completion(["bread"], total=1, has_more=False)
    assert runner.complete("shop://{shelf}", "shelf", loudly="x").completion.values == []
    with pytest.raises(AssertionError, match="the call has no result"):
        _ = runner.complete("advise", "nothing").completion


@pytest.mark.parametrize("member", ["contents", "messages", "completion", "result", "text"])
def test_there_is_no_such_result(member: str) -> None:
    """Whoever looks for what a call did not give is told what it gave."""
    call = ToolRunner(advise).get_prompt("nope")
    with pytest.raises(AssertionError, match="Unknown prompt: nope"):
        getattr(call, member)


def test_who_calls() -> None:
    """The caller is the one that the test names; what its author declared counts as it does in a server."""

    @tool(groups=["ops"])
    def whoami(call: Call) -> str:
        return f"{call.caller.name}: {sorted(call.caller.scopes)}"

    ada = Caller(name="ada", groups=frozenset({"ops"}), scopes=frozenset({"read"}))
    assert ToolRunner(whoami, caller=ada).call("whoami").text == "ada: ['read']"
    error = ToolRunner(whoami).call("whoami").error
    assert error is not None
    assert error["message"] == "Unknown tool: whoami"
