"""The legacy room can go: it is imported where it is wired, and what is modern works without it."""

from __future__ import annotations

import ast
import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
WIRED = {"mcpserve/service/daemon.py", "mcpserve/service/stdio.py"}
"""Where the eras are put together: what a release without the legacy room would change."""

PLUGIN = """
from mcpserve import tool

@tool
def echo(text: str) -> str:
    "Say it again."
    return text
"""

MODERN = r'''
"""Serves a modern client over both transports."""
import json, pkgutil, sys
from pathlib import Path
import mcpserve
from twisted.internet.testing import MemoryReactorClock, StringTransport
from mcpserve.policy.origins import Origins
from mcpserve.service.offer import Offer
from mcpserve.service.plugins import load
from mcpserve.service.settings import Settings
from mcpserve.stdio import LineLimits, LineProtocol
from mcpserve.web.admission import Admission
from mcpserve.web.endpoint import Endpoint, site_refusal
from mcpserve.web.response import Turns
from mcpserve.web.routing import RoutedResource
from mcpserve.web.site import McpSite

assert Path(mcpserve.__file__).is_relative_to(sys.argv[1]), mcpserve.__file__
for module in pkgutil.walk_packages(mcpserve.__path__, "mcpserve."):
    if not module.name.startswith(("mcpserve.service", "mcpserve.__main__")):
        __import__(module.name)
settings = Settings(plugins=("plugs",), shipped=False)
clock = MemoryReactorClock()
dispatcher = Offer(clock, settings, load(settings)).dispatcher
version = "io.modelcontextprotocol/protocolVersion"
meta = {version: "2026-07-28", "io.modelcontextprotocol/clientCapabilities": {}}
params = {"name": "echo", "arguments": {"text": "modern"}, "_meta": meta}
call = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}).encode()
initialize = json.dumps({"jsonrpc": "2.0", "id": 2, "method": "initialize", "params": {}}).encode()

pipe = StringTransport()
lines = LineProtocol(dispatcher, LineLimits())
lines.makeConnection(pipe)
lines.dataReceived(call + b"\n" + initialize + b"\n")
echoed, refused = map(json.loads, pipe.value().splitlines())
assert echoed["result"]["content"][0]["text"] == "modern"
assert refused["error"]["code"] == -32022

endpoint = Endpoint(dispatcher, Admission(Origins()), Turns(clock))
site = McpSite(RoutedResource(endpoint.app), clock=clock, refusal=site_refusal)
for body, headers, words in (
    (call, b"MCP-Protocol-Version: 2026-07-28\r\nMcp-Method: tools/call\r\nMcp-Name: echo\r\n", b'"text":"modern"'),
    (initialize, b"", b'"code":-32022'),
):
    connection = StringTransport()
    channel = site.buildProtocol(None)
    channel.makeConnection(connection)
    head = b"POST /mcp HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    channel.dataReceived(head + headers + b"Content-Length: %d\r\n\r\n" % len(body) + body)
    assert words in connection.value(), connection.value()
'''


def imported(path: Path) -> set[str]:
    """The modules that a file imports."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module is not None:
            found |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return found


def test_it_is_imported_where_it_is_wired() -> None:
    """And nowhere else, in nothing that is shipped."""
    files = [path for room in ("mcpserve", "plugins", "twisted", "benchmarks") for path in (ROOT / room).rglob("*.py")]
    users = {
        str(path.relative_to(ROOT))
        for path in files
        # what the benchmarks have built for themselves is thousands of files, and none of ours
        if ".cache" not in path.parts and any(name.startswith("mcpserve.legacy") for name in imported(path))
    }
    assert {user for user in users if not user.startswith("mcpserve/legacy/")} == WIRED


def test_what_is_modern_works_without_it(tmp_path: Path) -> None:
    """In a copy without the room, over HTTP and over stdio; initialize is told which versions there are."""
    shutil.copytree(ROOT / "mcpserve", tmp_path / "mcpserve", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.rmtree(tmp_path / "mcpserve" / "legacy")
    (tmp_path / "plugs").mkdir()
    (tmp_path / "plugs" / "plugin.py").write_text(PLUGIN)
    (tmp_path / "modern.py").write_text(MODERN)
    done = subprocess.run(
        [sys.executable, "modern.py", str(tmp_path)],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
