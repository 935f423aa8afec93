"""What a person reads when the server has started: where it is, and a line to try."""

from __future__ import annotations

import json
from collections.abc import Sequence

from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.interfaces import IListeningPort

from mcpserve.features.catalog import Catalogs
from mcpserve.protocol import metadata
from mcpserve.protocol.revisions import V2026_07_28
from mcpserve.service.listening import PROXY, is_proxied
from mcpserve.web.endpoint import PATH

_TRIES = ("ticker", "countdown", "echo")


def greeting(listen: Sequence[str], ports: Sequence[IListeningPort], catalogs: Catalogs, *, asks: bool = False) -> str:
    """The URLs of the endpoint, how much there is, and a curl line for one of the tools.

    Args:
        listen: Where it was to listen.
        ports: Where it does.
        catalogs: What is served.
        asks: Whether callers have to say who they are.
    """
    urls = where(listen, ports)
    lines = [f"mcpserve is ready with {catalogs.counted()}:", *(f"  {url}" for url in urls)]
    tool = next((name for name in _TRIES if catalogs.tools.get(name) is not None), None)
    url = next((url for url in urls if url.startswith("http")), None)
    if tool is not None and url is not None:
        lines += ["Try it, with a key or a token of yours:" if asks else "Try it:", "  " + _curl(url, tool, asks)]
    return "\n".join(lines)


def where(listen: Sequence[str], ports: Sequence[IListeningPort]) -> list[str]:
    """The URLs of the endpoint, or what else says how it is reached."""
    return [_url(description, port) for description, port in zip(listen, ports, strict=True)]


def _url(description: str, port: IListeningPort) -> str:
    address = port.getHost()
    if not isinstance(address, IPv4Address | IPv6Address):
        return f"{description} (path {PATH})"
    scheme = "https" if description.removeprefix(PROXY).startswith("ssl") else "http"
    host = "127.0.0.1" if address.host in ("0.0.0.0", "::") else address.host
    url = f"{scheme}://{f'[{host}]' if ':' in host else host}:{address.port}{PATH}"
    return f"PROXY protocol: {url}" if is_proxied(description) else url


def _curl(url: str, tool: str, asks: bool) -> str:
    meta = {"progressToken": 1, metadata.PROTOCOL_VERSION: V2026_07_28.name, metadata.CLIENT_CAPABILITIES: {}}
    arguments = {"echo": {"text": "hello"}}.get(tool, {})
    params = {"name": tool, "arguments": arguments, "_meta": meta}
    body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}, separators=(",", ":"))
    headers = (
        *(["Authorization: Bearer KEY"] if asks else []),
        "Content-Type: application/json",
        f"MCP-Protocol-Version: {V2026_07_28.name}",
        "Mcp-Method: tools/call",
        f"Mcp-Name: {tool}",
    )
    return f"curl -N {url} {' '.join(f'-H {header!r}' for header in headers)} -d '{body}'"
