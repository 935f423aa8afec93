"""200 tools that are listed and never called."""

from collections.abc import Callable

from mcpserve import tool


def make_tool(number: int) -> Callable[..., str]:
    """One of them: a tool is a function of its own."""

    @tool(
        name=f"search_{number:03}",
        description=f"Search collection number {number} and return what fits the query best.",
    )
    def search(query: str, limit: int = 10, language: str = "en") -> str:
        """Stand for a tool that is listed and never called."""
        return query

    return search


globals().update({f"search_{number:03}": make_tool(number) for number in range(200)})
