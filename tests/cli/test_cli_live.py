"""A terminal that somebody looks at."""

from __future__ import annotations

import re

import pytest
from twisted.internet.task import Clock

from mcpserve.cli.live import LiveScreen
from mcpserve.cli.things import Failed
from mcpserve.client.values import LogMessage, Progress
from mcpserve.protocol.types import Result, Text
from tests.cli.stand_in import Stream

HIDES, SHOWS = "\x1b[?25l", "\x1b[?25h"
SEQUENCE = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


class Terminal:
    """A screen on a terminal."""

    def __init__(self, *, quiet: bool = False) -> None:
        self.clock = Clock()
        self.out, self.err = Stream(terminal=True), Stream(terminal=True)
        self.screen = LiveScreen(self.out, self.err, self.clock, quiet=quiet)

    @property
    def text(self) -> str:
        """What was written, without colours."""
        return SEQUENCE.sub("", self.out.text)


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Terminal:
    """One with colours."""
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.delenv("NO_COLOR", raising=False)
    return Terminal()


def test_what_is_quick_has_no_bar(terminal: Terminal) -> None:
    """It would only flicker."""
    terminal.screen.began("add")
    terminal.clock.advance(0.2)
    terminal.screen.show(Result(content=[Text("3")]))
    terminal.screen.ended()
    assert terminal.out.text == "3\n"
    assert terminal.clock.getDelayedCalls() == []


def test_a_bar_moves(terminal: Terminal) -> None:
    """With the name of the tool, how far it is, and how long it takes; it is gone in the end."""
    terminal.screen.began("bake\x1b[2J")
    terminal.screen.show(Progress(1, 3, "in the oven"))
    terminal.clock.pump([0.3, 0.1])
    terminal.screen.show(Progress(2, 3))
    terminal.clock.pump([1.0])
    assert "bake\\x1b[2J" in terminal.text
    assert "1/3" in terminal.text
    assert "2/3" in terminal.text
    assert "0:00:01" in terminal.text
    assert "\x1b[2J" not in terminal.out.text
    terminal.screen.show(Result(content=[Text("done")]))
    assert terminal.out.text.rstrip().endswith("done")
    assert terminal.out.text.count(HIDES) == terminal.out.text.count(SHOWS) == 1
    assert terminal.clock.getDelayedCalls() == []


def test_messages_stay_above_the_bar(terminal: Terminal) -> None:
    """Each once, also where they are what the tool has to say; as text, not as markup."""
    terminal.screen.began("news")
    terminal.clock.advance(0.3)
    for message in ("[bold]first[/]", "[bold]first[/]", "second :smile:"):
        terminal.screen.show(Progress(1, None, message))
    terminal.screen.show(LogMessage("warning", "care\x1b[2J"))
    terminal.screen.ended()
    assert terminal.text.count("[bold]first[/]") == 1
    assert "second :smile:" in terminal.text
    assert "[warning] care\\x1b[2J" in terminal.text


def test_long_lines_are_left_whole(terminal: Terminal) -> None:
    """So that what is copied from the terminal is what was said."""
    terminal.screen.show(Result(content=[Text("word " * 100)]))
    assert terminal.out.text.count("\n") == 1


def test_quiet_has_no_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    """And nothing on the way."""
    terminal = Terminal(quiet=True)
    terminal.screen.began("add")
    terminal.screen.show(Progress(1, 2, "half"))
    terminal.clock.pump([1.0])
    assert terminal.out.text == ""


def test_the_bar_goes_aside(terminal: Terminal) -> None:
    """While somebody is asked; then it is there again."""
    terminal.screen.began("ask")
    terminal.clock.advance(0.3)
    with terminal.screen.aside():
        written = terminal.out.text
        assert written.count(SHOWS) == 1
        terminal.clock.pump([1.0, 1.0])
        assert terminal.out.text == written
    terminal.clock.advance(0.3)
    assert terminal.out.text.count(HIDES) == 2
    terminal.screen.ended()
    assert terminal.clock.getDelayedCalls() == []


def test_what_is_said_beside_does_not_run_into_the_bar(terminal: Terminal) -> None:
    """While there is a bar, notes and errors go above it; else to standard error."""
    terminal.screen.note("quietly")
    terminal.screen.began("add")
    terminal.clock.advance(0.3)
    terminal.screen.note("cancelling")
    terminal.screen.ended()
    terminal.screen.show(Failed(kind="X", sentence="gone", status=4))
    assert "cancelling" in terminal.text
    assert SEQUENCE.sub("", terminal.err.text) == "mcpserve: quietly\nmcpserve: gone\n"
