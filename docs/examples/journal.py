"""A tool that goes on when its client has gone."""

from mcpserve import Call, tool

running: list[str] = []


@tool(on_disconnect="finish", timeout=60)
async def keep_running(call: Call, name: str) -> str:
    """Do a piece of work that must be done even when the client goes away."""
    running.append(name)
    try:
        call.log("info", {"began": name})
        await call.sleep(5.0)
    finally:
        running.remove(name)
    return f"{name} is done."
