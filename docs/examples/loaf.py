"""A tool with an interface of its own, for hosts that know MCP Apps; others show its text."""

from mcpserve import resource, tool

PAGE = "ui://bakery/loaf"


@tool(read_only=True, meta={"ui": {"resourceUri": PAGE}})
def weigh_loaf(grams: int) -> dict[str, int]:
    """Weigh a loaf."""
    return {"grams": grams}


@resource(PAGE, name="weigh_loaf", mime_type="text/html;profile=mcp-app", meta={"ui": {"prefersBorder": True}})
def loaf_page() -> str:
    """The page that shows the weight."""
    return "<!doctype html><html lang=en><title>A loaf</title><p>...</p></html>"
