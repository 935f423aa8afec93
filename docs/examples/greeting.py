"""The smallest useful plugin: a decorated function."""

from typing import Annotated

from mcpserve import tool


@tool(read_only=True)
def greet(name: Annotated[str, "Whom to greet."], loudly: bool = False) -> str:
    """Greet somebody by name."""
    text = f"Hello, {name}!"
    return text.upper() if loudly else text
