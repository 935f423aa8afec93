"""A call that a test plays on, as its tool would."""

from __future__ import annotations

from typing import Any

import attrs

from mcpserve import Stream, tool
from mcpserve.testing import ToolCall, ToolRunner


@attrs.define
class Held:
    """A stream that a test plays on, as a tool would."""

    runner: ToolRunner
    call: ToolCall
    stream: Stream


def hold(**request: Any) -> Held:
    """Begin a call that does nothing by itself."""
    streams: list[Stream] = []

    @tool
    def held(stream: Stream) -> None:
        """Hold the stream."""
        streams.append(stream)

    runner = ToolRunner(held)
    call = runner.call("held", **request)
    return Held(runner, call, streams[0])
