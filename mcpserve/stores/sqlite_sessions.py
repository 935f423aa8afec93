"""Sessions and their streams in an SQLite file.

What is kept in memory is what is kept here, row by row, so that the bounds of the one are those of the other. The file
is read once, when the server starts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from itertools import count
from typing import Any

import orjson

from mcpserve.errors import StoreError
from mcpserve.protocol.types import RequestId
from mcpserve.stores.sessions import StoredSession, StoredStream
from mcpserve.stores.sqlite import Row, SqliteFile, Statement
from mcpserve.stores.writing import Writer

SCHEMA = """\
CREATE TABLE sessions (
    key INTEGER PRIMARY KEY,
    id TEXT NOT NULL,
    owner TEXT,
    revision TEXT NOT NULL,
    client TEXT NOT NULL,
    capabilities TEXT NOT NULL,
    state TEXT NOT NULL,
    created REAL NOT NULL,
    last_used REAL NOT NULL
);

CREATE TABLE streams (
    key INTEGER PRIMARY KEY,
    session INTEGER NOT NULL,
    number INTEGER NOT NULL,
    request TEXT NOT NULL,
    finished INTEGER NOT NULL DEFAULT 0,
    away REAL NOT NULL DEFAULT 0
);

CREATE INDEX streams_by_session ON streams (session);

CREATE TABLE events (
    stream INTEGER NOT NULL,
    number INTEGER NOT NULL,
    event BLOB NOT NULL,
    PRIMARY KEY (stream, number)
) WITHOUT ROWID;

CREATE TABLE starts (number INTEGER NOT NULL);

CREATE TRIGGER session_closed AFTER DELETE ON sessions BEGIN
    DELETE FROM streams WHERE session = OLD.key;
END;

CREATE TRIGGER stream_dropped AFTER DELETE ON streams BEGIN
    DELETE FROM events WHERE stream = OLD.key;
END"""

NUMBERS_PER_START = 1_000_000_000
"""Streams that a session can have in the life of one process, before a number would be given twice."""

_EVERYTHING = Statement(0, "DELETE FROM sessions")
_ALL_STREAMS = Statement(1, "DELETE FROM streams")
_ALL_EVENTS = Statement(2, "DELETE FROM events")
_OPEN_SESSION = Statement(10, "INSERT INTO sessions VALUES ", "(?, ?, ?, ?, ?, ?, ?, ?, ?)")
_OPEN_STREAM = Statement(11, "INSERT INTO streams VALUES ", "(?, ?, ?, ?, ?, ?)")
_APPEND = Statement(12, "INSERT INTO events VALUES ", "(?, ?, ?)")
_CHANGE_SESSION = Statement(20, "UPDATE sessions SET state = ?, last_used = ? WHERE key = ?")
_FINISH_STREAM = Statement(21, "UPDATE streams SET finished = 1 WHERE key IN (", "?", ")")
_SEND_AWAY = Statement(22, "UPDATE streams SET away = ? WHERE key = ?")
_TRIM = Statement(30, "DELETE FROM events WHERE stream = ? AND number < ?")
_DROP_STREAM = Statement(31, "DELETE FROM streams WHERE key IN (", "?", ")")
_CLOSE_SESSION = Statement(32, "DELETE FROM sessions WHERE key IN (", "?", ")")


class SqliteSessions:
    """Implements `stores.sessions.Journal`.

    Args:
        file: The file, to read it at the start.
        writer: Writes to the same file.
    """

    def __init__(self, file: SqliteFile, writer: Writer) -> None:
        self.numbers = 0
        self._file = file
        self._writer = writer
        self._session_keys = count(1)
        self._stream_keys = count(1)

    def load(self) -> Iterator[StoredSession]:
        """See `Journal.load`.

        Raises:
            StoreError: The file is damaged.
        """
        self._begin()
        try:
            yield from self._sessions()
        except ValueError as error:
            raise StoreError(f"The store {self._file.path} is damaged ({error}); move it away") from error

    def on_rewrite(self, sessions: Callable[[], Iterator[StoredSession]]) -> None:
        """See `Journal.on_rewrite`."""
        self._writer.on_rewrite(lambda: _rewritten(sessions()))

    def open_session(self, session: StoredSession) -> int:
        """See `Journal.open_session`."""
        key = next(self._session_keys)
        self._writer.add(_OPEN_SESSION, _session_row(key, session))
        return key

    def change_session(self, key: int, state: Mapping[str, Any], last_used: float) -> None:
        """See `Journal.change_session`."""
        self._writer.add(_CHANGE_SESSION, (_json(state), last_used, key))

    def close_session(self, key: int) -> None:
        """See `Journal.close_session`."""
        self._writer.add(_CLOSE_SESSION, (key,))

    def open_stream(self, session: int, number: int, request_id: RequestId | None) -> int:
        """See `Journal.open_stream`."""
        key = next(self._stream_keys)
        self._writer.add(_OPEN_STREAM, (key, session, number, _json(request_id), 0, 0.0))
        return key

    def append(self, stream: int, number: int, event: bytes, then: Callable[[], object]) -> None:
        """See `Journal.append`."""
        self._writer.add(_APPEND, (stream, number, event), len(event), then)

    def finish_stream(self, stream: int) -> None:
        """See `Journal.finish_stream`."""
        self._writer.add(_FINISH_STREAM, (stream,))

    def send_away(self, stream: int, until: float) -> None:
        """See `Journal.send_away`."""
        self._writer.add(_SEND_AWAY, (until, stream))

    def trim(self, stream: int, first: int) -> None:
        """See `Journal.trim`."""
        self._writer.add(_TRIM, (stream, first))

    def drop_stream(self, stream: int) -> None:
        """See `Journal.drop_stream`."""
        self._writer.add(_DROP_STREAM, (stream,))

    def when_written(self, then: Callable[[], object]) -> None:
        """See `Journal.when_written`."""
        self._writer.then(then)

    def tidy(self) -> None:
        """See `Journal.tidy`."""
        self._writer.tidy()

    def _begin(self) -> None:
        """Count this start, and go on with the keys where the last process ended."""
        starts = next(self._file.read("SELECT max(number) FROM starts"))[0] or 0
        self._file.write(
            {
                Statement(0, "DELETE FROM starts"): [()],
                Statement(1, "INSERT INTO starts VALUES (?)"): [(starts + 1,)],
                Statement(2, "DELETE FROM streams WHERE session NOT IN (SELECT key FROM sessions)"): [()],
                Statement(3, "DELETE FROM events WHERE stream NOT IN (SELECT key FROM streams)"): [()],
            }
        )
        self.numbers = starts * NUMBERS_PER_START
        self._session_keys, self._stream_keys = (count(self._last(table) + 1) for table in ("sessions", "streams"))

    def _sessions(self) -> Iterator[StoredSession]:
        for key, id, owner, revision, client, capabilities, state, created, used in self._file.read(
            "SELECT * FROM sessions ORDER BY key"
        ):
            yield StoredSession(
                key=key,
                id=id,
                owner=owner,
                revision=revision,
                client_info=orjson.loads(client),
                capabilities=orjson.loads(capabilities),
                state=orjson.loads(state),
                created=created,
                last_used=used,
                streams=[*self._streams(key)],
            )

    def _last(self, table: str) -> int:
        last: int | None = next(self._file.read(f"SELECT max(key) FROM {table}"))[0]
        return last or 0

    def _streams(self, session: int) -> Iterator[StoredStream]:
        rows = self._file.read(
            "SELECT key, number, request, finished, away FROM streams WHERE session = ? ORDER BY key", session
        )
        for key, number, request, finished, away in [*rows]:
            events = [*self._file.read("SELECT number, event FROM events WHERE stream = ? ORDER BY number", key)]
            yield StoredStream(
                key=key,
                number=number,
                request_id=orjson.loads(request),
                finished=bool(finished),
                away=away,
                first=events[0][0] if events else 1,
                events=[event for _, event in events],
            )


def _rewritten(sessions: Iterator[StoredSession]) -> Iterator[tuple[Statement, Row]]:
    yield from ((statement, ()) for statement in (_EVERYTHING, _ALL_STREAMS, _ALL_EVENTS))
    for session in sessions:
        yield _OPEN_SESSION, _session_row(session.key, session)
        for stream in session.streams:
            key = stream.key
            row = (key, session.key, stream.number, _json(stream.request_id), int(stream.finished), stream.away)
            yield _OPEN_STREAM, row
            for number, event in enumerate(stream.events, stream.first):
                yield _APPEND, (key, number, event)


def _session_row(key: int, session: StoredSession) -> Row:
    return (
        key,
        session.id,
        session.owner,
        session.revision,
        _json(session.client_info),
        _json(session.capabilities),
        _json(session.state),
        session.created,
        session.last_used,
    )


def _json(value: Any) -> str:
    return orjson.dumps(value).decode("utf-8")
