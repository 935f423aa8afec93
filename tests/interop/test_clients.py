"""The clients of others list and call our tools, see progress in order, and cancel; in both eras."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import attrs
import pytest

from tests.interop.peers import Peers
from tests.interop.raw import loops_running
from tests.interop.served import Served, eventually

pytestmark = pytest.mark.interop

CLIENTS = Path(__file__).with_name("clients")

LATEST_LEGACY = "2025-11-25"
MODERN = "2026-07-28"

PLAN = [
    {"tool": "echo", "arguments": {"text": "Grüße, 世界"}},
    {"tool": "add", "arguments": {"a": 1, "b": 2.5}},
    {"tool": "countdown", "arguments": {"start": 50, "interval": 0}},
    {"tool": "ticker", "arguments": {"interval": 0.01, "count": 20}},
    {"tool": "watched", "abort_after": 3},
    {"tool": "echo", "arguments": {"text": "still here"}},
]


def official(peers: Peers) -> list[str]:
    """The official Python client, from PyPI."""
    return [str(peers.python), str(CLIENTS / "official_client.py")]


def npm_client(peers: Peers) -> list[str]:
    """The official TypeScript client of today, from npm."""
    return [str(peers.node), str(CLIENTS / "npm_client.mjs"), str(peers.node_modules)]


def npm_sdk(peers: Peers) -> list[str]:
    """The TypeScript SDK 1.x, which most clients in the field still use."""
    return [str(peers.node), str(CLIENTS / "npm_sdk.mjs"), str(peers.node_modules)]


COMBINATIONS = [
    (official, "modern", MODERN),
    (official, "auto", MODERN),
    (official, "legacy", LATEST_LEGACY),
    (npm_client, "modern", MODERN),
    (npm_client, "auto", MODERN),
    (npm_client, "legacy", LATEST_LEGACY),
    (npm_sdk, "legacy", LATEST_LEGACY),
]


def _carry_out(command: list[str]) -> Any:
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, stdin=subprocess.DEVNULL)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.parametrize(
    ("client", "era", "version"), COMBINATIONS, ids=lambda value: getattr(value, "__name__", value)
)
def test_a_client_uses_the_tools(
    server: Served, peers: Peers, client: Callable[[Peers], list[str]], era: str, version: str
) -> None:
    """It lists the tools, gets text, structure and progress in order, and its cancelling stops the tool's loop."""
    outcome = _carry_out([*client(peers), server.url, era, json.dumps(PLAN)])
    echo, add, countdown, ticker, watched, again = outcome["calls"]
    assert outcome["version"] == version
    assert {"echo", "add", "countdown", "ticker", "system_stats"} <= set(outcome["tools"])
    assert echo["text"] == ["Grüße, 世界"]
    assert add["structured"] == {"sum": 3.5}
    assert [step[:2] for step in countdown["progress"]] == [[value, 50] for value in range(51)]
    assert countdown["progress"][50][2] == "Lift-off"
    assert countdown["text"] == ["Counted down from 50."]
    assert [step[0] for step in ticker["progress"]] == list(range(1, 21))
    assert watched["aborted"]
    assert len(watched["progress"]) >= 3
    assert again["text"] == ["still here"]
    eventually("the cancelled tool's loop stops", lambda: loops_running(server.url) == 0)


@attrs.frozen
class Inspector:
    """The Inspector's command line.

    Args:
        peers: Where it is installed.
        url: The server that it looks at.
        home: A directory for the settings that it keeps in the home directory.
    """

    peers: Peers
    url: str
    home: Path

    def __call__(self, *arguments: str) -> str:
        """Run it, and return what it printed."""
        node = self.peers.node
        target = ["--cli", self.url, "--transport", "http", "--format", "json", "--quiet"]
        done = subprocess.run(
            [str(node), str(self.peers.npm_bin("mcp-inspector")), *target, *arguments],
            env={"HOME": str(self.home), "PATH": f"{node.parent}:/usr/bin:/bin"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout


@pytest.fixture
def inspector(server: Served, peers: Peers, tmp_path: Path) -> Inspector:
    """The Inspector, pointed at our server."""
    return Inspector(peers, server.url, tmp_path)


@pytest.mark.parametrize("era", ["legacy", "modern"])
def test_the_inspector_lists_the_tools(inspector: Inspector, era: str) -> None:
    """The Inspector's command line lists the tools in both eras."""
    listed = json.loads(inspector("--protocol-era", era, "--method", "tools/list"))["result"]["tools"]
    assert {"echo", "add", "countdown", "ticker"} <= {tool["name"] for tool in listed}


@pytest.mark.parametrize("era", ["legacy", "modern"])
@pytest.mark.parametrize(
    ("tool", "arguments", "text"),
    [
        ("echo", {"text": "hello"}, "hello"),
        ("countdown", {"start": 3, "interval": 0.05}, "Counted down from 3."),
        ("ticker", {"interval": 0.05, "count": 3}, "Sent 3 ticks."),
    ],
)
def test_the_inspector_calls(inspector: Inspector, era: str, tool: str, arguments: dict[str, Any], text: str) -> None:
    """The Inspector's command line gets the results of plain and of streaming tools, in both eras."""
    call = ["--method", "tools/call", "--tool-name", tool, "--tool-args-json", json.dumps(arguments)]
    # It prints no progress, but with a token it gets a stream, and finds the result at its end.
    result = json.loads(inspector("--protocol-era", era, *call, "--tool-metadata", "progressToken=7"))["result"]
    assert result["content"][0]["text"] == text


def test_the_inspector_finds_the_schemas_portable(inspector: Inspector) -> None:
    """The Inspector's strict check of the listed schemas finds no error."""
    inspector("--method", "tools/list", "--strict")
