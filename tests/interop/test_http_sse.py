"""The clients of others use the HTTP with SSE of 2024-11-05, where it is turned on."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.interop.drivers import LATEST_LEGACY, PLAN, carry_out, check, official
from tests.interop.inspector import Inspector
from tests.interop.peers import Peers
from tests.interop.raw import loops_running
from tests.interop.served import Served, eventually, serving

pytestmark = pytest.mark.interop

PLUGINS = Path(__file__).with_name("plugins")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A server with the option."""
    log = tmp_path_factory.mktemp("server") / "server.log"
    with serving(log, "--http-sse", "--plugins", str(PLUGINS)) as served:
        yield served


def sse(server: Served) -> str:
    """The URL of the stream."""
    return server.url.removesuffix("/mcp") + "/sse"


def test_the_official_client_uses_the_tools(server: Served, peers: Peers) -> None:
    """As over the other transports; its cancelling stops the tool's loop."""
    outcome = carry_out([*official(peers), sse(server), "legacy", json.dumps(PLAN)])
    check(outcome, LATEST_LEGACY)
    eventually("the cancelled tool's loop stops", lambda: loops_running(server.url) == 0)


def test_the_inspector_calls(server: Served, peers: Peers, tmp_path: Path) -> None:
    """It lists the tools, and calls one that streams."""
    inspector = Inspector(peers, tmp_path, [sse(server), "--transport", "sse"])
    listed = json.loads(inspector("--method", "tools/list"))["result"]["tools"]
    assert {"echo", "add", "countdown", "ticker"} <= {tool["name"] for tool in listed}
    arguments = ["--tool-args-json", json.dumps({"count": 3, "interval": 0.05}), "--tool-metadata", "progressToken=7"]
    called = json.loads(inspector("--method", "tools/call", "--tool-name", "ticker", *arguments))["result"]
    assert called["content"][0]["text"] == "Sent 3 ticks."
