"""A client that says what a test wants, and what carries a command line out with it, in this process."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import attrs
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from mcpserve.cli import program
from mcpserve.cli.running import Running
from mcpserve.cli.surroundings import Surroundings, Way
from mcpserve.client.conversation import ServerDescription
from mcpserve.client.values import Change, PromptResult
from mcpserve.protocol.revisions import V2026_07_28
from mcpserve.protocol.types import Contents, Implementation, PromptDefinition, ResourceDefinition, ToolDefinition

URL = "http://127.0.0.1:8000/mcp"
EVERYTHING: Mapping[str, Any] = {"tools": {"listChanged": True}, "resources": {}, "prompts": {}}


class Stream(io.TextIOWrapper):
    """A text stream in memory; a terminal, if a test says so."""

    def __init__(self, text: str = "", *, terminal: bool = False) -> None:
        super().__init__(io.BytesIO(text.encode()), encoding="utf-8", errors="backslashreplace", newline="")
        self.terminal = terminal
        self.broken = False

    def isatty(self) -> bool:
        return self.terminal

    def write(self, text: str) -> int:
        if self.broken:
            raise BrokenPipeError
        return super().write(text)

    @property
    def text(self) -> str:
        self.flush()
        return self.buffer.getvalue().decode("utf-8")  # type: ignore[attr-defined]


class Events:
    """What a tool says, or what changes: values, exceptions to be raised, Deferreds to wait for, functions to call."""

    def __init__(self, events: Sequence[Any]) -> None:
        self.events = list(events)
        self.closed = False

    async def __aenter__(self) -> Events:
        return self

    async def __aexit__(self, *reason: object) -> None:
        self.closed = True

    def __aiter__(self) -> Events:
        return self

    async def __anext__(self) -> Any:
        while self.events:
            event = self.events.pop(0)
            if isinstance(event, Deferred):
                await event
            elif isinstance(event, Exception):
                raise event
            elif callable(event):
                answer = event()
                if answer is not None:
                    await answer
            else:
                return event
        raise StopAsyncIteration


@attrs.define(kw_only=True)
class StandIn:
    """A client with a script."""

    tools: Sequence[ToolDefinition] = ()
    resources: Sequence[ResourceDefinition] = ()
    templates: Sequence[ResourceDefinition] | Exception = ()
    prompts: Sequence[PromptDefinition] = ()
    events: Sequence[Any] = ()
    changes: Sequence[Change] = ()
    contents: Sequence[Contents] = ()
    prompt: PromptResult | None = None
    capabilities: Mapping[str, Any] = EVERYTHING
    unreachable: Exception | None = None
    calls: list[tuple[Any, ...]] = attrs.Factory(list)
    options: dict[str, Any] = attrs.Factory(dict)
    way: Way | None = None
    stream: Events | None = None
    closed: bool = False

    def connect(self, way: Way, options: Any) -> StandIn:
        """What takes the place of the factory."""
        self.way, self.options = way, dict(options)
        return self

    async def __aenter__(self) -> StandIn:
        if self.unreachable is not None:
            raise self.unreachable
        return self

    async def __aexit__(self, *reason: object) -> None:
        self.closed = True

    @property
    def server(self) -> ServerDescription:
        return ServerDescription(
            revision=V2026_07_28,
            transport="stdio",
            implementation=Implementation(name="stand-in", version="1.2"),
            capabilities=self.capabilities,
            instructions="Be kind.\nAlways.",
            raw={"supportedVersions": ["2026-07-28"]},
        )

    async def list_tools(self) -> Sequence[ToolDefinition]:
        return self.tools

    async def list_prompts(self) -> Sequence[PromptDefinition]:
        return self.prompts

    async def list_resources(self) -> Sequence[ResourceDefinition]:
        return self.resources

    async def list_resource_templates(self) -> Sequence[ResourceDefinition]:
        if isinstance(self.templates, Exception):
            raise self.templates
        return self.templates

    def stream_tool(self, name: str, arguments: Mapping[str, Any]) -> Events:
        self.calls.append((name, dict(arguments)))
        self.stream = Events(self.events)
        return self.stream

    async def read_resource(self, uri: str) -> Sequence[Contents]:
        self.calls.append((uri,))
        return self.contents

    async def get_prompt(self, name: str, arguments: Mapping[str, str]) -> PromptResult | None:
        self.calls.append((name, dict(arguments)))
        return self.prompt

    def listen(self, **wanted: Any) -> Events:
        self.calls.append(("listen", wanted))
        self.stream = Events(self.changes)
        return self.stream

    async def ping(self) -> float:
        return 0.0015


@attrs.define
class Session:
    """A command that is being carried out: the streams, the clock, and how it ended."""

    client: StandIn
    out: Stream
    err: Stream
    clock: ReactorClock
    running: Running
    ended_at_once: list[int]

    @property
    def over(self) -> bool:
        return self.clock.stopped

    @property
    def status(self) -> int:
        assert self.over
        return self.running.outcome()


class ReactorClock(Clock):
    """A clock, and what else a command asks of a reactor."""

    stopped = False

    def stop(self) -> None:
        self.stopped = True

    def callFromThread(self, f: Callable[..., Any], *args: Any) -> None:
        self.callLater(0, f, *args)

    def addReader(self, reader: Any) -> None:
        self.reader = reader

    def removeReader(self, reader: Any) -> None:
        self.reader = None


def carry_out(
    *words: str,
    client: StandIn | None = None,
    terminal: bool = False,
    text: str = "",
    environment: Mapping[str, str] | None = None,
) -> Session:
    """Carry a command line out, as far as it goes by itself.

    Args:
        words: The words.
        client: What takes the place of a client.
        terminal: Whether all streams are a terminal.
        text: What is on standard input.
        environment: The environment variables.
    """
    stand_in, clock = client or StandIn(), ReactorClock()
    out, err = Stream(terminal=terminal), Stream(terminal=terminal)
    ended: list[int] = []
    running = Running(clock, err, ended.append)
    around = Surroundings(
        reactor=clock,
        input=Stream(text, terminal=terminal and not text),
        out=out,
        err=err,
        environment=environment or {},
        connect=stand_in.connect,  # type: ignore[arg-type]
        ending=running,
    )
    job = program.read(words)
    assert callable(job), job
    running.begin(job, around)
    return Session(stand_in, out, err, clock, running, ended)
