"""ticker: takes over the response. It returns None and keeps the stream, which a LoopingCall feeds until it finishes.

The stream owns that LoopingCall: when the client goes away, the stream stops it before it calls what we gave to
`on_cancel`. The lines in the log are what an operator looks for: "ticker stopped: client gone".
"""

from typing import Annotated

from twisted.logger import Logger

from mcpserve import Arg, Stream, tool

log = Logger(namespace="mcpserve.plugins.ticker")


@tool(title="Ticker", read_only=True, idempotent=True, open_world=False)
def ticker(
    stream: Stream,
    interval: Annotated[float, Arg("Seconds between two ticks.", minimum=0.01, maximum=3600)] = 1.0,
    count: Annotated[int, Arg("How many ticks to send.", minimum=1, maximum=100_000)] = 10,
) -> None:
    """Send a tick as a progress notification at a steady interval, then finish. The first one is sent at once."""
    sent = 0

    def tick() -> None:
        nonlocal sent
        if stream.paused:
            # The reader is behind. A tick that nobody reads in time is worth nothing, so this turn is left out;
            # a tool whose messages matter would await stream.progress(...) instead.
            return
        sent += 1
        stream.progress(sent, count, f"tick {sent} of {count}")
        if sent == count:
            stream.finish(f"Sent {count} ticks.")
            log.info("ticker finished")

    log.info("ticker started")
    stream.on_cancel(lambda: log.info("ticker stopped: client gone"))
    stream.every(interval, tick, now=True)
