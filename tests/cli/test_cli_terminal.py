"""Lines that are typed, through a terminal of the system."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any, TextIO

import pytest
from twisted.internet.defer import CancelledError, Deferred
from twisted.python.failure import Failure

from mcpserve.cli.terminal import TerminalLines
from tests.cli.stand_in import ReactorClock, Stream


class Keyboard:
    """A terminal with two ends: the one where somebody types, and the one that is read."""

    def __init__(self) -> None:
        self.keys, lines = os.openpty()
        self.file: TextIO = os.fdopen(lines, "r")
        self.err = Stream()
        self.reactor = ReactorClock()
        self.lines = TerminalLines(self.reactor, self.file, self.err)
        self.given: list[Any] = []

    def ask(self, prompt: str = "? ") -> Deferred[str | None]:
        """Ask for a line."""
        return Deferred.fromCoroutine(self.lines.line(prompt)).addCallback(self.given.append)

    def type(self, keys: bytes) -> None:
        """Type, and let the reactor see it."""
        os.write(self.keys, keys)
        self.lines.doRead()


@pytest.fixture
def keyboard() -> Iterator[Keyboard]:
    """A terminal."""
    keyboard = Keyboard()
    yield keyboard
    keyboard.file.close()
    os.close(keyboard.keys)


def test_a_line_is_read(keyboard: Keyboard) -> None:
    """After its prompt; nothing is watched before and after."""
    keyboard.ask("Name: ")
    assert keyboard.err.text == "Name: "
    assert keyboard.reactor.reader is keyboard.lines
    keyboard.type("Adä\n".encode())
    assert keyboard.given == ["Adä"]
    assert keyboard.reactor.reader is None


def test_what_was_typed_ahead_is_for_the_next(keyboard: Keyboard) -> None:
    """Somebody types faster than we ask."""
    keyboard.ask()
    keyboard.type(b"one\n")
    os.write(keyboard.keys, b"two\nthree\n")
    keyboard.ask()
    keyboard.lines.doRead()
    keyboard.ask()
    keyboard.lines.doRead()
    assert keyboard.given == ["one", "two", "three"]


def test_ctrl_d_is_the_end(keyboard: Keyboard) -> None:
    """And so is a terminal that is gone."""
    keyboard.ask()
    keyboard.type(b"\x04")
    keyboard.ask()
    keyboard.lines.connectionLost(Failure(OSError()))
    assert keyboard.given == [None, None]


def test_a_question_that_is_cancelled_is_forgotten(keyboard: Keyboard) -> None:
    """Nothing watches the terminal any more; the next question gets the next line."""
    asking = keyboard.ask()
    asking.addErrback(lambda failure: failure.trap(CancelledError))
    asking.cancel()
    assert keyboard.reactor.reader is None
    keyboard.ask()
    keyboard.type(b"later\n")
    assert keyboard.given == ["later"]
    assert (keyboard.lines.fileno(), keyboard.lines.logPrefix()) == (keyboard.file.fileno(), "terminal")
