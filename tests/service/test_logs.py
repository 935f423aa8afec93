"""How the process writes about itself."""

from __future__ import annotations

import io
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.task import Clock
from twisted.logger import LogEvent, LogLevel, globalLogPublisher
from twisted.python.failure import Failure

from mcpserve.service.logs import COLLECTED, JSON, TEXT, Lines, Logs, one_line, under_journal

TIME = 1_795_000_000.125


def event(format: str = "Hello {name}", **fields: Any) -> LogEvent:
    """An event."""
    usual = {"log_format": format, "log_level": LogLevel.warn, "log_namespace": "mcpserve.service.x", "log_time": TIME}
    return {**usual, **fields}


def written(form: str, *events: LogEvent, journal: bool = False) -> str:
    """What is written of these events."""
    out = io.StringIO()
    observer = Logs(form, journal).observer(out)
    for one in events:
        observer(one)
    return out.getvalue()


def test_text() -> None:
    """Time, level, source and sentence; the name of our package says nothing."""
    assert written(TEXT, event(name="Ada")) == "2026-11-18T11:06:40.125Z warn  service.x  Hello Ada\n"


def test_json() -> None:
    """The same for machines, with the fields of the event."""
    [line] = written(JSON, event(name="Ada", count=3, odd=object)).splitlines()
    assert json.loads(line) == {
        "time": "2026-11-18T11:06:40.125Z",
        "level": "warn",
        "source": "mcpserve.service.x",
        "message": "Hello Ada",
        "name": "Ada",
        "count": 3,
        "odd": str(object),
    }


def test_under_the_journal() -> None:
    """Each line has its severity, and no time."""
    failed = event("It failed", log_failure=Failure(ValueError("no")), log_level=LogLevel.critical)
    lines = written(TEXT, event(name="Ada"), failed, journal=True).splitlines()
    assert lines[:2] == ["<4>service.x  Hello Ada", "<2>service.x  It failed"]
    assert all(line.startswith("<2>    ") for line in lines[2:])
    assert "ValueError: no" in lines[-1]


@pytest.mark.parametrize("form", [TEXT, JSON])
def test_failures(form: str) -> None:
    """The traceback is there, without secrets."""
    try:
        raise ValueError("Authorization: Bearer abcdefghijk")
    except ValueError:
        failure = Failure()
    text = written(form, event("", log_failure=failure))
    assert "test_logs.py" in text
    assert "Bearer [redacted]" in text
    assert "abcdefghijk" not in text


@given(st.text())
def test_lines_of_strangers(text: str) -> None:
    """What a stranger writes does not begin a new line, nor speak to a terminal."""
    line = one_line(text)
    assert len(line.splitlines()) <= 1
    assert all(c.isprintable() or c == "\t" for c in line)


@given(st.text(alphabet=st.characters(exclude_categories=()), max_size=20))
def test_json_is_json(text: str) -> None:
    """Whatever stands in an event."""
    first, *rest = written(JSON, event("Hello {name}", name=text)).split("\n")
    assert rest == [""]
    assert json.loads(first)["level"] == "warn"


def test_an_event_without_words() -> None:
    """Nothing is written."""
    assert written(TEXT, event("")) == ""


def test_lines_about_requests() -> None:
    """They are collected, and written together; an event between them keeps the order."""
    out, clock, logs = io.StringIO(), Clock(), Logs(TEXT)
    observer = logs.observer(out)
    logs.start(clock)
    logs.request(TIME, "one", {})
    logs.request(TIME, "two", {})
    assert out.getvalue() == ""
    assert len(clock.getDelayedCalls()) == 1
    clock.advance(COLLECTED)
    assert [line.rpartition(" ")[2] for line in out.getvalue().splitlines()] == ["one", "two"]
    logs.request(TIME, "three", {})
    observer(event("four"))
    assert [line.rpartition(" ")[2] for line in out.getvalue().splitlines()] == ["one", "two", "three", "four"]
    logs.request(TIME, "five", {})
    logs.stop()
    assert out.getvalue().endswith("five\n")
    assert clock.getDelayedCalls() == []


def test_many_lines() -> None:
    """What is collected has a bound."""
    out, logs = io.StringIO(), Logs(JSON)
    logs.observer(out)
    logs.start(Clock())
    for _ in range(1000):
        logs.request(TIME, "", {"what": "x" * 100})
    assert len(out.getvalue().splitlines()) > 500
    logs.stop()
    assert len(out.getvalue().splitlines()) == 1000


def test_another_observer_is_in_force() -> None:
    """Lines about requests are events then, with all fields."""
    seen: list[LogEvent] = []
    globalLogPublisher.addObserver(seen.append)
    try:
        Logs().request(TIME, "a line", {"method": "ping"})
    finally:
        globalLogPublisher.removeObserver(seen.append)
    [one] = [one for one in seen if one["log_namespace"] == "mcpserve.requests"]
    assert (one["text"], one["method"]) == ("a line", "ping")


def test_a_file_that_takes_nothing() -> None:
    """A full disk, or a pipe that was closed, does not stop the server."""

    class Full(io.StringIO):
        def write(self, text: str) -> int:
            raise OSError(28, "No space left on device")

    lines = Lines(Full())
    lines.write("one")
    closed = io.StringIO()
    closed.close()
    Lines(closed).write("two")


def test_is_there_a_journal(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    """Only if the file that it reads is the one that is written to."""
    with (tmp_path / "out").open("w") as out, (tmp_path / "other").open("w") as other:
        found = (tmp_path / "out").stat()
        monkeypatch.setenv("JOURNAL_STREAM", f"{found.st_dev}:{found.st_ino}")
        assert under_journal(out)
        assert not under_journal(other)
        assert not under_journal(io.StringIO())
        monkeypatch.delenv("JOURNAL_STREAM")
        assert not under_journal(out)


def test_what_twisted_says() -> None:
    """Its old logging is told by the name of Twisted."""
    assert "  twisted  " in written(TEXT, event("x", log_namespace="log_legacy")).replace("info", "")
