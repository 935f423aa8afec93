"""What is written down of sessions and their streams, so that another process can go on with them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Protocol

import attrs

from mcpserve.protocol.types import RequestId


@attrs.frozen(kw_only=True)
class StoredStream:
    """A resumable stream as it was written down.

    Args:
        key: What the journal calls it.
        number: Its number in its session.
        request_id: The id of the request that it answers; None for a standalone stream.
        finished: True when its last event is the reply.
        away: Until when its client was told to stay away, in seconds of the clock.
        first: The number of the first of its events.
        events: The bytes of its events, in order and without a hole.
    """

    key: int
    number: int
    request_id: RequestId | None
    finished: bool = False
    away: float = 0.0
    first: int = 1
    events: Sequence[bytes] = ()


@attrs.frozen(kw_only=True)
class StoredSession:
    """A session as it was written down.

    Args:
        key: What the journal calls it.
        id: What its client calls it.
        owner: The name of the caller whose it is, if he had to say it.
        revision: What was negotiated.
        client_info: The client's name and version.
        capabilities: What the client can do.
        state: What else is remembered of it, as JSON.
        created: When it began, in seconds of the clock.
        last_used: When it was used last, about.
        streams: Its streams.
    """

    key: int
    id: str
    owner: str | None
    revision: str
    client_info: Mapping[str, Any]
    capabilities: Mapping[str, Any]
    state: Mapping[str, Any]
    created: float
    last_used: float
    streams: Sequence[StoredStream] = ()


class Journal(Protocol):
    """Writes sessions and streams down, in the order that it is told of them, and soon; nobody waits for it.

    Attributes:
        numbers: New streams of sessions from before are numbered from here on: no number is given twice.
    """

    numbers: int

    def load(self) -> Iterator[StoredSession]:
        """Read what is written. To be called once, before anything else."""

    def on_rewrite(self, sessions: Callable[[], Iterator[StoredSession]]) -> None:
        """Say what to write when all has to be written anew."""

    def open_session(self, session: StoredSession) -> int:
        """A session begins.

        Returns:
            Its key; the one in `session` does not count.
        """

    def change_session(self, key: int, state: Mapping[str, Any], last_used: float) -> None:
        """It was used, or remembers something else."""

    def close_session(self, key: int) -> None:
        """It is over, and its streams with it."""

    def open_stream(self, session: int, number: int, request_id: RequestId | None) -> int:
        """A stream begins.

        Returns:
            Its key.
        """

    def append(self, stream: int, number: int, event: bytes, then: Callable[[], object]) -> None:
        """An event was added; `then` is called when it is written, or when that is given up."""

    def finish_stream(self, stream: int) -> None:
        """The last event that was added is the reply."""

    def send_away(self, stream: int, until: float) -> None:
        """Its client was told to stay away until then (seconds of the clock)."""

    def trim(self, stream: int, first: int) -> None:
        """The events before this number are not kept any more."""

    def drop_stream(self, stream: int) -> None:
        """Nothing of it is kept any more."""

    def when_written(self, then: Callable[[], object]) -> None:
        """Call `then` when all that was said until now is written, or when that is given up."""

    def tidy(self) -> None:
        """Give space back. To be called now and then."""
