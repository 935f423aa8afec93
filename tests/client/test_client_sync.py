"""The client of plain scripts: from threads of this process, and in programs of their own against a served fixture."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError
from pathlib import Path
from typing import Any, TypeVar

import pytest
from twisted.internet.defer import Deferred
from twisted.internet.threads import deferToThread

from mcpserve.client import Change, FormQuestion, LogMessage, Progress, Result, Text
from mcpserve.client.sync import Client
from mcpserve.client.thread import own
from mcpserve.errors import ClientClosed, RemoteError
from tests.client.noting import PLUGIN, begun, ended, noted, until
from tests.client.scripted import Play, ScriptedRunning, text, wants
from tests.interop.served import Served, serving

T = TypeVar("T")
ASKED = wants("s", who=("elicitation/create", {"message": "Who?", "requestedSchema": {"type": "object"}}))


class Threads(Play):
    """A conversation that a test plays from another thread than the client's."""

    def there(self, function: Callable[..., T], *args: Any) -> T:
        """Call something where the client's reactor runs."""
        came: list[T] = []
        own().reactor.callFromThread(lambda: came.append(function(*args)))
        until(lambda: came)
        return came[0]

    def runs_of(self, number: int) -> ScriptedRunning:
        """So many requests were sent; the last one."""
        until(lambda: len(self.runs) == number)
        return self.run


def aside(function: Callable[[], T]) -> tuple[threading.Thread, list[T | BaseException]]:
    """Call something in a thread of its own; what came of it stands in the list when the thread ends."""
    came: list[T | BaseException] = []

    def work() -> None:
        try:
            came.append(function())
        except (Exception, CancelledError) as error:
            came.append(error)

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    return thread, came


async def in_thread(script: Callable[[], T]) -> T:
    """Run a script in another thread than that of the reactor of these tests."""
    deferred: Deferred[T] = deferToThread(script)
    return await deferred


# --- what works


async def test_a_script() -> None:
    """Inside a `with` the client is open, after it closed."""

    def script() -> None:
        play = Threads(opened=False, replies={"tools/call": text("done"), "prompts/get": RemoteError(-32602, "no")})
        with Client.through(play) as client:
            assert client.call_tool("a").content == [Text("done")]
            assert client.server is play.server
            with pytest.raises(RemoteError, match="no"):
                client.get_prompt("a")
        assert play.ends == ["closed", "closed"]
        with pytest.raises(ClientClosed):
            client.ping()
        with pytest.raises(ClientClosed):
            client.stream_tool("a")

    await in_thread(script)


async def test_a_stream() -> None:
    """Events come in order, no faster than the loop goes; the result is the last."""

    def script() -> None:
        play = Threads(opened=False)
        with Client.through(play) as client:
            stream = client.stream_tool("a")
            _, came = aside(lambda: next(stream))
            run = play.runs_of(1)
            for value in (1, 2, 3):
                play.there(run.progress, value)
            play.there(run.answer, text("done"))
            until(lambda: came)
            assert came == [Progress(1)]
            assert run.taken == 1
            rest = list(stream)
            assert rest[:2] == [Progress(2), Progress(3)]
            assert isinstance(rest[2], Result)
            assert next(stream, None) is None

    await in_thread(script)


@pytest.mark.parametrize("progress", [True, False])
async def test_told_on_the_way(progress: bool) -> None:
    """Progress and log messages of a call are told in the thread that waits; progress is wanted only then."""

    def script() -> None:
        play = Threads(opened=False)
        heard: list[Any] = []

        def hear(event: Progress | LogMessage) -> None:
            heard.append((event, threading.current_thread()))

        with Client.through(play) as client:
            options: dict[str, Any] = {"on_progress": hear} if progress else {}
            thread, came = aside(lambda: client.call_tool("a", {"b": 1}, on_log=hear, **options))
            run = play.runs_of(1)
            assert run.outgoing.progress is progress
            play.there(run.progress, 1)
            play.there(lambda: run.notify("message", level="info", data="b"))
            play.there(run.answer, text("done"))
            thread.join(5)
        assert isinstance(came[0], Result)
        told = [(Progress(1), thread)] if progress else []
        assert heard == [*told, (LogMessage("info", "b"), thread)]

    await in_thread(script)


async def test_many_threads() -> None:
    """Use one client at once."""

    def script() -> None:
        play = Threads(opened=False)
        with Client.through(play) as client:
            calling = [aside(lambda n=n: client.call_tool("a", {"n": n})) for n in range(5)]
            play.runs_of(5)
            for run in reversed(play.runs):
                play.there(run.answer, text(str(run.params["arguments"]["n"])))
            for number, (thread, came) in enumerate(calling):
                thread.join(5)
                assert isinstance(came[0], Result)
                assert came[0].content == [Text(str(number))]

    await in_thread(script)


async def test_hearing_of_changes() -> None:
    """Within a `with` the subscription stands."""

    def script() -> None:
        play = Threads(opened=False)

        def acknowledge() -> None:
            run = play.runs_of(1)
            play.there(lambda: run.notify("subscriptions/acknowledged", notifications={"toolsListChanged": True}))
            play.there(lambda: run.notify("tools/list_changed"))

        with Client.through(play) as client:
            aside(acknowledge)
            with client.listen(tools=True) as subscription:
                assert subscription.honoured == {"toolsListChanged": True}
                assert next(subscription) == Change("notifications/tools/list_changed")
            until(lambda: play.run.cancelled == ["the client listens no more"])
            assert list(subscription) == []
            with pytest.raises(ValueError, match="Say what"):
                client.listen()

    await in_thread(script)


# --- cancelling


@pytest.mark.parametrize("how", ["break", "with", "close", "del"])
async def test_leaving_a_stream(how: str) -> None:
    """Cancels on the server, however it is left."""

    def script() -> None:
        play = Threads(opened=False, replies={"tools/call": lambda outgoing: None})
        with Client.through(play) as client:
            stream = client.stream_tool("a")
            aside(lambda: play.there(play.runs_of(1).progress, 1))
            for event in stream:
                assert event == Progress(1)
                break
            if how == "with":
                with stream:
                    pass
            if how == "close":
                stream.close()
            del stream
            until(lambda: play.run.cancelled == [None])

    await in_thread(script)


async def test_another_thread_closes_the_stream() -> None:
    """Who waits for its next event is told so."""

    def script() -> None:
        play = Threads(opened=False)
        with Client.through(play) as client:
            stream = client.stream_tool("a")
            thread, came = aside(lambda: next(stream))
            play.runs_of(1)
            stream.close()
            thread.join(5)
            assert isinstance(came[0], CancelledError)

    await in_thread(script)


# --- what the server asks


async def test_handlers() -> None:
    """Are plain functions that may take their time and use the client; what they raise ends the call."""

    def script() -> None:
        replies = {"tools/call": [ASKED, ASKED, text("done")], "ping": {}, "server/discover": {}}
        play = Threads(opened=False, replies=replies)

        def answer(question: FormQuestion) -> dict[str, Any]:
            assert client.ping() >= 0
            return {"name": question.message}

        client = Client.through(play, elicit=answer)
        with client:
            assert client.call_tool("a").content == [Text("done")]
            sent = play.run.params["inputResponses"]
        assert sent == {"who": {"action": "accept", "content": {"name": "Who?"}}}

        def refuse(question: FormQuestion) -> str:
            sys.exit("enough")

        play = Threads(opened=False, replies={"tools/call": ASKED})
        with Client.through(play, elicit=refuse) as client, pytest.raises(SystemExit, match="enough"):
            client.call_tool("a")

    await in_thread(script)


def test_handlers_are_no_coroutines() -> None:
    """That is told at once."""

    async def answer(question: FormQuestion) -> str:
        return "accept"

    with pytest.raises(TypeError, match="plain functions"):
        Client("http://127.0.0.1:1/mcp", elicit=answer)


async def test_notices() -> None:
    """Are heard in order by a function that may use the client; those are left out for which there is no room."""

    def script() -> None:
        play = Threads(opened=False, replies={"server/discover": {}})
        heard: list[Any] = []
        gate = threading.Event()

        def ear(notice: Any) -> None:
            gate.wait(5)
            if not heard:
                client.ping()
            heard.append(notice)

        client = Client.through(play, on_notice=ear)
        with client:
            thread, _ = aside(lambda: client.call_tool("a"))
            run = play.runs_of(1)
            play.there(lambda: [run.notify("resources/updated", uri=f"a:{number}") for number in range(1100)])
            play.there(run.answer, text("done"))
            thread.join(5)
            gate.set()
            until(lambda: len(heard) >= 1000)
        assert [notice.uri for notice in heard] == [f"a:{number}" for number in range(len(heard))]
        assert 1000 <= len(heard) <= 1001

    await in_thread(script)


# --- where it can't be used


def test_in_the_thread_of_a_reactor() -> None:
    """It says what to use instead, and does not stop the reactor."""
    with pytest.raises(RuntimeError, match=r"use mcpserve\.client\.Client in its coroutines"):
        Client("http://127.0.0.1:1/mcp").open()


def test_a_reactor_of_ones_own(running_reactor: Any) -> None:
    """May be given, if it runs in another thread; one that does not run is noticed."""

    class Still:
        """Does not run."""

        running = False

    play = Threads(opened=False)
    _, came = aside(lambda: Client.through(play, reactor=Still()).open())
    until(lambda: came)
    assert isinstance(came[0], ClientClosed)


async def test_the_reactor_of_others(running_reactor: Any) -> None:
    """A client on the reactor of these tests, from another thread."""

    def script() -> Result:
        with Client.through(play, reactor=running_reactor) as client:
            return client.call_tool("a")

    play = Threads(opened=False, replies={"tools/call": text("done")})
    assert (await in_thread(script)).content == [Text("done")]


# --- programs


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A server with a tool that waits."""
    plugins = tmp_path_factory.mktemp("plugs")
    (plugins / "plugin.py").write_text(PLUGIN)
    with serving(plugins / "log", "--no-shipped", "--plugins", str(plugins)) as served:
        yield served


INTERRUPTED = """
import os, sys, time
from mcpserve.client.sync import Client

with Client(sys.argv[1]) as client:
    try:
        if sys.argv[3] == "stream":
            for event in client.stream_tool("wait", {"path": sys.argv[2]}):
                print(event.message, flush=True)
        else:
            client.call_tool("wait", {"path": sys.argv[2]}, on_progress=lambda event: print(event.message, flush=True))
    except KeyboardInterrupt:
        if sys.argv[3] == "uncaught":
            raise
        limit = time.monotonic() + 2
        while not os.path.exists(sys.argv[2]) and time.monotonic() < limit:
            print(client.call_tool("add", {"a": 1, "b": 2}).content[0].text, flush=True)
        print(os.path.exists(sys.argv[2]))
"""


@pytest.mark.parametrize("how", ["stream", "call", "uncaught"])
def test_ctrl_c(server: Served, tmp_path: Path, how: str) -> None:
    """Cancels on the server; the client may be used further, or the program ends as programs do."""
    process = begun(INTERRUPTED, server.url, str(tmp_path / "note"), how)
    assert process.stdout is not None
    assert process.stdout.readline() == "begun\n"
    process.send_signal(signal.SIGINT)
    status, out, err = ended(process)
    if how == "uncaught":
        assert noted(tmp_path / "note") == "cancelled"
        assert (status, out) == (-signal.SIGINT, "")
        assert err.splitlines()[-1] == "KeyboardInterrupt"
    else:
        assert (status, err) == (0, "")
        assert set(out.split()) - {"3"} == {"True"}


CARELESS = """
import sys
from mcpserve.client.sync import Client

client = Client.stdio([sys.executable, "-m", "mcpserve", "stdio", "--no-shipped", "--plugins", sys.argv[1]]).open()
stream = client.stream_tool("wait", {"path": sys.argv[2]})
print(next(stream).message, client.call_tool("who").content[0].text)
"""


def test_a_script_that_closes_nothing(tmp_path: Path) -> None:
    """Its clients are closed when Python ends; a server that is its child has ended by then."""
    (tmp_path / "plugin.py").write_text(PLUGIN)
    status, out, err = ended(begun(CARELESS, str(tmp_path), str(tmp_path / "note")))
    assert (status, err) == (0, "")
    with pytest.raises(ProcessLookupError):
        os.kill(int(out.split()[1]), 0)
    assert (tmp_path / "note").read_text() == "cancelled"


FORKED = """
import os, sys
from mcpserve.client import ClientClosed
from mcpserve.client.sync import Client

client = Client(sys.argv[1]).open()
stream = client.stream_tool("wait", {"path": sys.argv[2], "seconds": 0.6}, timeout=15)
print(next(stream).message, flush=True)
if os.fork() == 0:
    try:
        client.ping()
    except ClientClosed as error:
        print(error, flush=True)
    del stream
    with Client(sys.argv[1]) as mine:
        print(mine.call_tool("add", {"a": 1, "b": 2}).content[0].text, flush=True)
    sys.exit()
os.wait()
print([event.content[0].text for event in stream])
print(os.path.exists(sys.argv[2]))
"""


def test_a_fork(server: Served, tmp_path: Path) -> None:
    """The child is told that the client is its parent's, has one of its own, and does nothing to that of the parent."""
    status, out, err = ended(begun(FORKED, server.url, str(tmp_path / "note")))
    assert (status, err) == (0, "")
    assert out.splitlines() == [
        "begun",
        "The reactor of this client does not run (any more): it ended, or is that of a parent process",
        "3",
        "['waited']",
        "False",
    ]
