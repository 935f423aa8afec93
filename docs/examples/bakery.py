"""A tool that reports progress while it works."""

from mcpserve import Call, tool


@tool
async def bake(call: Call, loaves: int = 3) -> str:
    """Bake bread, one loaf after the other."""
    for done in range(loaves):
        await call.progress(done, loaves, f"loaf {done + 1} is in the oven")
        await call.sleep(1.0)
    await call.progress(loaves, loaves, "the oven is off")
    return f"Baked {loaves} loaves."
