"""A terminal that somebody looks at: a bar that moves while a call runs, messages above it, lists easy to read.

The bar is drawn by the reactor, not by a thread: at most ten times a second, and only once a call has been running for
longer than somebody notices. No text of a server is taken for markup, and none steers the terminal.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TextIO

from rich.console import Console, RenderableType
from rich.padding import Padding
from rich.progress import BarColumn, MofNCompleteColumn, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.progress import Progress as Bar
from rich.table import Table
from rich.text import Text
from twisted.internet.interfaces import IDelayedCall, IReactorTime

from mcpserve.cli import plain
from mcpserve.cli.screens import is_on_the_way, spelling, stream_of
from mcpserve.cli.tables import details
from mcpserve.cli.things import Asked, Failed, Pong, Report, Saved, Template, Thing
from mcpserve.cli.visible import one_line, visible
from mcpserve.client.values import Change, LogMessage, Progress
from mcpserve.protocol.types import PromptDefinition, ResourceDefinition, Result, ToolDefinition

PATIENCE = 0.3
"""Seconds that a call may take before a bar is shown."""
TICK = 0.1
"""Seconds between two pictures of the bar."""
_INDENT = (0, 0, 0, 4)
_SEVERE = {"debug": "dim", "info": "cyan", "notice": "cyan", "warning": "yellow"}


class LiveScreen:
    """Shows things on a terminal.

    Args:
        out: Standard output, a terminal. err: Standard error.
        clock: When the bar is drawn.
        quiet: Leave out what comes on the way to the result.
    """

    def __init__(self, out: TextIO, err: TextIO, clock: IReactorTime, *, quiet: bool = False) -> None:
        self._out, self._err, self._quiet = out, err, quiet
        self._console, self._beside = _console(out), _console(err)
        self._bar = CallBar(self._console, clock)

    def show(self, thing: Thing) -> None:
        """Show what came, above the bar."""
        if self._quiet and is_on_the_way(thing):
            return
        if isinstance(thing, Progress):
            self._show_progress(thing)
            return
        if not is_on_the_way(thing):
            self._bar.stop()
        stream = stream_of(thing, self._out, self._err)
        console = self._console if stream is self._out else self._aside_console()
        for renderable in _rendered(thing, stream):
            console.print(renderable, soft_wrap=not isinstance(renderable, Padding | Table))

    def note(self, sentence: str) -> None:
        """A line on standard error, above the bar."""
        self._aside_console().print(Text(f"mcpserve: {visible(sentence)}", style="dim"), soft_wrap=True)

    def began(self, what: str) -> None:
        """A bar comes, unless it ends soon."""
        if not self._quiet:
            self._bar.start(what)

    def ended(self) -> None:
        """The bar goes."""
        self._bar.stop()

    @contextmanager
    def aside(self) -> Iterator[None]:
        """The bar is away meanwhile."""
        what = self._bar.what
        self._bar.stop()
        try:
            yield
        finally:
            if what is not None:
                self._bar.start(what)

    def _show_progress(self, progress: Progress) -> None:
        news = self._bar.advance(progress)
        if news:
            self._console.print(Text(visible(news)), soft_wrap=True)

    def _aside_console(self) -> Console:
        """Where standard error goes to the same terminal, what is said there must not run into the bar."""
        return self._console if self._err.isatty() and self._bar.visible else self._beside


class CallBar:
    """The bar of one call.

    Args:
        console: Where it is drawn.
        clock: When it is drawn.

    Attributes:
        what: What is running; None if nothing is.
    """

    def __init__(self, console: Console, clock: IReactorTime) -> None:
        self.what: str | None = None
        self._console, self._clock = console, clock
        self._timer: IDelayedCall | None = None
        self._bar: Bar | None = None
        self._task: Any = None
        self._last = Progress(0)
        self._said: str | None = None

    @property
    def visible(self) -> bool:
        """Whether it is on the terminal."""
        return self._bar is not None

    def start(self, what: str) -> None:
        """Come after a moment."""
        self.what = what
        if self._timer is None:
            self._timer = self._clock.callLater(PATIENCE, self._tick)

    def advance(self, progress: Progress) -> str | None:
        """Show how far it is; the message, if it is a new one."""
        self._last = progress
        news = progress.message if progress.message != self._said else None
        self._said = progress.message
        return news

    def stop(self) -> None:
        """Go."""
        self.what = None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._bar is not None:
            self._bar.stop()
            self._bar = None

    def _tick(self) -> None:
        self._timer = self._clock.callLater(TICK, self._tick)
        if self._bar is None:
            self._bar = _bar(self._console, self._clock)
            self._task = self._bar.add_task(one_line(self.what or ""), total=self._last.total)
            self._bar.update(self._task, completed=self._last.value)
            self._bar.start()
        self._bar.update(self._task, completed=self._last.value, total=self._last.total)
        self._bar.refresh()


def _console(stream: TextIO) -> Console:
    return Console(file=stream, markup=False, highlight=False, emoji=False)


def _bar(console: Console, clock: IReactorTime) -> Bar:
    columns = (
        SpinnerColumn("line"),
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    )
    return Bar(*columns, console=console, auto_refresh=False, transient=True, get_time=clock.seconds)


def _rendered(thing: Thing, stream: TextIO) -> Iterator[RenderableType]:
    if isinstance(thing, ToolDefinition | PromptDefinition | ResourceDefinition | Template):
        yield from details(thing)
    elif isinstance(thing, Report):
        yield _grid(thing)
    else:
        style = _style(thing)
        for line in plain.lines(thing, spelling(stream)):
            yield Text(line, style=style)


def _style(thing: Thing) -> str:
    if isinstance(thing, LogMessage):
        return _SEVERE.get(thing.level, "red")
    if isinstance(thing, Failed) or (isinstance(thing, Result) and thing.is_error):
        return "red"
    return "dim" if isinstance(thing, Asked | Saved | Pong | Change) else ""


def _grid(report: Report) -> Table:
    table = Table.grid(padding=(0, 2))
    for name, value in plain.report_rows(report):
        table.add_row(Text(name, style="bold"), Text(visible(value)))
    return table
