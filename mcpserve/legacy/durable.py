"""A resumable stream that another process can go on with: what it says is written down before it is sent.

So whatever event id a client has got, the file knows it, and no id is ever given twice. What a stream does waits in
line until what came before it is written: a transaction, in another thread, takes a fraction of a millisecond. When the
file can't be written nothing waits, and the stream is as good as one in memory.

A reply that comes before the stream has opened is plain JSON here too, and is not written.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from functools import partial

from mcpserve.errors import InternalError
from mcpserve.legacy.streams import Keeping, ResumableStream
from mcpserve.protocol import jsonrpc, sse
from mcpserve.protocol.exchange import NO_HEADERS
from mcpserve.protocol.revisions import Revision
from mcpserve.protocol.types import RequestId
from mcpserve.stores.events import EventLog
from mcpserve.stores.sessions import Journal, StoredStream
from mcpserve.web.response import ResponseWriter

DIED = (
    "The server was restarted before this call had ended; what it did until then is not known. "
    "Call again if that does no harm."
)


class DurableStream(ResumableStream):
    """One stream.

    Args:
        number: See `ResumableStream`.
        revision: See `ResumableStream`.
        keeping: See `ResumableStream`.
        journal: Where it is written down.
        session: What the journal calls its session.
        on_replied: See `ResumableStream`.
        on_discard: See `ResumableStream`.
    """

    def __init__(
        self,
        number: int,
        revision: Revision,
        keeping: Keeping,
        journal: Journal,
        session: int,
        on_replied: Callable[[ResumableStream], object],
        on_discard: Callable[[ResumableStream], object],
    ) -> None:
        super().__init__(number, revision, keeping, on_replied, on_discard)
        self._journal = journal
        self._session = session
        self._key: int | None = None
        self._request_id: RequestId | None = None
        self._away = 0.0
        self._said = 0
        self._died = False
        self._line: deque[Callable[[], object]] = deque()

    # --- Carrier

    def notify(self, message: bytes, replaceable: bool = False) -> None:
        """See `ResumableStream.notify`."""
        if self.writer is None or self.writer.accept.sse:
            self._write(message, partial(self._say, replaceable=replaceable))

    def reply(self, message: bytes, status: int, headers: Mapping[str, str] = NO_HEADERS) -> None:
        """See `ResumableStream.reply`."""
        if self._key is None and self.writer is not None and self.writer.accept.json:
            super().reply(message, status, headers)
            return
        self._begin()
        self._replied()
        self._write_last(message)

    def close_stream(self, retry_ms: int | None) -> None:
        """See `Resumable.close_stream`."""
        if self._leavable:
            wait = self._limits.retry_ms if retry_ms is None else retry_ms
            self._away = self._keeping.wheel.clock.seconds() + wait / 1000
            self._journal.send_away(self._begin(), self._away)
            self._in_line(partial(super().close_stream, retry_ms))

    # --- from the session

    def attach(self, writer: ResponseWriter, number: int = 0) -> None:
        """See `ResumableStream.attach`."""
        super().attach(writer, number)
        writer.hold = self._hold

    def open(self) -> None:
        """See `ResumableStream.open`."""
        self._in_line(super().open)

    def take_up(self, writer: ResponseWriter, number: int) -> bool:
        """See `ResumableStream.take_up`.

        If the file could not be written when the process ended, a client may have got ids that are not in it. It gets
        the error in any case.
        """
        if self._died:
            number = min(number, self._log.last - self.complete)
        return super().take_up(writer, number)

    def recall(self, stored: StoredStream) -> None:
        """Go on with what another process has written down.

        A call died with its process, if its reply is not there: its client is told so.
        """
        self._key, self._request_id, self._away = stored.key, stored.request_id, stored.away
        self._opened = True
        self._log = EventLog(self._limits.events, self._keeping.room, last=stored.first - 1)
        for event in stored.events:
            self._log.append(event)
        self._log.on_trim = self._trim
        self._said = self._log.last
        self._wait(max(0.0, stored.away - self._keeping.wheel.clock.seconds()))
        self.finished = stored.finished or stored.request_id is not None
        if stored.finished:
            self._log.end(self.forget, delivered=False)
        elif stored.request_id is not None:
            self._died = True
            self._write_last(jsonrpc.encode_error(stored.request_id, InternalError(DIED), legacy=True))

    @property
    def complete(self) -> bool:
        """See `ResumableStream.complete`."""
        return self.finished and not self._line

    @property
    def stored(self) -> StoredStream | None:
        """What is to be written of it, if anything is."""
        if self._key is None:
            return None
        first = self._log.first
        return StoredStream(
            key=self._key,
            number=self.number,
            request_id=self._request_id,
            finished=self.complete,
            away=self._away,
            first=first,
            events=self._log.after(first - 1) or (),
        )

    # --- in line

    def _begin(self) -> int:
        """Write down that there is such a stream, if that was not done before."""
        if self._key is None:
            self._request_id = None if self.exchange is None else self.exchange.request.id
            self._key = self._journal.open_stream(self._session, self.number, self._request_id)
            self._log.on_trim = self._trim
        return self._key

    def _write(self, message: bytes, step: Callable[[bytes], object]) -> None:
        """Write an event down, and do something with it then."""
        key = self._begin()
        self._said += 1
        event = sse.event_with_id(self._event_id(self._said), message)
        self._line.append(partial(step, event))
        self._journal.append(key, self._said, event, self._written)

    def _write_last(self, message: bytes) -> None:
        self._journal.finish_stream(self._begin())
        self._write(message, self._finish)

    def _in_line(self, step: Callable[[], object]) -> None:
        """Do something when all that was said before is written."""
        self._begin()
        self._line.append(step)
        self._journal.when_written(self._written)

    def _written(self) -> None:
        if self._line:
            self._line.popleft()()

    def _say(self, event: bytes, replaceable: bool) -> None:
        self._log.append(event)
        if self.writer is not None:
            self.writer.send(event, replaceable)

    def _finish(self, event: bytes) -> None:
        self._log.append(event)
        self._wait()
        if self.writer is not None:
            self._end(self.writer, event)
        self._log.end(self.forget, self.delivered)

    def _hold(self) -> None:
        """Silence would open the stream. Asked again and again until it is open."""
        if not self._line:
            self._in_line(self._open_in_silence)

    def _open_in_silence(self) -> None:
        if self.writer is not None:
            self.writer.open(sse.KEEP_ALIVE)

    def _trim(self) -> None:
        """The newest event is left in the file in any case: it says which number was the last."""
        assert self._key is not None
        self._journal.trim(self._key, min(self._log.first, self._log.last))

    # --- its end

    def _discard(self) -> None:
        self._line.clear()
        if self._key is not None:
            self._journal.drop_stream(self._key)
        super()._discard()
