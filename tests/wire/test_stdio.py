"""stdio over pipes in memory: eras, ids, batches, bad lines, slow readers, and ends."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import orjson
import pytest

from mcpserve import Call, Stream, tool
from mcpserve.protocol.notices import TOOLS_CHANGED
from mcpserve.stdio import LineLimits
from tests.wire.pipes import Pipes
from tests.wire.server import CAPABILITIES, CLIENT, LATEST_LEGACY, LEGACY, MODERN, VERSION, Server, request
from tests.wire.tools import Witness, add, burst, chatty, crash, echo, placed, refuse, silent, steps

TOOLS = (add, burst, chatty, crash, echo, placed, refuse, silent, steps)
SUBSCRIPTION = "io.modelcontextprotocol/subscriptionId"
LISTEN = {"notifications": {"toolsListChanged": True}}


@pytest.fixture
def witness() -> Witness:
    """Notes what befalls its tools."""
    return Witness()


@pytest.fixture
def server(witness: Witness) -> Server:
    """A server with all tools."""
    return Server(*TOOLS, *witness.tools())


@pytest.fixture
def pipes(server: Server) -> Pipes:
    """A client connected by pipes."""
    return Pipes(server)


@tool
async def count(call: Call) -> str:
    """Count to fifty in one turn, with a word now and then."""
    for number in range(50):
        call.progress(number)
        if number % 20 == 0:
            call.progress(number + 0.5, message="word")
    return "counted"


@tool
def numbers(stream: Stream) -> None:
    """Report a bare number every tenth of a second, whoever reads."""
    count = 0

    def tick() -> None:
        nonlocal count
        count += 1
        stream.progress(count)

    stream.every(0.1, tick)


@tool
def shout(stream: Stream, size: int) -> None:
    """Say something large each second, whoever reads."""
    stream.every(1.0, lambda: stream.write("x" * size))


def text(reply: Any) -> str:
    """The text of a tool's result."""
    content: str = reply["result"]["content"][0]["text"]
    return content


def error(reply: Any) -> Any:
    """The code of an error."""
    return reply["error"]["code"]


# --- which era


def test_modern_without_a_handshake(server: Server, pipes: Pipes) -> None:
    """Each request stands alone; results have the members of their revision."""
    discovered = pipes.modern("server/discover")["result"]
    assert discovered["supportedVersions"] == [MODERN]
    assert discovered["resultType"] == "complete"
    assert text(pipes.call("echo", {"text": "hi"}, id="a")) == "hi"
    assert pipes.call("add", {"a": 1, "b": 2}, id=0)["result"]["structuredContent"] == {"total": 3}
    assert server.leftovers() == []


def test_no_headers_are_missed(pipes: Pipes) -> None:
    """What HTTP mirrors in headers stands in the message alone. Spec: stdio: "There is no header layer." """
    assert text(pipes.call("placed", {"region": "eu", "zone": 3})) == "eu 3 False"


def test_progress_and_logs_of_a_modern_call(server: Server, pipes: Pipes) -> None:
    """They come before the result, as lines of their own."""
    pipes.call("steps", {"number": 2}, token="t")
    server.seconds(3)
    assert [m.get("params", {}).get("progress") for m in pipes.messages] == [1, 2, None]
    pipes.call("chatty", id=2, meta={"io.modelcontextprotocol/logLevel": "info"})
    assert [m["params"]["level"] for m in pipes.notices[2:]] == ["info", "error"]
    assert text(pipes.reply(2)) == "logged"


@pytest.mark.parametrize(
    ("meta", "code"),
    [
        ({VERSION: "2099-01-01"}, -32022),
        ({VERSION: LATEST_LEGACY}, -32022),
        ({VERSION: 1}, -32602),
        ({CAPABILITIES: ...}, -32602),
        ({CAPABILITIES: []}, -32602),
    ],
)
def test_a_modern_envelope_that_is_wrong(pipes: Pipes, meta: Any, code: int) -> None:
    """It is refused under its id, also after a handshake; -32022 lists what is served."""
    for settled in (False, True):
        if settled:
            pipes.settle(LATEST_LEGACY)
        reply = pipes.modern("tools/list", meta=meta, id=str(settled))
        assert error(reply) == code
        assert code != -32022 or reply["error"]["data"]["supported"] == [MODERN]


@pytest.mark.parametrize("method", ["tools/list", "tools/call", "server/discover", "logging/setLevel", "nonsense"])
@pytest.mark.parametrize("params", [None, {}, {"_meta": {}}, {"_meta": 5}])
def test_neither_era(pipes: Pipes, method: str, params: Any) -> None:
    """A request without version and without a handshake is told of both."""
    reply = pipes.ask(method, params)
    assert error(reply) == -32602
    assert VERSION in reply["error"]["message"]
    assert "initialize" in reply["error"]["message"]


@pytest.mark.parametrize("method", ["initialize", "ping", "logging/setLevel", "resources/subscribe"])
def test_modern_methods_only(pipes: Pipes, method: str) -> None:
    """What a version removed is unknown in it, whatever was agreed before."""
    pipes.settle(LATEST_LEGACY)
    assert error(pipes.modern(method)) == -32601


@pytest.mark.parametrize("version", LEGACY)
def test_handshake(pipes: Pipes, version: str) -> None:
    """The asked-for version is agreed on; results have no members of a later one."""
    assert pipes.initialize(version)["result"]["protocolVersion"] == version
    pipes.notify("notifications/initialized")
    result = pipes.ask("tools/call", {"name": "echo", "arguments": {"text": "hi"}})["result"]
    assert result == {"content": [{"type": "text", "text": "hi"}]}


@pytest.mark.parametrize("version", ["1999-01-01", MODERN])
def test_handshake_with_another_version(pipes: Pipes, version: str) -> None:
    """The latest that has a handshake is offered."""
    assert pipes.initialize(version)["result"]["protocolVersion"] == LATEST_LEGACY


@pytest.mark.parametrize("changed", [{"protocolVersion": 1}, {"capabilities": None}, {"clientInfo": {}}])
def test_handshake_with_bad_params(pipes: Pipes, changed: Any) -> None:
    """It is refused, and may be tried again."""
    assert error(pipes.initialize(LATEST_LEGACY, **changed)) == -32602
    assert error(pipes.ask("tools/list")) == -32602
    assert "result" in pipes.ask("initialize", {"protocolVersion": "", "capabilities": {}, "clientInfo": CLIENT}, id=2)


def test_one_handshake(pipes: Pipes) -> None:
    """A second one is refused; what was agreed on stays."""
    pipes.settle("2024-11-05")
    params = {"protocolVersion": LATEST_LEGACY, "capabilities": {}, "clientInfo": CLIENT}
    assert error(pipes.ask("initialize", params, id=2)) == -32600
    assert "structuredContent" not in pipes.ask("tools/call", {"name": "add", "arguments": {"a": 1, "b": 1}})["result"]


def test_ping(pipes: Pipes) -> None:
    """It is answered before and after the handshake."""
    assert pipes.ask("ping", id=1)["result"] == {}
    pipes.settle(LATEST_LEGACY)
    assert pipes.ask("ping", id=2)["result"] == {}


def test_legacy_logs(pipes: Pipes) -> None:
    """logging/setLevel counts from the next call on."""
    pipes.settle(LATEST_LEGACY)
    pipes.ask("tools/call", {"name": "chatty"})
    assert pipes.ask("logging/setLevel", {"level": "error"}, id=2)["result"] == {}
    pipes.ask("tools/call", {"name": "chatty"}, id=3)
    assert [m["params"]["level"] for m in pipes.notices] == ["info", "error", "error"]
    assert error(pipes.ask("logging/setLevel", {"level": "loud"}, id=4)) == -32602


def test_legacy_progress(server: Server, pipes: Pipes) -> None:
    """It carries its token; a malformed one is refused."""
    pipes.settle("2025-06-18")
    pipes.ask("tools/call", {"name": "steps", "arguments": {"number": 1}, "_meta": {"progressToken": 9}})
    server.seconds(2)
    assert pipes.notices[-1]["params"] == {"progressToken": 9, "progress": 1, "total": 1, "message": "step 1"}
    assert error(pipes.ask("tools/call", {"name": "steps", "_meta": {"progressToken": []}}, id=2)) == -32602


def test_legacy_errors(pipes: Pipes) -> None:
    """An unknown method, and the one that only the modern era has."""
    pipes.settle(LATEST_LEGACY)
    for number, method in enumerate(("nonsense", "server/discover", "subscriptions/listen")):
        assert error(pipes.ask(method, id=number)) == -32601


def test_both_eras_in_one_process(pipes: Pipes) -> None:
    """A request with a version is modern, also after a handshake."""
    assert "result" in pipes.modern("server/discover", id="probe")
    pipes.settle(LATEST_LEGACY)
    assert "resultType" in pipes.modern("tools/list", id="m")["result"]
    assert "resultType" not in pipes.ask("tools/list", id="l")["result"]


def test_without_the_legacy_room(server: Server) -> None:
    """initialize is told the versions that there are; the rest is modern or nothing."""
    pipes = Pipes(server, legacy=False)
    reply = pipes.initialize(LATEST_LEGACY)
    assert error(reply) == -32022
    assert reply["error"]["data"]["supported"] == [MODERN]
    assert error(pipes.ask("ping")) == -32602
    pipes.notify("notifications/initialized")
    pipes.send([request("ping")])
    assert "result" in pipes.modern("server/discover", id=2)
    assert [error(m) for m in pipes.without_id] == [-32600]
    pipes.stall()
    pipes.call("burst", {"size": 2000}, token=1, id=3)
    pipes.read_on()
    pipes.close_input()
    assert text(pipes.reply(3)) == "done"


# --- requests in flight


def test_many_at_once(server: Server, pipes: Pipes) -> None:
    """Each has its own reply, in the order in which they end."""
    for number in range(100):
        pipes.call("silent", {"seconds": 1 + (number * 37) % 100}, id=number)
    server.seconds(110)
    ends = [message["id"] for message in pipes.messages]
    assert sorted(ends) == list(range(100))
    assert [(number * 37) % 100 for number in ends] == list(range(100))
    assert len(pipes.protocol.conversation) == 0


def test_ids_of_two_types(server: Server, pipes: Pipes) -> None:
    """1 and "1" are two requests."""
    pipes.call("silent", {"seconds": 1}, id=1)
    pipes.call("silent", {"seconds": 2}, id="1")
    server.seconds(1.5)
    assert pipes.reply(1) is not None
    assert pipes.reply("1") is None
    server.seconds(1)
    assert pipes.reply("1") is not None


@pytest.mark.parametrize("era", ["modern", "legacy"])
def test_an_id_in_flight(server: Server, pipes: Pipes, era: str) -> None:
    """The second is refused without an id, as the client would take it for the answer to the first; later it may."""
    if era == "legacy":
        pipes.settle(LATEST_LEGACY)
    ask: Callable[..., Any] = pipes.modern if era == "modern" else pipes.ask
    ask("tools/call", {"name": "silent", "arguments": {"seconds": 1}}, id=7)
    ask("tools/call", {"name": "echo"}, id=7)
    pipes.send({"jsonrpc": "2.0", "id": 7, "method": 5})
    assert [error(m) for m in pipes.without_id] == [-32600, -32600]
    assert "7" in pipes.without_id[0]["error"]["message"]
    server.seconds(2)
    assert text(pipes.reply(7)) == "awake"
    pipes.arrived = b""
    assert "result" in ask("tools/list", id=7)


@pytest.mark.parametrize("era", ["modern", "legacy"])
def test_cancelled(server: Server, pipes: Pipes, witness: Witness, era: str) -> None:
    """The tool is cancelled at once; no message about it ever comes; the id is free."""
    if era == "legacy":
        pipes.settle(LATEST_LEGACY)
    ask: Callable[..., Any] = pipes.modern if era == "modern" else pipes.ask
    ask("tools/call", {"name": "wait"}, id=1)
    server.seconds(1)
    pipes.cancel(1)
    assert witness.told == ["on_cancel", "finally"]
    assert server.leftovers() == []
    server.seconds(100)
    assert pipes.reply(1) is None
    assert "result" in ask("tools/list", id=1)


@pytest.mark.parametrize("wrong", ["1", 1.0, True, None, [1], {}, 2])
def test_cancelled_by_another_id(server: Server, pipes: Pipes, witness: Witness, wrong: Any) -> None:
    """Only the exact id counts; anything else is ignored."""
    pipes.call("wait", id=1)
    pipes.cancel(wrong)
    pipes.notify("notifications/cancelled")
    assert witness.told == []
    pipes.cancel(1)
    assert witness.told != []


def test_cancelled_takes_back_what_waits() -> None:
    """What a cancelled call said and the pipe did not take yet goes unsaid; what others said does not."""
    server = Server(burst, shout)
    pipes = Pipes(server)
    pipes.stall()
    pipes.call("burst", {"number": 2, "size": 700}, token="fills", id=0)
    pipes.call("shout", {"size": 10}, token="cancelled", id=1)
    pipes.call("shout", {"size": 10}, token="kept", id=2)
    server.seconds(3)
    pipes.cancel(1)
    pipes.read_on()
    assert [m["params"]["progressToken"] for m in pipes.notices] == ["fills", "fills", "kept", "kept", "kept"]
    assert pipes.reply(1) is None


def test_a_tool_that_fails(pipes: Pipes) -> None:
    """It is a result with isError, as over HTTP."""
    assert text(pipes.call("refuse")) == "no luck"
    assert "secret" not in text(pipes.call("crash", id=2))


# --- lines


@pytest.mark.parametrize(
    ("line", "code", "id"),
    [
        (b"rubbish", -32700, None),
        (b'{"jsonrpc":"2.0","id":1,"method":"ping"', -32700, None),
        (b"\xff\xfe", -32700, None),
        (b"1", -32600, None),
        (b"{}", -32600, None),
        (b"[]", -32600, None),
        (b'[{"jsonrpc":"2.0","id":1,"method":"ping"}]', -32600, None),
        (b'{"jsonrpc":"1.0","id":0,"method":"ping"}', -32600, 0),
        (b'{"jsonrpc":"2.0","id":null,"method":"ping"}', -32600, None),
        (b'{"jsonrpc":"2.0","id":1.5,"method":"ping"}', -32600, None),
        (b'{"jsonrpc":"2.0","id":"x","method":"ping","params":[]}', -32600, "x"),
    ],
)
def test_a_bad_line(pipes: Pipes, line: bytes, code: int, id: Any) -> None:
    """It is answered, under its id where it has a good one, and reading goes on."""
    pipes.put(line + b"\n")
    assert [(error(m), m.get("id")) for m in pipes.messages] == [(code, id)]
    assert pipes.ask("ping", id="after")["result"] == {}


@pytest.mark.parametrize(
    "message",
    [
        {"jsonrpc": "2.0", "id": 5, "result": {}},
        {"jsonrpc": "2.0", "error": {"code": 1, "message": "m"}},
        {"jsonrpc": "2.0", "method": "notifications/nonsense"},
        {"jsonrpc": "2.0", "method": "notifications/progress", "params": {"_meta": {VERSION: 5}}},
    ],
)
def test_what_needs_no_answer(pipes: Pipes, message: Any) -> None:
    """Responses that nobody asked for, and unknown notifications, are dropped in silence, before and after."""
    pipes.send(message)
    assert pipes.messages == []
    pipes.settle(LATEST_LEGACY)
    pipes.arrived = b""
    pipes.send(message)
    assert pipes.messages == []


def test_lines_in_pieces(pipes: Pipes) -> None:
    """How the bytes arrive does not matter; blank lines, and carriage returns, do not either."""
    data = b"\n \r\n".join(orjson.dumps(request("ping", id=number)) + b"\r" for number in range(3)) + b"\n"
    for position in range(len(data)):
        pipes.put(data[position : position + 1])
    assert [m["id"] for m in pipes.messages] == [0, 1, 2]
    pipes.put(b"".join(orjson.dumps(request("ping", id=number)) + b"\n" for number in range(3, 50)))
    assert [m["id"] for m in pipes.messages] == list(range(50))


def test_a_line_that_is_too_long(server: Server) -> None:
    """It is refused once, while it still arrives; the next one counts again."""
    pipes = Pipes(server, limits=LineLimits(line=1000))
    pipes.put(b"x" * 999)
    assert pipes.messages == []
    pipes.put(b"xx")
    assert [error(m) for m in pipes.without_id] == [-32600]
    assert "1000 bytes" in pipes.without_id[0]["error"]["message"]
    for _ in range(100):
        pipes.put(b"x" * 1000)
    pipes.put(b"\n")
    assert len(pipes.messages) == 1
    long = orjson.dumps(request("ping", {"_meta": {"x": "y" * 930}}))
    assert len(long) <= 1000
    pipes.put(long + b"\n")
    assert pipes.reply()["result"] == {}


@pytest.mark.parametrize("said", ["a\nb", "a\r\nb", "\u2028\u2029\x85", "\x00", "ü漢😀"])
def test_a_message_is_a_line(pipes: Pipes, said: str) -> None:
    """Whatever is said in it."""
    assert text(pipes.call("echo", {"text": said})) == said
    assert pipes.arrived.count(b"\n") == 1


# --- batches


def batch(*messages: Any) -> list[Any]:
    """A batch of requests with ids from 0 on, and of what is no request."""
    return [request(m, id=number) if isinstance(m, str) else m for number, m in enumerate(messages)]


def slow(id: int, seconds: float) -> Any:
    """A call that takes some time."""
    return request("tools/call", {"name": "silent", "arguments": {"seconds": seconds}}, id)


def test_batch(server: Server, pipes: Pipes) -> None:
    """The replies are one array, when the last is there; notifications of the calls come before."""
    pipes.settle("2025-03-26")
    pipes.arrived = b""
    talking = request("tools/call", {"name": "steps", "arguments": {"number": 1}, "_meta": {"progressToken": 5}}, "t")
    pipes.send(batch("ping", slow(1, 2), talking, "nonsense", {"jsonrpc": "2.0", "id": 9}, 5))
    server.seconds(1.5)
    assert [m["method"] for m in pipes.messages] == ["notifications/progress"]
    server.seconds(2)
    [array] = [m for m in pipes.messages if isinstance(m, list)]
    assert {m.get("id", "none"): "result" in m for m in array} == {
        0: True, 1: True, "t": True, 3: False, 9: False, "none": False
    }  # fmt: skip
    assert len(array) == 6


def test_batch_of_nothing_to_answer(pipes: Pipes) -> None:
    """Nothing is said: not even an empty array."""
    pipes.settle("2025-03-26")
    pipes.arrived = b""
    pipes.send([{"jsonrpc": "2.0", "method": "notifications/initialized"}, {"jsonrpc": "2.0", "id": 5, "result": {}}])
    assert pipes.messages == []


def test_batch_that_is_withdrawn(server: Server, pipes: Pipes) -> None:
    """What is cancelled is left out; if all is, nothing is said."""
    pipes.settle("2025-03-26")
    pipes.arrived = b""
    pipes.send(batch(slow(0, 5), slow(1, 5)))
    pipes.cancel(0)
    pipes.send(batch({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": 1}}))
    server.seconds(10)
    assert pipes.messages == []
    pipes.send(batch(slow(0, 5), slow(1, 5)))
    pipes.cancel(0)
    server.seconds(6)
    assert [[m["id"] for m in array] for array in pipes.messages] == [[1]]


def test_batch_with_an_id_in_flight(server: Server, pipes: Pipes) -> None:
    """That element is refused without an id; the others are answered."""
    pipes.settle("2025-03-26")
    pipes.arrived = b""
    pipes.send(batch(slow(1, 5), slow(1, 5), "ping"))
    server.seconds(6)
    [array] = pipes.messages
    assert sorted((m.get("id", "none"), "result" in m) for m in array if "id" in m) == [(1, True), (2, True)]
    assert len(array) == 3


def test_batch_with_initialize(pipes: Pipes) -> None:
    """That element is refused. Spec: "The initialize request MUST NOT be part of a JSON-RPC batch"."""
    pipes.settle("2025-03-26")
    pipes.arrived = b""
    pipes.send(batch("initialize", "ping"))
    assert [sorted(m) for m in pipes.messages[0]] == [["error", "id", "jsonrpc"], ["id", "jsonrpc", "result"]]


@pytest.mark.parametrize("size", [0, 1001])
def test_batch_of_a_bad_size(pipes: Pipes, size: int) -> None:
    """It is refused as a whole."""
    pipes.settle("2025-03-26")
    pipes.send([request("ping", id=number) for number in range(size)])
    assert [error(m) for m in pipes.without_id] == [-32600]


@pytest.mark.parametrize("version", sorted({*LEGACY} - {"2025-03-26"}))
def test_batch_elsewhere(pipes: Pipes, version: str) -> None:
    """Other revisions know none."""
    pipes.settle(version)
    pipes.send(batch("ping"))
    assert [error(m) for m in pipes.without_id] == [-32600]


# --- a client that is slow to read


def test_a_stalled_reader_pauses_the_tools(server: Server, pipes: Pipes, witness: Witness) -> None:
    """A producer is paused, a coroutine waits, and both go on when the reader does; nothing is lost."""
    pipes.stall()
    pipes.call("take", {"seconds": 60}, token="stream", id=1)
    pipes.call("steps", {"number": 30, "size": 500}, token="steps", id=2)
    server.seconds(20)
    assert witness.told == ["pause"]
    assert pipes.unread < 3000
    pipes.read_on()
    assert witness.told == ["pause", "resume"]
    server.seconds(60)
    numbers = [m["params"]["progress"] for m in pipes.notices if m["params"]["progressToken"] == "steps"]
    assert numbers == list(range(1, 31))
    assert text(pipes.reply(2)) == "done"


def test_a_call_that_begins_behind(server: Server, pipes: Pipes, witness: Witness) -> None:
    """It is paused from the start."""
    pipes.stall()
    pipes.call("burst", {"size": 2000}, token=0, id=1)
    pipes.call("take", id=2)
    assert witness.told == ["pause"]
    pipes.read_on()
    assert witness.told == ["pause", "resume"]
    pipes.cancel(2)


def test_a_reader_that_takes_little_at_a_time(server: Server, witness: Witness) -> None:
    """What waited fills the pipe again at once: nobody may go on yet, and nothing is lost or comes twice."""
    pipes = Pipes(server)
    pipes.stall()
    pipes.call("burst", {"number": 2, "size": 700}, token="fills", id=0)
    pipes.call("take", {"interval": 10.0}, token="take", id=1)
    pipes.call("burst", {"number": 5, "size": 700}, token="waits", id=2)
    assert witness.told == ["pause"]
    pipes.read_once()
    assert witness.told == ["pause"]
    assert pipes.protocol.outbox.size == 0
    pipes.call("burst", {"number": 1, "size": 700}, token="later", id=3)
    assert pipes.protocol.outbox.size > 700
    pipes.read_on()
    assert witness.told == ["pause", "resume"]
    assert [m["params"]["progressToken"] for m in pipes.notices] == ["fills"] * 2 + ["waits"] * 5 + ["later"]
    pipes.cancel(1)


def test_who_goes_on_may_fill_the_pipe(witness: Witness) -> None:
    """Then those that come after stay paused."""
    server = Server(burst, steps, *witness.tools())
    pipes = Pipes(server, limits=LineLimits(buffer=100_000))
    pipes.stall()
    pipes.call("burst", {"number": 2, "size": 700}, token=0, id=0)
    pipes.call("steps", {"number": 2, "size": 2000, "seconds": 0.01}, token=1, id=1)
    pipes.call("take", id=2)
    server.seconds(1)
    pipes.read_once()
    server.seconds(1)
    assert witness.told == ["pause"]
    pipes.read_on()
    assert witness.told == ["pause", "resume"]
    pipes.cancel(2)


def test_what_was_flushed_is_forgotten() -> None:
    """After several rounds of little, the bound counts only what waits, and a number replaces only one that waits."""
    server = Server(burst, count)
    pipes = Pipes(server, limits=LineLimits(buffer=5000))
    pipes.stall()
    for number in range(10):
        pipes.call("burst", {"number": 2, "size": 1500}, token="burst", id=f"b{number}")
        pipes.call("count", token="count", id=f"c{number}")
        pipes.read_once()
        pipes.read_once()
    pipes.read_on()
    assert [m for m in pipes.messages if "error" in m] == []
    assert len([m for m in pipes.notices if m["params"]["progressToken"] == "burst"]) == 20


def test_a_call_whose_lines_were_flushed_says_more() -> None:
    """Its last number was written, and can't be taken back."""
    server = Server(burst, numbers)
    pipes = Pipes(server)
    pipes.stall()
    pipes.call("burst", {"number": 2, "size": 700}, token="fills", id=0)
    pipes.call("numbers", token="n", id=1)
    for number in range(5):
        server.seconds(1)
        pipes.read_once()
        pipes.call("burst", {"number": 2, "size": 700}, token="fills", id=f"f{number}")
    pipes.read_on()
    pipes.cancel(1)
    assert pipes.reply(1) is None
    seen = [m["params"]["progress"] for m in pipes.notices if m["params"]["progressToken"] == "n"]
    assert len(seen) == 5
    assert seen == sorted(seen)


def test_bare_numbers_are_replaced_for_each_call() -> None:
    """While the reader is behind, only the last bare number of a call waits; messages all do."""
    pipes = Pipes(Server(burst, count))
    pipes.stall()
    pipes.call("burst", {"number": 1, "size": 2000}, token="first")
    for number in (2, 3):
        pipes.call("count", token=number, id=number)
    pipes.read_on()
    for token in (2, 3):
        seen = [m["params"]["progress"] for m in pipes.notices if m["params"]["progressToken"] == token]
        assert seen == [0.5, 20.5, 40.5, 49]
    assert text(pipes.reply(3)) == "counted"


def test_one_that_does_not_wait_is_ended(server: Server, witness: Witness) -> None:
    """Past the bound the call that says most is ended, with an error; the connection and the others live."""
    pipes = Pipes(server, limits=LineLimits(buffer=20_000))
    pipes.stall()
    pipes.call("burst", {"number": 2, "size": 700}, token="fills", id=0)
    pipes.call("take", {"interval": 0.1}, token="quiet", id=1)
    pipes.call("burst", {"number": 100, "size": 1000}, token="loud", id=2)
    assert pipes.protocol.outbox.size < 21_000
    pipes.call("echo", id=3)
    pipes.read_on()
    assert error(pipes.reply(2)) == -32603
    assert "read" in pipes.reply(2)["error"]["message"]
    assert "loud" not in [m["params"]["progressToken"] for m in pipes.notices]
    assert pipes.reply(3) is not None
    assert witness.told == ["pause", "resume"]
    pipes.cancel(1)
    assert server.leftovers() == []


def test_the_loudest_is_ended() -> None:
    """Not the one whose word was one too many."""
    server = Server(burst, shout)
    pipes = Pipes(server, limits=LineLimits(buffer=20_000))
    pipes.stall()
    pipes.call("burst", {"number": 2, "size": 700}, token="fills", id=0)
    pipes.call("shout", {"size": 4000}, token="loud", id=1)
    pipes.call("shout", {"size": 1000}, token="quiet", id=2)
    server.seconds(4.5)
    pipes.call("burst", {"number": 1, "size": 1000}, token="one too many", id=3)
    pipes.read_on()
    assert error(pipes.reply(1)) == -32603
    assert text(pipes.reply(3)) == "done"
    assert [m["params"]["progressToken"] for m in pipes.notices] == ["fills"] * 2 + ["quiet"] * 4 + ["one too many"]
    server.seconds(1)
    assert [m["params"]["progressToken"] for m in pipes.notices[7:]] == ["quiet"]


def test_one_that_has_ended_is_not_blamed() -> None:
    """What it said goes out before its reply, though it is more than all others said; who comes after it has less."""
    pipes = Pipes(Server(burst), limits=LineLimits(buffer=20_000))
    pipes.stall()
    pipes.call("burst", {"number": 2, "size": 700}, token="fills", id=0)
    pipes.call("burst", {"number": 1, "size": 15_000}, token="ended", id=1)
    pipes.call("burst", {"number": 10, "size": 1000}, token="late", id=2)
    pipes.read_on()
    assert text(pipes.reply(1)) == "done"
    assert error(pipes.reply(2)) == -32603
    assert [m["params"]["progressToken"] for m in pipes.notices] == ["fills", "fills", "ended"]


def test_replies_that_nobody_reads(server: Server) -> None:
    """They are never dropped; while too many wait, no more requests are read, and then they are."""
    pipes = Pipes(server, limits=LineLimits(buffer=10_000))
    pipes.stall()
    for number in range(100):
        pipes.call("echo", {"text": "x" * 1000}, id=number)
    assert not pipes.takes_input
    assert pipes.protocol.outbox.size < 12_000
    pipes.read_on()
    assert [m["id"] for m in pipes.messages] == list(range(100))
    assert pipes.takes_input
    assert pipes.protocol.outbox.size == 0


# --- ends


def test_end_of_input(server: Server, pipes: Pipes) -> None:
    """What runs may go on, and is answered; nothing more is taken. Said once."""
    pipes.call("silent", {"seconds": 1})
    pipes.close_input()
    assert pipes.ends == 1
    server.seconds(2)
    assert text(pipes.reply()) == "awake"
    pipes.put(b'{"jsonrpc":"2.0","id":1,"method":"ping"}\n')
    assert len(pipes.messages) == 1
    pipes.close_output()
    assert pipes.ends == 1


def test_a_last_line_without_its_end(pipes: Pipes) -> None:
    """It counts: whoever pipes a file in may have forgotten the last line break."""
    pipes.put(orjson.dumps(request("ping")))
    assert pipes.messages == []
    pipes.close_input()
    assert pipes.reply()["result"] == {}


@pytest.mark.parametrize("way", ["half", "all"])
def test_nobody_reads_any_more(server: Server, pipes: Pipes, witness: Witness, way: str) -> None:
    """What runs is cancelled, but for what is declared to finish; nothing is written."""
    pipes.call("wait", id=1)
    pipes.call("finish", id=2)
    if way == "half":
        pipes.close_output()
    else:
        pipes.protocol.connectionLost()
    assert witness.told == ["on_cancel", "finally"]
    server.seconds(10)
    assert witness.told[2:] == ["done"]
    assert pipes.arrived == b""
    assert pipes.ends == 1
    assert server.leftovers() == []


def test_finish_writes_what_waits(pipes: Pipes) -> None:
    """A reader that was behind gets all of it."""
    pipes.stall()
    pipes.call("burst", {"number": 9, "size": 500}, token=1)
    pipes.protocol.finish()
    assert pipes.closed
    pipes.read_on()
    assert len(pipes.notices) == 9
    assert text(pipes.reply()) == "done"


# --- what the server says of its own accord


def test_listen(server: Server, pipes: Pipes) -> None:
    """Acknowledged first, tagged; ended by the server with the result and, after it, notifications/cancelled."""
    pipes.modern("subscriptions/listen", LISTEN, id="l")
    server.publisher.publish(TOOLS_CHANGED)
    server.turn()
    server.subscriptions.end_all()
    methods = [m.get("method", "result") for m in pipes.messages]
    assert methods == [
        "notifications/subscriptions/acknowledged",
        "notifications/tools/list_changed",
        "result",
        "notifications/cancelled",
    ]
    tagged = [m.get("params", m.get("result"))["_meta"] for m in pipes.messages]
    assert [meta[SUBSCRIPTION] for meta in tagged] == ["l"] * 4
    assert pipes.messages[3]["params"]["requestId"] == "l"
    assert len(server.subscriptions) == 0


def test_listen_cancelled(server: Server, pipes: Pipes) -> None:
    """The client's word ends it, and there is no other; a second subscription goes on."""
    pipes.modern("subscriptions/listen", LISTEN, id=1)
    pipes.modern("subscriptions/listen", LISTEN, id=2)
    pipes.cancel(1)
    server.publisher.publish(TOOLS_CHANGED)
    server.turn()
    assert [m["params"]["_meta"][SUBSCRIPTION] for m in pipes.messages] == [1, 2, 2]


def test_listen_refused(pipes: Pipes) -> None:
    """A request that opened nothing ends nothing: there is an error, and no notifications/cancelled."""
    assert error(pipes.modern("subscriptions/listen", {"notifications": 5})) == -32602
    assert len(pipes.messages) == 1


def test_a_session_hears_of_lists(server: Server, pipes: Pipes) -> None:
    """After the handshake, untagged; while the reader is behind the last word waits; at the end, no more."""
    pipes.settle(LATEST_LEGACY)
    server.publisher.publish(TOOLS_CHANGED)
    server.turn()
    assert [m["method"] for m in pipes.notices] == ["notifications/tools/list_changed"]
    pipes.stall()
    pipes.ask("tools/call", {"name": "echo", "arguments": {"text": "x" * 2000}})
    for _ in range(3):
        server.publisher.publish(TOOLS_CHANGED)
        server.turn()
    pipes.read_on()
    assert [m["method"] for m in pipes.notices] == ["notifications/tools/list_changed"] * 2
    pipes.close_input()
    server.publisher.publish(TOOLS_CHANGED)
    server.turn()
    assert len(pipes.notices) == 2
    assert server.publisher.listened_to() == 0


def test_a_fault_of_ours(pipes: Pipes, flush_logged_errors: Callable[..., list[Any]]) -> None:
    """It is logged, answered without details, and the next line is read."""

    class Broken:
        """What has a fault."""

        settled = True

        def take(self, message: Any) -> None:
            """Fail."""
            raise RuntimeError("secret")

    pipes.protocol._face._legacy = Broken()  # type: ignore[assignment]
    reply = pipes.ask("tools/list")
    assert error(reply) == -32603
    assert "secret" not in str(reply)
    assert len(flush_logged_errors(RuntimeError)) == 1
    assert "result" in pipes.modern("server/discover", id=2)


# --- questions to the client


@tool
async def asks(call: Call) -> str:
    """Ask for the roots of the client."""
    roots = await call.roots()
    return " ".join(root.uri for root in roots)


def test_asked_in_a_session() -> None:
    """The question is a request of the server; its answer lets the tool go on, and one for nobody is dropped."""
    server = Server(asks)
    pipes = Pipes(server)
    pipes.initialize(LATEST_LEGACY, capabilities={"roots": {}})
    pipes.arrived = b""
    pipes.ask("tools/call", {"name": "asks"}, id=5)
    [question] = pipes.messages
    assert (question["method"], type(question["id"])) == ("roots/list", str)
    answer = {"jsonrpc": "2.0", "id": question["id"], "result": {"roots": [{"uri": "file:///a"}]}}
    pipes.send({**answer, "id": 5})
    assert pipes.reply(5) is None
    pipes.send(answer)
    pipes.send(answer)
    assert text(pipes.reply(5)) == "file:///a"
    assert server.leftovers() == []


def test_asked_modern() -> None:
    """The question is the reply, and the request comes again with the answer. Spec: stdio: "The server MUST NOT write
    JSON-RPC requests to stdout"."""
    pipes = Pipes(Server(asks))
    meta = {CAPABILITIES: {"roots": {}}}
    asked = pipes.call("asks", id=1, meta=meta)["result"]
    assert asked["resultType"] == "input_required"
    [key] = asked["inputRequests"]
    more = {"requestState": asked["requestState"], "inputResponses": {key: {"roots": [{"uri": "file:///a"}]}}}
    again = pipes.modern("tools/call", {"name": "asks", "arguments": {}, **more}, meta=meta, id=2)
    assert text(again) == "file:///a"
    assert pipes.notices == []


def test_asked_in_a_session_that_can_not() -> None:
    """A client that did not declare it is asked nothing."""
    pipes = Pipes(Server(asks))
    pipes.settle(LATEST_LEGACY)
    assert pipes.ask("tools/call", {"name": "asks"}, id=5)["result"]["isError"]
    assert pipes.notices == []
