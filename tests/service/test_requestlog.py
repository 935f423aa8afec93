"""The line for each request, on the wire of a whole server."""

from __future__ import annotations

import io
import json

import pytest
from twisted.internet.task import Clock

from mcpserve.service.logs import JSON, TEXT, Logs
from mcpserve.service.requestlog import RequestLog, word
from tests.wire.callers import Said, by
from tests.wire.server import Server
from tests.wire.tools import echo, refuse, silent

TRACE = "0af7651916cd43dd8448eb211c80319c"


def served(form: str) -> tuple[Server, io.StringIO, Clock]:
    """A server with callers that writes lines at once, and their clock."""
    out, clock, logs = io.StringIO(), Clock(), Logs(form)
    clock.advance(1_795_000_000)
    logs.observer(out)
    log = RequestLog(logs, clock.seconds, lambda method, name: (method, name) in KNOWN)
    return Server(echo, refuse, silent, observer=log, identity=Said), out, clock


KNOWN = {("tools/call", "echo"), ("tools/call", "silent")}


def test_text() -> None:
    """Who, what, how it ended, how long it took; a name only of what is served."""
    server, out, clock = served(TEXT)
    server.call("echo", {"text": "my arguments"}, headers=by("ada"), meta={"traceparent": f"00-{TRACE}-{'1' * 16}-01"})
    server.call("no such tool", headers=by(None))
    peer = server.call("silent", headers=by("bob"))
    clock.advance(1.5)
    peer.drop()
    lines = [line.partition("  requests  ")[2] for line in out.getvalue().splitlines()]
    assert lines == [
        f"192.168.1.1 ada tools/call echo ok 0ms trace={TRACE}",
        "192.168.1.1 - tools/call error -32602 0ms",
        "192.168.1.1 bob tools/call silent disconnected 1500ms",
    ]


def test_what_http_has_beside() -> None:
    """Refusals and streams have a line with their status; a request that was told is not told twice, a probe never."""
    server, out, _ = served(TEXT)
    server.http("POST", {"Host": "evil.example"}, b"{}", path="/mcp?access_token=secret")
    server.http("GET", path="/a b\x1b[1m")
    server.http("GET", path="/health/live")
    session = server.session()
    session.get().drop()
    lines = [line.partition("  requests  ")[2] for line in out.getvalue().splitlines()]
    assert lines == [
        "192.168.1.1 - POST /mcp 421 0ms",
        "192.168.1.1 - - - 400 0ms",
        "192.168.1.1 - initialize ok 0ms",
        "192.168.1.1 - POST /mcp 202 0ms",
        "192.168.1.1 - GET /mcp 200 disconnected 0ms",
    ]


def test_json() -> None:
    """The same as fields; what is not known is not there."""
    server, out, _ = served(JSON)
    server.call("echo", {"text": "my arguments"}, headers=by("ada"))
    server.http("POST", {"Content-Type": "text/plain", **by("ada")}, b"{}")
    first, second = map(json.loads, out.getvalue().splitlines())
    assert first == {
        "time": "2026-11-18T11:06:40.000Z",
        "level": "info",
        "source": "mcpserve.requests",
        "kind": "request",
        "address": "192.168.1.1",
        "caller": "ada",
        "method": "tools/call",
        "name": "echo",
        "revision": "2026-07-28",
        "outcome": "ok",
        "ms": 0.0,
    }
    assert (second["kind"], second["status"], second["caller"]) == ("response", 415, "ada")


@pytest.mark.parametrize(("value", "shown"), [(None, "-"), ("", "-"), ("a b", "a\\x20b"), ("ada", "ada")])
def test_words(value: str | None, shown: str) -> None:
    """A value is one word of its line, so that nobody can pretend to be two."""
    assert word(value) == shown
