"""The request headers that mirror the body of a modern request, and whether the two agree.

Spec: 2026-07-28, Streamable HTTP, Request Metadata and Server Validation: "Servers that process the request body MUST
reject requests where the values specified in the headers do not match the corresponding values in the request body."
"""

from __future__ import annotations

from collections.abc import Mapping

from mcpserve.errors import HeaderMismatch
from mcpserve.protocol.mirroring import decode_value

VERSION = "mcp-protocol-version"
METHOD = "mcp-method"
NAME = "mcp-name"


def check_version(header: str | None, body: str) -> None:
    """Compare `MCP-Protocol-Version` with the version in `_meta`.

    Raises:
        HeaderMismatch: It is missing, or another one.
    """
    if header is None:
        raise HeaderMismatch(f"The header MCP-Protocol-Version is missing; the body says {body[:64]!r}")
    if header != body:
        raise HeaderMismatch(f"The header MCP-Protocol-Version says {header[:64]!r}, but the body says {body[:64]!r}")


def check_method(mirrored: Mapping[str, str], method: str) -> None:
    """Compare `Mcp-Method` with the method: case-sensitive, and never encoded.

    Raises:
        HeaderMismatch: It is missing, or another one.
    """
    header = mirrored.get(METHOD)
    if header is None:
        raise HeaderMismatch(f"The header Mcp-Method is missing; the body says {method[:128]!r}")
    if header != method:
        raise HeaderMismatch(f"The header Mcp-Method says {header[:128]!r}, but the body says {method[:128]!r}")


def check_name(mirrored: Mapping[str, str], name: str) -> None:
    """Compare `Mcp-Name` with the name or URI in the params, after decoding it.

    Raises:
        HeaderMismatch: It is missing, malformed, or another one.
    """
    header = mirrored.get(NAME)
    if header is None:
        raise HeaderMismatch(f"The header Mcp-Name is missing; the body says {name[:128]!r}")
    if header == name and not header.startswith("=?"):
        return
    try:
        decoded = decode_value(header)
    except ValueError as error:
        raise HeaderMismatch(f"The header Mcp-Name is malformed: {error}") from error
    if decoded != name:
        raise HeaderMismatch(f"The header Mcp-Name says {decoded[:128]!r}, but the body says {name[:128]!r}")
