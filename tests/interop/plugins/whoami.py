"""Says who is calling."""

from __future__ import annotations

from mcpserve import Call, tool


@tool
def whoami(call: Call) -> str:
    """Say who is calling."""
    return f"{call.caller.name} {' '.join(sorted(call.caller.scopes))}".strip()
