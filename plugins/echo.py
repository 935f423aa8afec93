"""echo: returns what it was given. The smallest plugin there is, and a good first one to copy."""

from typing import Annotated

from mcpserve import Arg, tool


@tool(title="Echo", read_only=True, idempotent=True, open_world=False)
def echo(text: Annotated[str, Arg("The text to return.", max_length=1_000_000)]) -> str:
    """Return the given text unchanged; useful to check that the connection works."""
    return text
