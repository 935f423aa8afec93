"""Requests of revision 2026-07-28 made by hand, for looking at a server without any client's help."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Mapping
from typing import Any

import attrs

REVISION = "2026-07-28"


@attrs.frozen
class Request:
    """A request, as headers and body."""

    headers: Mapping[str, str]
    body: bytes


def tool_call(name: str, arguments: Mapping[str, Any] | None = None, progress_token: str | None = None) -> Request:
    """A tools/call of revision 2026-07-28."""
    meta: dict[str, Any] = {
        "io.modelcontextprotocol/protocolVersion": REVISION,
        "io.modelcontextprotocol/clientCapabilities": {},
    }
    if progress_token is not None:
        meta["progressToken"] = progress_token
    params = {"name": name, "arguments": dict(arguments or {}), "_meta": meta}
    headers = {
        "Content-Type": "application/json",
        "Accept": "application/json, text/event-stream",
        "MCP-Protocol-Version": REVISION,
        "Mcp-Method": "tools/call",
        "Mcp-Name": name,
    }
    body = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}
    return Request(headers, json.dumps(body).encode())


def structured(url: str, name: str, arguments: Mapping[str, Any] | None = None) -> Any:
    """Call a tool that answers at once, and return its structured content."""
    call = tool_call(name, arguments)
    request = urllib.request.Request(url, data=call.body, headers=dict(call.headers))
    with urllib.request.urlopen(request, timeout=10) as response:
        return json.load(response)["result"]["structuredContent"]


def loops_running(url: str) -> int:
    """How many loops of the tool `watched` run in the server."""
    count: int = structured(url, "leftovers")["loops"]
    return count
