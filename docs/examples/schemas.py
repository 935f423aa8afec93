"""Tools with a schema that was written by hand."""

from typing import Any

from mcpserve import tool

SEARCH = {
    "type": "object",
    "properties": {"query": {"type": "string"}, "limit": {"type": "integer", "maximum": 50}},
    "required": ["query"],
    "additionalProperties": False,
}


@tool(input_schema=SEARCH, read_only=True)
def search(query: str, limit: int = 10) -> list[str]:
    """Search the catalogue."""
    return [f"result {number} for {query}" for number in range(1, limit + 1)]


@tool(input_schema=SEARCH, read_only=True)
def count_results(arguments: dict[str, Any]) -> int:
    """Count what a search would find."""
    return int(arguments.get("limit", 10))
