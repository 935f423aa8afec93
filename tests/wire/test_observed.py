"""What somebody who watches is told of each request, on every way that one can come and end."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from mcpserve import Call, tool
from mcpserve.protocol.trace import Trace
from mcpserve.server.observing import together
from mcpserve.web.site import HttpLimits
from tests.wire.callers import Said, by
from tests.wire.observing import Recorder
from tests.wire.server import Limits, Server, request
from tests.wire.tools import burst, crash, echo, refuse, silent

PARENT = "00-0af7651916cd43dd8448eb211c80319c-00f067aa0ba902b7-01"


@tool
def traced(call: Call) -> str:
    """Say where in a trace it is."""
    return "none" if call.trace is None else call.trace.parent


def watched(**more: Any) -> tuple[Server, Recorder]:
    """A server, and who watches it."""
    recorder = Recorder()
    return Server(echo, refuse, crash, silent, burst, traced, observer=recorder, **more), recorder


@pytest.mark.parametrize(
    ("method", "params", "ending", "code"),
    [
        ("tools/call", {"name": "echo", "arguments": {"text": "x"}}, "ok", None),
        ("tools/call", {"name": "refuse", "arguments": {}}, "failed", None),
        ("tools/call", {"name": "crash", "arguments": {}}, "failed", None),
        ("tools/call", {"name": "nope", "arguments": {}}, "error", -32602),
        ("tools/list", {}, "ok", None),
        ("server/discover", {}, "ok", None),
        ("no/such", {}, "error", -32601),
    ],
)
def test_requests(method: str, params: dict[str, Any], ending: str, code: int | None) -> None:
    """One beginning and one ending each, and one response that says that it was one of these."""
    server, recorder = watched()
    server.modern(method, params)
    assert [(name, caller.address) for name, _, caller in recorder.began_with] == [(method, "192.168.1.1")]
    assert recorder.endings == [(method, ending, code)]
    [response] = recorder.responses
    assert (response.method, response.path, response.exchanged, response.lost) == ("POST", "/mcp", True, False)


def test_a_fault_of_a_plugin() -> None:
    """Told with the kind and the name; an error that the author meant is none."""
    server, recorder = watched()
    server.call("crash")
    server.call("refuse")
    assert recorder.told == [("faulted", "tool", "crash")]


def test_a_client_that_leaves() -> None:
    """The request ends as one whose client was lost, its call as cancelled, and its response without a status."""
    server, recorder = watched()
    server.call("silent").drop()
    assert recorder.endings == [("tools/call", "disconnected", None)]
    assert recorder.told == [("cancelled", "tool", "silent", "DISCONNECTED")]
    assert [(response.status, response.lost) for response in recorder.responses] == [(0, True)]


def test_a_session() -> None:
    """The handshake, what only these revisions have, a call, one that is withdrawn, and streams."""
    server, recorder = watched()
    session = server.session()
    session.ask("ping")
    session.ask("logging/setLevel", {"level": "nope"})
    session.call("echo", {"text": "x"})
    session.call("silent", id=9)
    session.notify("notifications/cancelled", {"requestId": 9})
    assert recorder.endings == [
        ("initialize", "ok", None),
        ("ping", "ok", None),
        ("logging/setLevel", "error", -32602),
        ("tools/call", "ok", None),
        ("tools/call", "withdrawn", None),
    ]
    seen = len(recorder.responses)
    session.get().drop()
    session.delete()
    ends = [(r.method, r.status, r.exchanged) for r in recorder.responses[seen:]]
    assert ends == [("GET", 200, False), ("DELETE", 204, False)]


def test_a_batch() -> None:
    """Each request in it is one."""
    server, recorder = watched()
    session = server.session("2025-03-26")
    session.post([request("ping", id=1), request("tools/list", id=2)])
    assert [method for method, *_ in recorder.endings] == ["initialize", "ping", "tools/list"]


def test_http_with_sse() -> None:
    """A request that is answered on another stream is one, too."""
    server, recorder = watched(http_sse=True)
    stream = server.http("GET", path="/sse")
    path = stream.body.decode().partition("data: ")[2].partition("\n")[0]
    wanted = {"protocolVersion": "2024-11-05", "capabilities": {}, "clientInfo": {"name": "c", "version": "1"}}
    server.http("POST", body=orjson.dumps(request("initialize", wanted)), path=path)
    assert recorder.endings == [("initialize", "ok", None)]
    assert [(r.method, r.path, r.status) for r in recorder.responses] == [("POST", "/messages", 202)]


def test_a_reader_that_is_too_slow() -> None:
    """Its call ends as overrun."""
    server, recorder = watched()
    peer = server.connect()
    peer.stall()
    server.call("burst", {"number": 40, "size": 100_000}, token=1, peer=peer)
    server.seconds(1)
    assert recorder.endings == [("tools/call", "overrun", None)]
    assert recorder.told == [("cancelled", "tool", "burst", "OVERRUN")]
    assert server.turns.overruns == 1


@pytest.mark.parametrize(
    ("headers", "body", "status"),
    [
        ({"Host": "evil.example"}, b"{}", 421),
        ({"Origin": "https://evil.example"}, b"{}", 403),
        ({"Content-Type": "text/plain"}, b"{}", 415),
        ({}, b"nonsense", 400),
    ],
)
def test_refusals(headers: dict[str, str], body: bytes, status: int) -> None:
    """No request of JSON-RPC has begun; the response has its status."""
    server, recorder = watched()
    server.http("POST", headers, body)
    assert recorder.began_with == []
    assert [(r.status, r.exchanged) for r in recorder.responses] == [(status, False)]


def test_what_the_http_layer_refuses() -> None:
    """It has a status, and says nothing of what the request may have been."""
    server, recorder = watched(limits=Limits(http=HttpLimits(body=10)))
    server.http("POST", body=b"x" * 11)
    server.connect().send(b"\x00\x01 nonsense\r\n\r\n")
    assert [(r.method, r.path, r.status) for r in recorder.responses] == [("", "", 413), ("", "", 400)]


def test_who_it_was() -> None:
    """The caller is told with the request, and with what HTTP has beside it."""
    server, recorder = watched(identity=Said)
    server.call("echo", {"text": "x"}, headers=by("ada"))
    server.http("GET", by("ada"))
    assert recorder.began_with[0][2].name == "ada"
    assert [r.caller.name for r in recorder.responses if r.caller is not None] == ["ada", "ada"]


@pytest.mark.parametrize("where", ["meta", "headers"])
def test_a_trace(where: str) -> None:
    """A tool finds the trace that the request names, wherever it names it, and in both eras."""
    server, _ = watched()
    said = {"traceparent": PARENT, "tracestate": "a=1"}
    peer = server.call("traced", **{where: said})
    assert peer.json["result"]["content"][0]["text"] == PARENT
    session = server.session()
    params = {"name": "traced", "arguments": {}, **({"_meta": said} if where == "meta" else {})}
    legacy = session.ask("tools/call", params, headers=said if where == "headers" else {})
    assert PARENT in legacy.arrived.decode()
    assert "none" in server.call("traced").arrived.decode()


def test_a_place_in_a_trace() -> None:
    """Who watches may give a request a place of its own: the tool finds that, and so does who watches after it."""
    place = Trace(trace_id="1" * 32, span_id="2" * 16)
    giving, after = Recorder(place), Recorder()
    server = Server(traced, observer=together([giving, after]))
    peer = server.call("traced", headers={"traceparent": PARENT})
    assert peer.json["result"]["content"][0]["text"] == place.parent
    assert after.began_with[0][1].trace == place
    assert giving.endings == after.endings == [("tools/call", "ok", None)]
    assert len(giving.responses) == len(after.responses) == 1


def test_nobody_watches() -> None:
    """Then there is no observer at all."""
    assert together([]) is None
    only = Recorder()
    assert together([only]) is only
