"""Where a command shows what comes: JSON for scripts, plain lines for pipes; `live` has that for terminals."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Protocol, TextIO

from mcpserve.cli import plain, shapes
from mcpserve.cli.content import Spell
from mcpserve.cli.things import Asked, Failed, Saved, Thing
from mcpserve.cli.visible import visible
from mcpserve.client.values import LogMessage, Progress
from mcpserve.protocol.types import Result


class Unwritable(Exception):
    """What is to be shown can't be written, and not because nobody reads it."""


class Screen(Protocol):
    """Shows things; a write to a pipe that nobody reads any more raises `BrokenPipeError`."""

    def show(self, thing: Thing) -> None:
        """Show what came."""

    def note(self, sentence: str) -> None:
        """Say something to the person, on standard error; it is no part of the outcome."""

    def began(self, what: str) -> None:
        """Something began that may take long."""

    def ended(self) -> None:
        """It has ended. May be called at any time, and more than once."""

    def aside(self) -> AbstractContextManager[None]:
        """While it lasts, the terminal belongs to somebody else."""


def write_line(stream: TextIO, text: str) -> None:
    """Write a line, and let it go at once: who reads a pipe wants it now.

    Raises:
        BrokenPipeError: Nobody reads it any more.
        Unwritable: It can't be written, as on a disk that is full.
    """
    try:
        stream.write(text + "\n")
        stream.flush()
    except BrokenPipeError:
        raise
    except OSError as error:
        raise Unwritable(f"can't write: {error.strerror}") from error


class StillScreen:
    """What nothing moves on: what both kinds of lines share.

    Args:
        out: Standard output. err: Standard error.
        quiet: Leave out what comes on the way to the result.
    """

    def __init__(self, out: TextIO, err: TextIO, *, quiet: bool = False) -> None:
        self._out, self._err, self._quiet = out, err, quiet

    def show(self, thing: Thing) -> None:
        """Write its lines, if it is wanted."""
        if not (self._quiet and is_on_the_way(thing)):
            self._write(thing)

    def note(self, sentence: str) -> None:
        """A line on standard error."""
        write_line(self._err, f"mcpserve: {visible(sentence)}")

    def began(self, what: str) -> None:
        """Nothing to show."""

    def ended(self) -> None:
        """Nothing to hide."""

    def aside(self) -> AbstractContextManager[None]:
        """Nothing to hide."""
        return nullcontext()

    def _write(self, thing: Thing) -> None:
        raise NotImplementedError


class LineScreen(StillScreen):
    """One object of JSON a line, on standard output; `shapes` has the shapes."""

    def _write(self, thing: Thing) -> None:
        write_line(self._out, shapes.line(thing))


class PlainScreen(StillScreen):
    """Plain lines: what comes on standard output, what went wrong on standard error.

    The texts of results and resources are written as they are, unless a terminal would read them.
    """

    def _write(self, thing: Thing) -> None:
        stream = stream_of(thing, self._out, self._err)
        for line in plain.lines(thing, spelling(stream)):
            write_line(stream, line)


def is_on_the_way(thing: Thing) -> bool:
    """Whether a thing comes before the outcome and is no part of it."""
    return isinstance(thing, Progress | LogMessage | Asked)


def stream_of(thing: Thing, out: TextIO, err: TextIO) -> TextIO:
    """The stream for people and pipes: what failed, and what we did beside, is not in the way of the outcome."""
    beside = isinstance(thing, Failed | Saved | Asked) or (isinstance(thing, Result) and thing.is_error)
    return err if beside else out


def spelling(stream: TextIO) -> Spell:
    """What a text becomes that is written to a stream."""
    return visible if stream.isatty() else as_it_is


def as_it_is(text: str) -> str:
    """The text."""
    return text
