"""A tool and a directory that are not for everybody."""

from pathlib import Path

from mcpserve import Call, Directory, tool


@tool(groups=["cashiers", "managers"], scopes=["till:open"])
def open_till(call: Call, reason: str) -> str:
    """Open the till, and note who did it and why."""
    return f"Opened by {call.caller.name}: {reason}"


recipes = Directory("docs://recipes", Path(__file__).parent / "tests", groups=["bakers"])
