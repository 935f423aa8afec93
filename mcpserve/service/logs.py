"""What the process writes about itself: lines for people, or JSON for machines.

    text    2026-11-20T15:04:05.123Z warn  service.blocking  The tool crunch has blocked ...
    json    {"time":"2026-11-20T15:04:05.123Z","level":"warn","source":"mcpserve.service.blocking","message":...}

Where systemd's journal reads along it knows the time already, and is told how severe each line is. A line of text is
one line, whatever strangers put into it; a traceback follows indented. What looks like a credential is taken out.

Events are written when they happen. Lines about requests are many: they are collected, and written together.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from threading import Lock
from typing import Any, TextIO

import orjson
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import ILogObserver, LogEvent, Logger, LogLevel, formatEvent
from twisted.python.failure import Failure
from zope.interface import implementer

from mcpserve.service.redaction import redacted
from mcpserve.service.settings import FORMATS

TEXT, JSON = FORMATS

COLLECTED = 0.1
"""Seconds that a line about a request may wait for others."""

_FULL = 64 * 1024
_SEVERITY = {"debug": 7, "info": 6, "warn": 4, "error": 3, "critical": 2}
_OWN = frozenset({"format", "isError", "message", "system", "time", "failure", "why", "logLevel"})
_SOURCES = {"log_legacy": "twisted"}
"""What the old logging of Twisted is called here."""

_log = Logger(namespace="mcpserve.requests")


class Lines:
    """Lines on their way to a file. May be used in any thread.

    Args:
        out: The file; owned by the caller.
    """

    def __init__(self, out: TextIO) -> None:
        self._out = out
        self._lock = Lock()
        self._waiting: list[str] = []
        self._size = 0

    def write(self, line: str) -> None:
        """Write a line, and all that wait before it."""
        with self._lock:
            self._waiting.append(line)
            self._flush()

    def collect(self, line: str) -> None:
        """Keep a line until the next `write` or `flush`, which somebody has to see to."""
        with self._lock:
            self._waiting.append(line)
            self._size += len(line)
            if self._size > _FULL:
                self._flush()

    def flush(self) -> None:
        """Write what waits."""
        with self._lock:
            self._flush()

    def _flush(self) -> None:
        waiting, self._waiting, self._size = self._waiting, [], 0
        if waiting:
            try:
                self._out.write("\n".join(waiting) + "\n")
                self._out.flush()
            except (OSError, ValueError):  # a full disk or a closed pipe is no reason to stop serving
                return


class Logs:
    """How this process writes.

    Args:
        form: TEXT or JSON.
        journal: Whether systemd's journal reads along.

    Attributes:
        lines: Where to; None while another observer than ours is in force.
    """

    def __init__(self, form: str = TEXT, journal: bool = False) -> None:
        self._form = form
        self._journal = journal
        self._clock: IReactorTime | None = None
        self._timer: IDelayedCall | None = None
        self.lines: Lines | None = None

    @property
    def for_machines(self) -> bool:
        """Whether what is written has to be JSON."""
        return self._form == JSON

    def observer(self, out: TextIO) -> EventWriter:
        """Begin to write to a file, and return what takes the events."""
        self.lines = Lines(out)
        return EventWriter(self.lines, self._form, self._journal)

    def start(self, clock: IReactorTime) -> None:
        """From now on lines about requests are collected."""
        self._clock = clock

    def stop(self) -> None:
        """Write what waits, and collect no more."""
        self._clock = None
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        self._flush()

    def request(self, time: float, text: str, fields: Mapping[str, Any]) -> None:
        """Say something about a request.

        Args:
            time: When it ended, in seconds since the epoch.
            text: For people.
            fields: For machines.
        """
        if self.lines is None:
            _log.info("{text}", text=text, **fields)
            return
        if self._form == JSON:
            line = _json({"time": _time(time), "level": "info", "source": "mcpserve.requests", **fields})
        else:
            line = _prefix(time, "info", "requests", self._journal) + one_line(text)
        if self._clock is None:
            self.lines.write(line)
            return
        self.lines.collect(line)
        if self._timer is None:
            self._timer = self._clock.callLater(COLLECTED, self._flush)

    def _flush(self) -> None:
        self._timer = None
        if self.lines is not None:
            self.lines.flush()


@implementer(ILogObserver)
class EventWriter:
    """Writes events of `twisted.logger`.

    Args:
        lines: Where to.
        form: TEXT or JSON.
        journal: Whether systemd's journal reads along.
    """

    def __init__(self, lines: Lines, form: str, journal: bool) -> None:
        self._lines = lines
        self._json = form == JSON
        self._journal = journal

    def __call__(self, event: LogEvent) -> None:
        """Write an event. One without anything to read in it is none."""
        text = redacted(formatEvent(event))
        failure = event.get("log_failure")
        if not text and failure is None:
            return
        text = text or "Something failed"
        trace = redacted(failure.getTraceback()) if isinstance(failure, Failure) else ""
        level = event.get("log_level", LogLevel.info).name
        source = _SOURCES.get(source := str(event.get("log_namespace", "")), source)
        time = float(event.get("log_time", 0.0))
        if self._json:
            shape: dict[str, Any] = {"time": _time(time), "level": level, "source": source, "message": text}
            if trace:
                shape["traceback"] = trace
            fields = {key: value for key, value in event.items() if not (key.startswith("log_") or key in _OWN)}
            self._lines.write(_json({**{key: _plain(value) for key, value in fields.items()}, **shape}))
        else:
            source = source.removeprefix("mcpserve.")
            first, *rest = f"{text}\n{trace}".rstrip("\n").split("\n")
            prefix = _prefix(time, level, source, self._journal)
            mark = f"<{_SEVERITY.get(level, 6)}>" if self._journal else ""
            self._lines.write("\n".join([prefix + one_line(first), *(f"{mark}    {one_line(line)}" for line in rest)]))


def under_journal(out: TextIO | None = None) -> bool:
    """Whether systemd's journal reads what is written to standard output.

    Spec: systemd.exec(5), JOURNAL_STREAM: device and inode of the file, as "services may ... detect whether ... their
    standard output or standard error output are connected to the systemd journal".
    """
    wanted = os.environ.get("JOURNAL_STREAM")
    if not wanted:
        return False
    try:
        found = os.fstat((out or sys.__stdout__ or sys.stdout).fileno())
    except (OSError, ValueError, AttributeError):
        return False
    return wanted == f"{found.st_dev}:{found.st_ino}"


def one_line(text: str) -> str:
    """The text without what would end the line, or move the cursor of a terminal."""
    return text if text.isprintable() else "".join(c if c.isprintable() or c == "\t" else _escaped(c) for c in text)


def _escaped(character: str) -> str:
    return character.encode("unicode_escape", "backslashreplace").decode("ascii")


def _prefix(time: float, level: str, source: str, journal: bool) -> str:
    if journal:
        return f"<{_SEVERITY.get(level, 6)}>{source}  "
    return f"{_time(time)} {level:<5} {source}  "


def _time(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _plain(value: Any) -> Any:
    """A value that JSON can hold, and in which no secret is."""
    if value is None or isinstance(value, bool | int | float):
        return value
    return redacted(value if isinstance(value, str) else str(value))


def _json(shape: Mapping[str, Any]) -> str:
    try:
        return orjson.dumps(shape).decode("utf-8")
    except (TypeError, UnicodeError):
        # half a character, or a number that no JSON holds
        return orjson.dumps({key: _encodable(value) for key, value in shape.items()}).decode("utf-8")


def _encodable(value: Any) -> str:
    return str(value).encode("utf-8", "backslashreplace").decode("utf-8")
