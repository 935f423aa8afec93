"""What there is right now, for whoever asks: nothing of this costs anything while nobody does."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sized
from types import MappingProxyType

import attrs

from mcpserve.service.offer import Offer
from mcpserve.stores.events import EventRoom
from mcpserve.web.identity import Doorkeeper
from mcpserve.web.response import Turns
from mcpserve.web.site import McpSite

NOTHING: Mapping[str, str] = MappingProxyType({})


@attrs.frozen(kw_only=True)
class Reading:
    """One number.

    Args:
        name: What it counts.
        what: The same as a sentence.
        value: The number.
        labels: Of what.
        grows: Whether it counts what has happened, and so never falls.
    """

    name: str
    what: str
    value: float
    labels: Mapping[str, str] = NOTHING
    grows: bool = False


@attrs.frozen(kw_only=True)
class Gauges:
    """Reads them off the parts of a server.

    Args:
        site: Its connections.
        turns: Its responses.
        sessions: Its sessions.
        room: What is kept for their clients.
        http_sse: Its sessions over HTTP with SSE.
        offer: What it does.
        doorkeeper: Who finds out who is calling, if anybody does.
    """

    site: McpSite
    turns: Turns
    sessions: Sized
    room: EventRoom
    http_sse: Sized
    offer: Offer
    doorkeeper: Doorkeeper | None

    def summary(self) -> dict[str, float]:
        """Those that fit on one line."""
        chosen = ("connections", "open_streams", "calls_running")
        return {reading.name: reading.value for reading in self.now() if reading.name in chosen}

    def now(self) -> Iterator[Reading]:
        """All of them."""
        yield Reading(name="connections", what="Connections that are open.", value=len(self.site.connections))
        yield from self._responses()
        yield from self._kept()
        yield from self._work()
        yield from self._notices()
        failures = {} if self.doorkeeper is None else self.doorkeeper.failures
        for reason, count in sorted(failures.items()):
            what = "Requests without a credential that lets them in, by reason."
            yield Reading(name="auth_failures", what=what, value=count, labels={"reason": reason}, grows=True)

    def _responses(self) -> Iterable[Reading]:
        writers = self.turns.open_writers
        streaming = [writer for writer in writers if writer.streaming]
        return [
            Reading(name="open_streams", what="Responses that are streams of events now.", value=len(streaming)),
            Reading(
                name="open_responses", what="Requests whose reply is yet to come.", value=len(writers) - len(streaming)
            ),
            Reading(
                name="slow_readers", what="Streams whose reader is behind.", value=sum(w.behind for w in streaming)
            ),
            Reading(
                name="buffered_bytes",
                what="Bytes that wait for slow readers, beside the buffers of connections.",
                value=sum(writer.buffered for writer in streaming),
            ),
        ]

    def _kept(self) -> Iterable[Reading]:
        what = "Sessions of clients before 2026-07-28."
        return [
            Reading(name="sessions", what=what, value=len(self.sessions), labels={"transport": "streamable_http"}),
            Reading(name="sessions", what=what, value=len(self.http_sse), labels={"transport": "http_sse"}),
            Reading(name="resume_bytes", what="Bytes kept for clients that resume.", value=self.room.used),
        ]

    def _work(self) -> Iterable[Reading]:
        offer = self.offer
        return [
            Reading(name="calls_running", what="Calls that run.", value=len(offer.calls.running)),
            Reading(name="listeners", what="Streams of subscriptions/listen.", value=len(offer.subscriptions)),
            Reading(name="tasks", what="Tasks, by state.", value=offer.tasks.at_work, labels={"state": "working"}),
            Reading(
                name="tasks",
                what="Tasks, by state.",
                value=len(offer.tasks) - offer.tasks.at_work,
                labels={"state": "ended"},
            ),
            Reading(name="thread_calls", what="Calls that have a thread or wait for one.", value=offer.threads.taken),
        ]

    def _notices(self) -> Iterable[Reading]:
        publisher, turns = self.offer.publisher, self.turns
        what = "Notices and progress: told, or replaced by a newer one before they were."
        counts = {"told": publisher.told, "coalesced": publisher.coalesced, "progress_replaced": turns.replaced}
        return [
            *(
                Reading(name="notices", what=what, value=count, labels={"fate": fate}, grows=True)
                for fate, count in counts.items()
            ),
            Reading(
                name="overruns", what="Responses cut as their reader was too slow.", value=turns.overruns, grows=True
            ),
        ]
