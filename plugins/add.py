"""add: structured output. The attrs class that the function returns becomes the tool's output schema."""

import math
from typing import Annotated

import attrs

from mcpserve import ToolError, tool


@attrs.frozen
class Sum:
    """What `add` returns; the client gets it as `structuredContent`."""

    sum: Annotated[float, "a plus b."]


@tool(title="Add two numbers", read_only=True, idempotent=True, open_world=False)
def add(a: Annotated[float, "The first number."], b: Annotated[float, "The second number."]) -> Sum:
    """Add two numbers and return their sum."""
    total = a + b
    if not math.isfinite(total):
        # JSON has no infinity. What a ToolError says reaches the model; any other exception would stay in our log.
        raise ToolError("The sum is too large for a JSON number; give smaller numbers.")
    return Sum(total)
