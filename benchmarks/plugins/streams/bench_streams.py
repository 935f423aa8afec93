"""The tools that the benchmarks call, written as any plugin: bursts, ticks, and a call that never ends."""

import os
import time

from mcpserve import Call, Stream, tool


@tool
async def burst(count: int, call: Call) -> str:
    """Report progress many times, as fast as the reader takes it.

    Args:
        count: How many times.
    """
    for number in range(1, count + 1):
        await call.progress(number, count)
    return "done"


@tool
def tick(interval: float, count: int, stream: Stream) -> None:
    """Report progress every so often.

    Args:
        interval: The seconds between two reports.
        count: After how many reports to finish.
    """
    reported = 0

    def report() -> None:
        nonlocal reported
        reported += 1
        stream.progress(reported, count)
        if reported == count:
            stream.finish("done")

    stream.every(interval, report, now=True)


@tool
def hold(number: int, stream: Stream) -> None:
    """Report once and never end; the time of the cancellation goes into the file that BENCH_CANCELLED names.

    Args:
        number: What stands before the time.
    """

    def write_down() -> None:
        cancelled_at = time.monotonic()
        with open(os.environ["BENCH_CANCELLED"], "a", encoding="ascii") as file:
            file.write(f"{number} {cancelled_at}\n")

    stream.on_cancel(write_down)
    stream.progress(1)
