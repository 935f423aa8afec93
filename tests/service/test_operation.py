"""One process as its operator sees it, from its start to its end, on a clock of the test's own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import orjson
import pytest
from twisted.internet.testing import MemoryReactorClock

from mcpserve.errors import StartError
from mcpserve.policy.keys import make_key
from mcpserve.service import listening
from mcpserve.service.daemon import Daemon
from mcpserve.service.keyfile import changing
from mcpserve.service.logs import Logs
from mcpserve.service.plugins import load
from mcpserve.service.settings import Settings
from tests.wire.http import Peer
from tests.wire.server import head

PLUGIN = """
from mcpserve import Call, tool

@tool
async def wait(call: Call, seconds: float = 1) -> str:
    "Wait."
    await call.sleep(seconds)
    return "waited"
"""
META = {"io.modelcontextprotocol/protocolVersion": "2026-07-28", "io.modelcontextprotocol/clientCapabilities": {}}


class Heard:
    """Stands for the supervisor, and hears what it is told."""

    def __init__(self) -> None:
        self.said: list[str] = []

    def ready(self, status: str) -> None:
        """See `Supervisor`."""
        self.said.append(f"ready: {status}")

    def reloading(self, monotonic: float) -> None:
        """See `Supervisor`."""
        self.said.append("reloading")

    def stopping(self) -> None:
        """See `Supervisor`."""
        self.said.append("stopping")

    def stop(self) -> None:
        """See `Supervisor`."""
        self.said.append("stop")


class Process:
    """A daemon with clients in memory."""

    def __init__(self, folder: Path, **settings: Any) -> None:
        (folder / "plugin.py").write_text(PLUGIN)
        chosen = {"plugins": (str(folder),), "shipped": False, "drain": 2.0, "ops_listen": ("tcp:9464",), **settings}
        self.settings = Settings(**chosen)
        self.reactor = MemoryReactorClock()
        self.heard: Any = Heard()
        self.daemon = Daemon(self.reactor, self.settings, load(self.settings), Logs("json"), self.heard)

    def start(self) -> None:
        """Start, and let the reactor run."""
        self.daemon.startService()
        self.daemon._serving()
        self.daemon.site.startFactory()

    def stop(self) -> list[object]:
        """Stop; the list has an element when that is over."""
        over: list[object] = []
        self.daemon.stopService().addCallback(over.append)
        return over

    def advance(self, seconds: float) -> None:
        """Let time pass in small steps."""
        self.reactor.pump([0.02] * round(seconds / 0.02))

    def send(self, method: str, path: str = "/mcp", message: Any = None, site: Any = None, **headers: str) -> Peer:
        """Send a request on a connection of its own."""
        body = b"" if message is None else orjson.dumps(message)
        peer = Peer(site or self.daemon.site, self.reactor)
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        given = {"Host": "127.0.0.1", "Content-Type": "application/json", "Content-Length": str(len(body)), **named}
        peer.send(head(method, path, given) + body)
        return peer

    def call(self, seconds: float) -> Peer:
        """Call the tool."""
        params = {"name": "wait", "arguments": {"seconds": seconds}, "_meta": META}
        message = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}
        mirrored = {"MCP_Protocol_Version": "2026-07-28", "Mcp_Method": "tools/call", "Mcp_Name": "wait"}
        return self.send("POST", message=message, **mirrored)

    def listen(self) -> Peer:
        """Listen to changes, modern."""
        params = {"notifications": {"toolsListChanged": True}, "_meta": META}
        message = {"jsonrpc": "2.0", "id": 2, "method": "subscriptions/listen", "params": params}
        mirrored = {"MCP_Protocol_Version": "2026-07-28", "Mcp_Method": "subscriptions/listen"}
        return self.send("POST", message=message, Accept="application/json, text/event-stream", **mirrored)

    def get_stream(self, version: str) -> Peer:
        """Begin a session, and open its standalone stream."""
        wanted = {"protocolVersion": version, "capabilities": {}, "clientInfo": {"name": "c", "version": "1"}}
        began = self.send("POST", message={"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": wanted})
        session = began.headers["mcp-session-id"]
        headers = {"Mcp_Session_Id": session, "MCP_Protocol_Version": version, "Accept": "text/event-stream"}
        return self.send("GET", **headers)

    def ready(self) -> tuple[int, Any]:
        """What the health says of it on the main port."""
        peer = self.send("GET", "/health/ready")
        return peer.status, orjson.loads(peer.body)

    def metrics(self) -> str:
        """What the operator's port says."""
        return self.send("GET", "/metrics", site=self.daemon.ops_site).body.decode()


def test_before_it_serves(tmp_path: Path) -> None:
    """It is alive, but not ready; then it is, and says so to its supervisor."""
    process = Process(tmp_path)
    assert process.ready() == (503, {"status": "unavailable", "reasons": ["starting"]})
    process.start()
    assert process.ready() == (200, {"status": "ok"})
    assert process.heard.said == ["ready: Serving 1 tool"]
    process.stop()
    process.advance(5)


def test_the_end(tmp_path: Path) -> None:
    """In this order: not ready, not listening, streams end, calls have their time, the operator's port closes."""
    process = Process(tmp_path, drain_delay=1.0)
    process.start()
    quick, slow, listening_to = process.call(2.0), process.call(60.0), process.listen()
    legacy = process.get_stream("2025-11-25")
    older = process.get_stream("2025-06-18")
    over = process.stop()
    assert process.ready() == (503, {"status": "unavailable", "reasons": ["draining"]})
    assert "mcpserve_ready 0.0" in process.metrics()
    assert not process.daemon.site.draining
    assert b"resultType" not in listening_to.arrived
    process.advance(1.1)
    assert process.daemon.site.draining
    assert b'"resultType":"complete"' in listening_to.arrived
    assert listening_to.ended
    assert b"retry: 3000\n\n" in legacy.arrived
    assert legacy.ended
    assert b"retry: " not in older.arrived
    assert older.ended
    assert quick.arrived == slow.arrived == b""
    process.advance(1.0)
    assert b"waited" in quick.arrived
    assert slow.arrived == b""
    process.advance(1.2)
    assert b"The server is shutting down; call again" in slow.arrived
    process.advance(0.5)
    assert len(over) == 1
    assert process.heard.said == ["ready: Serving 1 tool", "stopping", "stop"]


def test_in_a_hurry(tmp_path: Path) -> None:
    """Asked once more, it waits neither for a load balancer nor for calls."""
    process = Process(tmp_path, drain_delay=30.0, drain=30.0)
    process.start()
    slow = process.call(60.0)
    over = process.stop()
    process.advance(0.5)
    assert not process.daemon.site.draining
    process.daemon._stop_or_hurry()
    process.advance(0.5)
    assert b"The server is shutting down" in slow.arrived
    assert len(over) == 1


def test_who_came_a_moment_before(tmp_path: Path) -> None:
    """A connection that was let in has its first request answered, and one that sends none holds nobody up for long."""
    process = Process(tmp_path)
    process.start()
    late, never = Peer(process.daemon.site, process.reactor), Peer(process.daemon.site, process.reactor)
    over = process.stop()
    process.advance(0.3)
    assert over == []
    late.send(head("GET", "/health/ready", {"Host": "127.0.0.1"}))
    assert late.status == 503
    assert late.headers["connection"] == "close"
    process.advance(3)
    assert len(over) == 1
    assert never.ended


def test_streams_of_http_with_sse(tmp_path: Path) -> None:
    """They are told when to come back, too."""
    process = Process(tmp_path, http_sse=True)
    process.start()
    stream = process.send("GET", "/sse", Accept="text/event-stream")
    process.stop()
    process.advance(5)
    assert b"retry: 2000\n\n" in stream.arrived


def test_a_reload(tmp_path: Path) -> None:
    """The supervisor hears of its begin and of its end."""
    process = Process(tmp_path)
    process.start()
    process.daemon.reload()
    assert process.heard.said[1:] == ["reloading", "ready: Serving 1 tool"]
    process.stop()
    process.advance(5)


def test_gauges(tmp_path: Path) -> None:
    """What there is at the moment of asking: connections, calls, streams, sessions."""
    process = Process(tmp_path)
    process.start()
    process.call(60.0)
    process.listen()
    process.get_stream("2025-11-25")
    text = process.metrics()
    for line in (
        "mcpserve_ready 1.0",
        "mcpserve_calls_running 1.0",
        "mcpserve_listeners 1.0",
        "mcpserve_open_streams 2.0",
        "mcpserve_open_responses 1.0",
        'mcpserve_sessions{transport="streamable_http"} 1.0',
        'mcpserve_requests_total{method="initialize",outcome="ok"} 1.0',
        "mcpserve_store_in_step 1.0",
    ):
        assert f"\n{line}\n" in text
    peer = process.send("GET", "/health/ready", site=process.daemon.ops_site)
    details = orjson.loads(peer.body)
    assert (details["phase"], details["calls_running"], details["open_streams"]) == ("serving", 1.0, 2.0)
    process.stop()
    process.advance(10)


def test_where_the_operator_looks(tmp_path: Path) -> None:
    """On a port of its own, and only if it was asked for; the main port has no metrics."""
    process = Process(tmp_path)
    process.start()
    assert [server[0] for server in process.reactor.tcpServers] == [8000, 9464]
    assert process.send("GET", "/metrics").status == 404
    process.stop()
    process.advance(5)
    assert Process(tmp_path, ops_listen=()).daemon.ops_site is None
    with pytest.raises(StartError, match="nonsense"):
        Process(tmp_path, ops_listen=("nonsense",)).daemon.startService()


def test_keys_that_fail(tmp_path: Path) -> None:
    """Each refusal is counted by its reason."""
    with changing(tmp_path / "keys") as keys:
        keys.append(make_key("ada", now=0.0)[0])
    process = Process(tmp_path, keys=str(tmp_path / "keys"))
    process.start()
    process.send("POST", message={})
    process.send("POST", message={}, X_API_Key="mcps_nothing")
    process.send("POST", message={}, X_API_Key="a", Authorization="Bearer b")
    text = process.metrics()
    for reason in ("missing", "invalid", "malformed"):
        assert f'mcpserve_auth_failures_total{{reason="{reason}"}} 1.0' in text
    assert 'mcpserve_http_responses_total{status="401"} 2.0' in text
    process.stop()
    process.advance(5)


@pytest.mark.parametrize("description", ["systemd:domain=INET:index=0", "systemd:domain=UNIX:name=x"])
def test_a_socket_that_is_not_there(description: str) -> None:
    """It is not taken for one that only this machine can reach."""
    assert not listening.on_loopback(description)
