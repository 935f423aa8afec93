"""A tool with nested arguments, an argument that is mirrored into a header, and a structured result."""

from datetime import date
from typing import Annotated, Literal

import attrs

from mcpserve import Arg, ToolError, tool


@attrs.frozen
class Item:
    """One line of an order."""

    article: str
    amount: Annotated[int, Arg("How many.", minimum=1)] = 1


@attrs.frozen
class Confirmation:
    """What the shop answers."""

    number: int
    items: list[Item]
    delivery: date


@tool(title="Place an order", destructive=False)
def order(
    items: list[Item],
    region: Annotated[Literal["north", "south"], Arg("Where to deliver.", header="Region")],
    delivery: date | None = None,
) -> Confirmation:
    """Order articles from the shop."""
    if not items:
        raise ToolError("An order has at least one item. Name the articles in `items`.")
    return Confirmation(number=1, items=items, delivery=delivery or date(2030, 1, 1))
