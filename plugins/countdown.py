"""countdown: reports progress. An `async def` tool that awaits the call: nothing here blocks, and no thread is used."""

from typing import Annotated

from mcpserve import Arg, Call, tool


@tool(title="Count down", read_only=True, idempotent=True, open_world=False)
async def countdown(
    call: Call,
    start: Annotated[int, Arg("Count down from this number.", minimum=1, maximum=100_000)] = 5,
    interval: Annotated[float, Arg("Seconds between two steps.", minimum=0, maximum=3600)] = 1.0,
) -> str:
    """Count down to zero, reporting progress at each step.

    A client that sent a progress token sees the steps as they happen; every client gets the result at the end.
    """
    for step in range(start):
        # Awaited, progress() waits while the client is behind with reading, so a slow client slows us down as well.
        await call.progress(step, start, f"{start - step} to go")
        # If the client goes away, this await raises CancelledError: the loop ends here, and nothing stays behind.
        await call.sleep(interval)
    await call.progress(start, start, "Lift-off")
    return f"Counted down from {start}."
