"""The clients of others start our server as the documentation says, and talk to it over standard input and output."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.interop.drivers import PLAN, carry_out, check, npm_client, npm_sdk, official
from tests.interop.inspector import Inspector
from tests.interop.peers import Peers
from tests.interop.served import ROOT
from tests.interop.test_clients import COMBINATIONS

pytestmark = pytest.mark.interop

PLUGINS = Path(__file__).with_name("plugins")
LEFTOVERS = {"tool": "leftovers"}


def host_configuration() -> Any:
    """The snippet of the how-to, with the paths of this machine in the places of the two that a reader replaces."""
    page = (ROOT / "docs" / "how-to" / "stdio.md").read_text(encoding="utf-8")
    [snippet] = re.findall(r"^```json\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    for theirs, ours in (("/srv/mcpserve/.venv/bin/python", sys.executable), ("/srv/mcpserve/plugins", str(PLUGINS))):
        assert snippet.count(f'"{theirs}"') == 1
        snippet = snippet.replace(f'"{theirs}"', json.dumps(ours))
    return json.loads(snippet)


@pytest.mark.parametrize(
    ("client", "era", "version"), COMBINATIONS, ids=lambda value: getattr(value, "__name__", value)
)
def test_a_client_uses_the_tools(peers: Peers, client: Callable[[Peers], list[str]], era: str, version: str) -> None:
    """It lists the tools, gets text, structure and progress in order, and its cancelling stops the tool's loop."""
    entry = json.dumps(host_configuration()["mcpServers"]["mcpserve"])
    outcome = carry_out([*client(peers), entry, era, json.dumps([*PLAN, LEFTOVERS])])
    *outcome["calls"], leftovers = outcome["calls"]
    check(outcome, None if client is npm_sdk else version, hasty=client is not official)
    assert leftovers["structured"]["loops"] == 0


def test_all_of_them_are_tried() -> None:
    """Each client there is, in each era that it has."""
    assert {client for client, _, _ in COMBINATIONS} == {official, npm_client, npm_sdk}


@pytest.mark.parametrize("era", ["legacy", "modern"])
def test_the_inspector_calls(peers: Peers, tmp_path: Path, era: str) -> None:
    """The Inspector takes the host's file as it is."""
    file = tmp_path / "mcp.json"
    file.write_text(json.dumps(host_configuration()))
    inspector = Inspector(peers, tmp_path, ["--config", str(file), "--server", "mcpserve", "--protocol-era", era])
    listed = json.loads(inspector("--method", "tools/list"))["result"]["tools"]
    assert {"echo", "add", "watched"} <= {tool["name"] for tool in listed}
    arguments = ["--tool-args-json", json.dumps({"start": 3, "interval": 0.05}), "--tool-metadata", "progressToken=7"]
    called = json.loads(inspector("--method", "tools/call", "--tool-name", "countdown", *arguments))["result"]
    assert called["content"][0]["text"] == "Counted down from 3."
