"""Tools for the wire tests: quick and silent ones, talkative ones, and such as note what befalls them."""

from __future__ import annotations

from typing import Annotated, Any

import attrs
from twisted.internet.interfaces import IPushProducer
from zope.interface import implementer

from mcpserve import Arg, Call, Stream, ToolError, tool


@tool
def echo(text: str = "") -> str:
    """Say it again."""
    return text


@tool
def refuse() -> str:
    """Fail in a way that the model should know."""
    raise ToolError("no luck")


@tool
def crash() -> str:
    """Fail in a way that nobody outside should know."""
    raise RuntimeError("secret")


@attrs.frozen
class Sum:
    """A sum."""

    total: float


@tool
def add(a: float, b: float) -> Sum:
    """Add two numbers."""
    return Sum(a + b)


@tool
def placed(
    region: Annotated[str | None, Arg(header="Region", type="string")] = None,
    zone: Annotated[int, Arg(header="Zone")] = 0,
    spare: Annotated[bool, Arg(header="Spare")] = False,
) -> str:
    """Tell where."""
    return f"{region} {zone} {spare}"


@tool
async def steps(call: Call, number: int = 3, size: int = 0, seconds: float = 1.0) -> str:
    """Report progress with a message, step by step."""
    for step in range(1, number + 1):
        await call.sleep(seconds)
        await call.progress(step, number, f"step {step}" + "." * size)
    return "done"


@tool
async def burst(call: Call, number: int = 3, size: int = 0) -> str:
    """Report progress with messages, all in one turn, waiting for nobody."""
    for step in range(1, number + 1):
        call.progress(step, number, f"step {step}" + "." * size)
    return "done"


@tool
async def polled(call: Call, closes: tuple[int, ...] = (2,), retry_ms: int | None = None, number: int = 4) -> str:
    """Report progress each second, and close the stream after these steps."""
    for step in range(1, number + 1):
        if step - 1 in closes:
            await call.close_stream(retry_ms)
        await call.sleep(1.0)
        await call.progress(step, number, f"step {step}")
    return "polled"


@tool
async def silent(call: Call, seconds: float = 60.0) -> str:
    """Say nothing for long, then answer."""
    await call.sleep(seconds)
    return "awake"


@tool
async def chatty(call: Call) -> str:
    """Log at three levels."""
    await call.log("debug", "d")
    await call.log("info", {"i": 1}, "wire")
    await call.log("error", "e")
    return "logged"


@attrs.define(eq=False)
@implementer(IPushProducer)
class Witness:
    """A set of tools that note in `told` what befalls them. Each test makes its own."""

    told: list[str] = attrs.Factory(list)
    ticks: int = 0
    stream: Stream | None = None

    def resumeProducing(self) -> None:
        """Note it."""
        self.told.append("resume")

    def pauseProducing(self) -> None:
        """Note it."""
        self.told.append("pause")

    def stopProducing(self) -> None:
        """Note it."""
        self.told.append("stop")

    def tools(self) -> list[Any]:
        """The tools."""
        return [self._waiter(), self._finisher(), self._taker()]

    def _waiter(self) -> Any:
        @tool
        async def wait(call: Call, progress: bool = False, every: bool = False) -> str:
            """Wait for a minute, perhaps reporting progress each second."""
            call.on_cancel(lambda: self.told.append("on_cancel"))
            if every:
                call.every(1.0, self._tick)
            try:
                for second in range(60):
                    if progress:
                        await call.progress(second, 60, f"second {second}")
                    await call.sleep(1.0)
            finally:
                self.told.append("finally")
            self.told.append("done")
            return "waited"

        return wait

    def _finisher(self) -> Any:
        @tool(on_disconnect="finish")
        async def finish(call: Call, progress: bool = False) -> str:
            """Take five seconds, come what may."""
            call.on_cancel(lambda: self.told.append("on_cancel"))
            for second in range(5):
                if progress:
                    await call.progress(second, 5, f"second {second}")
                await call.sleep(1.0)
            self.told.append("done")
            return "finished"

        return finish

    def _taker(self) -> Any:
        @tool
        def take(stream: Stream, interval: float = 1.0, seconds: float = 0.0) -> None:
            """Take the response over; with `seconds`, finish after so many."""
            self.stream = stream
            stream.registerProducer(self, True)
            stream.on_cancel(lambda: self.told.append("on_cancel"))
            stream.every(interval, lambda: self._say(stream))
            if seconds:
                stream.call_later(seconds, stream.finish, "taken")

        return take

    def _tick(self) -> None:
        self.ticks += 1

    def _say(self, stream: Stream) -> None:
        self.ticks += 1
        stream.progress(self.ticks, message=f"tick {self.ticks}")
