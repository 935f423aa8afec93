"""A tool that takes over the response, and feeds it from a repetition that belongs to the call."""

import os

from mcpserve import Stream, tool


@tool(read_only=True)
def watch_load(stream: Stream, samples: int = 5) -> None:
    """Report this host's load average once a second."""
    seen: list[float] = []

    def sample() -> None:
        seen.append(os.getloadavg()[0])
        stream.progress(len(seen), samples, f"load {seen[-1]:.2f}")
        if len(seen) == samples:
            stream.finish({"highest": max(seen)})

    stream.every(1.0, sample, now=True)
