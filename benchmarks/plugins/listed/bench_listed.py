"""200 tools that are listed and never called."""

from mcpserve import tool


def search(query: str, limit: int = 10, language: str = "en") -> str:
    """Stand for a tool that is listed and never called."""
    return query


for _number in range(200):
    _about = f"Search collection number {_number} and return what fits the query best."
    globals()[f"search_{_number:03}"] = tool(name=f"search_{_number:03}", description=_about)(search)
