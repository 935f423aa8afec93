"""The site: what all connections share.

What this file guarantees:

1. Limits are there by default. Twisted's are an unlimited body, 500 headers, and an idle timeout that each byte
   pushes away.
2. One timer, once a second, for all deadlines of all connections (cancelling and setting timers for each request
   costs a tenth of it).
3. No access log, no session, no form parsing, no HTTP/2, no traversal of a resource tree.
4. `drain` loses no request: an idle connection is closed, one that came or was answered a moment ago gets a second for
   the request that may be on its way, any other is closed after its response.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from http import HTTPStatus
from typing import Any, Protocol

import attrs
from twisted.internet.interfaces import IAddress, IReactorTime
from twisted.internet.task import LoopingCall
from twisted.logger import Logger
from twisted.web import http, server
from twisted.web.resource import IResource

from mcpserve.policy.proxies import Proxies
from mcpserve.server.observing import Observer
from mcpserve.web.channel import McpChannel
from mcpserve.web.crowd import Crowd, CrowdLimits
from mcpserve.web.request import McpRequest

SWEEP = 1.0

CROWDED = 5.0
"""Seconds that a connection may rest between two requests when there is little room for more."""

_USUAL_CROWD = CrowdLimits()

Refusal = Callable[[int, str], tuple[Sequence[tuple[bytes, bytes]], bytes]]


@attrs.frozen(kw_only=True)
class HttpLimits:
    """What one connection may cost. Times in seconds, kept to within a second; sizes in bytes.

    Args:
        body: The largest body.
        bodies: All bodies that arrive at the same time.
        header_bytes: Request line and headers together; also the longest single line.
        header_count: The most headers of a request.
        header_timeout: From the first byte of a request to the end of its headers.
        body_timeout: From the end of the headers to the end of the body.
        idle_timeout: Between two requests, and before the first one.
        url: The longest request target.
        linger: How long input is thrown away after a refusal.
        write_stall: How long a reader that is behind may take to catch up.
    """

    body: int = 4 * 1024 * 1024
    bodies: int = 256 * 1024 * 1024
    header_bytes: int = 16384
    header_count: int = 100
    url: int = 8192
    header_timeout: float = 10.0
    body_timeout: float = 30.0
    idle_timeout: float = 60.0
    linger: float = 2.0
    write_stall: float = 30.0


class SiteChannel(Protocol):
    """What a site asks of the connections that it keeps.

    Attributes:
        deadline: When it is overdue.
        requests: What runs on it.
    """

    deadline: float
    requests: list[McpRequest]

    def overdue(self) -> None:
        """The deadline has passed."""

    def check_peer(self) -> None:
        """A second has passed; find out whether a client that ended its input is still there."""

    def retire(self) -> None:
        """Close now or as soon as the response is finished."""

    def drop(self) -> None:
        """Make room for another connection: end at once."""

    @property
    def expected(self) -> bool:
        """Whether a request is yet to come: the first one, or the rest of one that has begun."""

    @property
    def resting_since(self) -> float:
        """When the last request was answered, if there is none now; infinite if there is one."""


_Site: Any = server.Site  # it has no types


class McpSite(_Site):  # type: ignore[misc]
    """A site with one resource.

    Args:
        resource: A leaf that renders every request.
        clock: The clock of all deadlines and of the `Date` header.
        limits: What one connection may cost.
        refusal: Gives headers and body of the answers that this layer makes itself (400, 405, 408, 413, 414, 429, 431,
            500, 503), from the status and a sentence.
        crowd: How many connections there may be.
        proxies: The proxies that are trusted.
        dress: Gives more headers for every answer to a request of a page, from its Origin.
        observer: Who watches, if anybody does.
    """

    protocol: Callable[[McpSite], McpChannel] = McpChannel
    _log = Logger()

    def __init__(
        self,
        resource: IResource,
        *,
        clock: IReactorTime,
        limits: HttpLimits = HttpLimits(),
        refusal: Refusal,
        crowd: CrowdLimits = _USUAL_CROWD,
        proxies: Proxies | None = None,
        dress: Callable[[bytes], Sequence[tuple[bytes, bytes]]] | None = None,
        observer: Observer | None = None,
    ) -> None:
        super().__init__(resource, McpRequest, timeout=None, reactor=clock, parsePOSTFormSubmission=False)
        self.clock = clock
        self.limits = limits
        self.refusal = refusal
        self.dress = dress
        self.observer = observer
        self.connections: set[SiteChannel] = set()
        self.crowd = Crowd(crowd, proxies or Proxies(), clock.seconds)
        self.arriving = 0
        self.draining = False
        self._sweeper = LoopingCall(self.sweep)
        self._sweeper.clock = clock
        self._stopping = False
        self._heads: dict[int, bytes] = {}
        self._look_at_the_clock()

    def buildProtocol(self, addr: IAddress | None) -> McpChannel:
        """Make the channel itself, not Twisted's wrapper that looks out for HTTP/2 and hides half-closes."""
        return self.protocol(self)

    def acceptableProtocols(self) -> list[bytes]:
        """HTTP/1.1 only, whatever is installed; HTTP/2 belongs into the proxy in front of us."""
        return [b"http/1.1"]

    def log(self, request: http.Request) -> None:
        """Write no access log: Twisted flushes each line, which costs as much as a request."""

    def startFactory(self) -> None:
        """Start the sweep; the inherited one starts a timer for the access log."""
        self._stopping = False
        self.start_sweep()

    def stopFactory(self) -> None:
        """Stop the sweep when the last connection is gone: the port is closed before its connections are."""
        self._stopping = True
        self._stop_when_empty()

    def start_sweep(self) -> None:
        """Start to look at the deadlines once a second."""
        if not self._sweeper.running:
            self._look_at_the_clock()
            self._sweeper.start(SWEEP, now=False)

    def stop_sweep(self) -> None:
        """Stop to look at the deadlines."""
        if self._sweeper.running:
            self._sweeper.stop()

    def sweep(self) -> None:
        """Look at all deadlines."""
        self._look_at_the_clock()
        now, dense = self.now, self.crowd.dense
        for channel in list(self.connections):
            try:
                if 0.0 < channel.deadline <= now:
                    channel.overdue()
                elif dense and channel.resting_since < now - CROWDED:
                    channel.retire()
                else:
                    channel.check_peer()
            except Exception:
                self._log.failure("A connection could not be ended.")

    def deadline_after(self, seconds: float) -> float:
        """Return the sweep at which so many seconds have passed for sure; at most one sweep later than they have."""
        return self.now + seconds + SWEEP

    def head(self, status: int) -> bytes:
        """Return the status line and the `Date` header."""
        head = self._heads.get(status)
        if head is None:
            reason = HTTPStatus(status).phrase.encode("ascii")
            head = self._heads[status] = b"HTTP/1.1 %d %b\r\nDate: %b\r\n" % (status, reason, self.date)
        return head

    def drain(self) -> None:
        """Close idle connections, and each of the others after its response."""
        self.draining = True
        for channel in list(self.connections):
            channel.retire()

    def expel(self, gone: Collection[str]) -> None:
        """Drop the connections on which requests run of callers who are not let in any more.

        Args:
            gone: Their names, and the ids of keys.
        """
        for channel in list(self.connections):
            for request in list(channel.requests):
                caller = request.caller
                if caller is not None and (caller.name in gone or caller.credential in gone):
                    request.abort()

    @property
    def expected(self) -> int:
        """Connections whose first request, or the rest of the next one, is yet to come."""
        return sum(channel.expected for channel in self.connections)

    def forget(self, channel: SiteChannel) -> None:
        """A connection is gone."""
        self.connections.discard(channel)
        self.crowd.leave(channel)
        self._stop_when_empty()

    def _stop_when_empty(self) -> None:
        if self._stopping and not self.connections:
            self.stop_sweep()

    def _look_at_the_clock(self) -> None:
        self.now = self.clock.seconds()
        self.date = http.datetimeToString(self.now)
        self._heads.clear()
