"""The clients of others list and call our tools, see progress in order, and cancel; in both eras."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.interop.drivers import LATEST_LEGACY, MODERN, PLAN, carry_out, check, npm_client, npm_sdk, official
from tests.interop.inspector import Inspector
from tests.interop.peers import Peers
from tests.interop.raw import loops_running
from tests.interop.served import Served, eventually

pytestmark = pytest.mark.interop

COMBINATIONS = [
    (official, "modern", MODERN),
    (official, "auto", MODERN),
    (official, "legacy", LATEST_LEGACY),
    (npm_client, "modern", MODERN),
    (npm_client, "auto", MODERN),
    (npm_client, "legacy", LATEST_LEGACY),
    (npm_sdk, "legacy", LATEST_LEGACY),
]


@pytest.mark.parametrize(
    ("client", "era", "version"), COMBINATIONS, ids=lambda value: getattr(value, "__name__", value)
)
def test_a_client_uses_the_tools(
    server: Served, peers: Peers, client: Callable[[Peers], list[str]], era: str, version: str
) -> None:
    """It lists the tools, gets text, structure and progress in order, and its cancelling stops the tool's loop."""
    outcome = carry_out([*client(peers), server.url, era, json.dumps(PLAN)])
    check(outcome, version)
    eventually("the cancelled tool's loop stops", lambda: loops_running(server.url) == 0)


@pytest.fixture
def inspector(server: Served, peers: Peers, tmp_path: Path) -> Inspector:
    """The Inspector, pointed at our server."""
    return Inspector(peers, tmp_path, [server.url, "--transport", "http"])


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
