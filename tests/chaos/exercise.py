"""What a client is put through, and what must hold whatever happens to its bytes.

count       open, call a tool, read its progress and its result, close
names       open, list the tools, which may be asked for again, close
leave       open, call a tool that never ends, leave the loop after its first event, wait, close
late        the same, but a deadline passes
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Iterator
from typing import Any, Protocol

import attrs
from twisted.internet.defer import CancelledError
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater

from mcpserve.client import Client, ClientClosed, ClientError, Progress, Result, Retries, Timeouts
from tests.chaos.faults import HARMLESS, SILENT, Fault


@attrs.frozen(kw_only=True)
class Pace:
    """How patient a client is, and what that means for the time that things may take.

    Args:
        timeouts: Its deadlines.
        retries: How often it tries.
        linger: Seconds that it waits before it closes, when it has given something up.
        late: Seconds after which it gives the call up that never ends.
        closing: Seconds in which it closes.
        slack: Seconds by which a bound may be missed.
    """

    timeouts: Timeouts
    retries: Retries
    linger: float
    late: float
    closing: float
    slack: float

    @property
    def bounds(self) -> dict[str, float]:
        """How long each step may take, in seconds; opening may ask in four ways, one after the other."""
        timeouts = self.timeouts
        opening = 4 * sum(each or 0.0 for each in (timeouts.connect, timeouts.head, timeouts.idle))
        return {"open": opening, "call": timeouts.total or 0.0, "close": self.closing}


@attrs.define
class Story:
    """What a client has seen.

    Args:
        progress: What it was told, in order.
        results: The texts of the results.
        error: Why there is none.
        opened: Whether it was open.
        left: When the call was over for it, by the clock of its own.
        seconds: How long opening, the call and closing took.
    """

    progress: list[float] = attrs.Factory(list)
    results: list[str] = attrs.Factory(list)
    error: BaseException | None = None
    opened: bool = False
    left: float = 0.0
    seconds: dict[str, float] = attrs.Factory(dict)


class Witness(Protocol):
    """What the server knows of a call, by its key."""

    def executed(self, key: str) -> int:
        """How often it was begun."""

    def cancelled(self, key: str) -> bool:
        """Whether it was cancelled before it had ended, and while the client still waited to be closed."""


class Trial:
    """A client that is put through one exercise.

    Args:
        client: The client; not opened yet.
        key: What its call is called.
        clock: Its clock.
        pace: How patient it is.
        opened: Called when it is open.
    """

    def __init__(
        self,
        client: Client,
        key: str,
        clock: IReactorTime,
        pace: Pace,
        opened: Callable[[], object] = lambda: None,
    ) -> None:
        self.story = Story()
        self._opened = opened
        self._client = client
        self._key = key
        self._clock = clock
        self._pace = pace

    async def run(self, exercise: str) -> Story:
        """Open, do it, close; whatever is raised is part of the story."""
        story, steps = self.story, EXERCISES[exercise]
        try:
            await self._timed("open", self._client.open())
            story.opened = True
            self._opened()
            await self._timed("call", steps(self))
        except (ClientError, CancelledError) as error:
            story.error = error
        story.left = self._clock.seconds()
        try:
            if exercise in ABANDONED and not isinstance(story.error, ClientClosed):
                await deferLater(self._clock, self._pace.linger)
            await self._timed("close", self._client.close())
        except CancelledError:
            # The user does not even wait for that; it closes all the same.
            await self._client.close()
        return story

    async def count(self) -> None:
        """Call, and read to the end."""
        async for event in self._client.stream_tool("count", {"key": self._key}):
            self._note(event)

    async def names(self) -> None:
        """Ask for the names of the tools."""
        self.story.results = [tool.name for tool in await self._client.list_tools()]

    async def leave(self) -> None:
        """Call, and leave at the first event."""
        async for event in self._client.stream_tool("linger", {"key": self._key}):
            self._note(event)
            break

    async def late(self) -> None:
        """Call, and wait in vain."""
        async for event in self._client.stream_tool("linger", {"key": self._key}, timeout=self._pace.late):
            self._note(event)

    def _note(self, event: Any) -> None:
        if isinstance(event, Progress):
            self.story.progress.append(event.value)
        elif isinstance(event, Result):
            self.story.results.append("".join(getattr(content, "text", "") for content in event.content))

    async def _timed(self, name: str, work: Coroutine[Any, Any, Any]) -> None:
        began = self._clock.seconds()
        try:
            await work
        finally:
            self.story.seconds[name] = self._clock.seconds() - began


EXERCISES: dict[str, Callable[[Trial], Coroutine[Any, Any, None]]] = {
    "count": Trial.count,
    "names": Trial.names,
    "leave": Trial.leave,
    "late": Trial.late,
}
ABANDONED = ("leave", "late")


def broken(story: Story, exercise: str, key: str, fault: Fault | None, witness: Witness, pace: Pace) -> Iterator[str]:
    """What does not hold of a story, in words.

    Args:
        story: What the client has seen.
        exercise: What it did.
        key: What it has called the call.
        fault: What has happened.
        witness: What the server has seen.
        pace: How patient the client was.
    """
    kind = None if fault is None else fault.kind
    yield from _of_the_client(story, pace)
    if witness.executed(key) > 1:
        yield f"executed {witness.executed(key)} times"
    if exercise == "count":
        yield from _of_the_count(story, key, garbled=kind == "garble")
        if story.results and witness.executed(key) != 1:
            yield "a result of what was not executed"
        if story.error is not None and kind in (None, *HARMLESS):
            yield f"nothing was wrong, and yet: {story.error!r}"
    elif exercise == "names":
        if story.error is None and "count" not in story.results and kind != "garble":
            yield f"the names are {story.results}"
        once = fault is None or (fault.kind not in SILENT and not fault.again)
        given_up = isinstance(story.error, ClientClosed | CancelledError)
        if story.opened and story.error is not None and once and not given_up:
            yield f"it could have asked again: {story.error!r}"
    elif witness.executed(key) and not witness.cancelled(key) and kind not in SILENT:
        yield "the server was not told that nobody waits"


def _of_the_client(story: Story, pace: Pace) -> Iterator[str]:
    if story.error is not None and not isinstance(story.error, ClientError | CancelledError):
        yield f"an error of no type of ours: {story.error!r}"
    for name, bound in pace.bounds.items():
        if story.seconds.get(name, 0.0) > bound + pace.slack:
            yield f"{name} took {story.seconds[name]:.3f} s"


def _of_the_count(story: Story, key: str, *, garbled: bool) -> Iterator[str]:
    if story.error is None and len(story.results) != 1:
        yield f"ended with {story.results} and no error"
    if story.error is not None and story.results and not isinstance(story.error, CancelledError):
        yield f"ended with {story.results} and with {story.error!r}"
    if garbled:
        return
    if story.results not in ([], [f"counted {key}"]):
        yield f"the result is {story.results}"
    if any(one >= other for one, other in zip(story.progress, story.progress[1:], strict=False)):
        yield f"progress goes back: {story.progress}"
    if story.results and story.progress != [1, 2]:
        yield f"progress is missing: {story.progress}"
