"""One HTTP/1.1 connection: deadlines, backpressure and half-close around a strict parser.

What this file guarantees:

1. A connection is in one phase at a time (`web.phases`), and a phase that can last for ever has a deadline. The site
   looks at all deadlines once a second; there is no timer per request, and bytes that arrive do not push a deadline
   away (trap T3).
2. A client that shuts down only its sending half is not gone: its response goes on (Twisted takes EOF for a
   disconnect). A client that is really gone is found within milliseconds of the next write (`web.probing`).
3. While a response is running the connection is read all the time, so that its end is noticed. What comes in then is
   dropped, and the connection is not used again (trap T2: Twisted buffers 16 KiB, then stops to read and is blind to
   a disconnect).
4. A reader that is behind pauses the response once and resumes it once (trap T10), and pauses the reading of further
   requests.

What is refused, and that the client gets to read it, is in `web.refusing`; what a well-formed request is, in
`web.parsing`. Under TLS an EOF means that the client has gone: Twisted's TLS wrapper can't deliver a half-close.

The site knows a channel only as a `SiteChannel`, so that a lighter one can take its place.
"""

from __future__ import annotations

from http import HTTPStatus
from math import inf
from typing import TYPE_CHECKING

from twisted.internet import interfaces
from twisted.protocols import basic
from twisted.protocols.policies import ProtocolWrapper
from twisted.python.failure import Failure
from zope.interface import implementer

from mcpserve.errors import Refusal
from mcpserve.web.phases import BODY, CLOSING, HEAD, IDLE, LINGERING, RESPONDING
from mcpserve.web.probing import Probe, has_reset
from mcpserve.web.refusing import RefusingChannel
from mcpserve.web.request import McpRequest
from mcpserve.web.sending import send_now

if TYPE_CHECKING:
    from mcpserve.policy.proxies import Seen
    from mcpserve.web.admission import Admitted

BUSY = 1.0
"""A connection that was answered within so many seconds, or a sweep more, may have the next request on its way."""

CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


@implementer(interfaces.IHalfCloseableProtocol)
class McpChannel(RefusingChannel):
    """A connection of an `McpSite`.

    Args:
        site: The site, for its limits, its clock and its refusals.
    """

    _dataBuffer: list[bytes]
    _waitingForTransport: bool
    paused: bool
    served = False
    _refusal: Refusal | None = None
    secure = False
    seen: Seen | None = None
    """Where its requests come from, if no proxy stands in between."""
    admitted: Admitted | None = None
    """What the door found out about its last request, if that holds for others like it."""
    _dropped = False
    _busy = False
    _probe: Probe | None = None

    def connectionMade(self) -> None:
        """Ask the kernel for the two addresses once; `Request.__init__` of Twisted does it for each request."""
        super().connectionMade()
        self.peer = self.transport.getPeer()
        self.host = self.transport.getHost()
        self.secure = self.isSecure()
        self.site.connections.add(self)
        self.enter(IDLE, self.site.limits.idle_timeout)
        if isinstance(self.transport, ProtocolWrapper):
            self.dataReceived = self._first_data  # type: ignore[method-assign]
        self._refusal = self.site.crowd.enter(self, getattr(self.peer, "host", None))
        if self._refusal is not None:
            self.deadline = self.site.deadline_after(self.site.limits.linger)

    def _first_data(self, data: bytes) -> None:
        """The PROXY protocol has told by now whose connection this is; who may tell it is in `trusted_proxies`."""
        del self.dataReceived
        before, self.peer = self.peer, self.transport.getPeer()
        if self.peer != before:
            self._refusal = self.site.crowd.enter(self, getattr(self.peer, "host", None))
            address = getattr(before, "host", None)
            if not self.site.crowd.proxies.trust(address):
                who = "a UNIX socket (unix)" if address is None else address
                self._refusal = Refusal(403, f"The PROXY protocol is taken only from trusted_proxies, not from {who}")
        self.dataReceived(data)

    @property
    def behind(self) -> bool:
        """Whether the reader is behind: the transport has asked us to pause."""
        return self._waitingForTransport

    # Reading

    def dataReceived(self, data: bytes) -> None:
        """Parse; then see whether a head has begun. Unlike the inherited one it pushes no timeout away (trap T3)."""
        basic.LineReceiver.dataReceived(self, data)
        phase = self.phase
        if phase == IDLE:
            if (self._buffer or self.requests) and not self.behind:
                self.enter(HEAD, self.site.limits.header_timeout)
        elif phase == HEAD and not self._buffer and not self.requests:
            self.enter(IDLE, self.site.limits.idle_timeout)

    def rawDataReceived(self, data: bytes) -> None:
        """Drop what comes behind a running response (trap T2), and what comes after a refusal."""
        if self.phase == BODY:
            super().rawDataReceived(data)
        elif self.phase == RESPONDING:
            self._drop(data)

    def _drop(self, data: bytes) -> None:
        # A line break after a body is a well-known slip of old clients, not a second request.
        if data.strip(b"\r\n"):
            self.persistent = False
            self._dropped = True

    def allHeadersReceived(self) -> None:
        """Decide on the strength of the head whether the body may come."""
        request = self.requests[-1]
        self.persistent = self.may_persist(request)
        limits = self.site.limits
        self.enter(BODY, limits.body_timeout)
        if not self.served:
            self.site.crowd.asked(self)
        if self._refusal is not None:
            self.turn_away(self._refusal)
        elif len(self._path) > limits.url:
            self.refuse(HTTPStatus.REQUEST_URI_TOO_LONG, f"The URL is longer than {limits.url} bytes.")
        elif not self.target_is_valid(request):
            self.refuse(HTTPStatus.BAD_REQUEST, "The request target or the Host header is not valid.")
        elif self.length is not None and self.length > limits.body:
            self.refuse_body()
        elif b"expect" in request.fields:
            self._expectation(request)

    def _expectation(self, request: McpRequest) -> None:
        # Whoever has sent the body already does not wait for us.
        expected = (request.header(b"expect") or b"").lower()
        if expected == b"100-continue" and self._version == b"HTTP/1.1" and self.length != 0 and not self._buffer:
            send_now(self.transport, CONTINUE)

    def allContentReceived(self) -> None:
        """Hand the request over; if it is not answered at once, drop what was sent behind it."""
        if self.phase == LINGERING:
            return
        if self._arriving:
            self.body_ends()
        self.phase = RESPONDING
        self.deadline = 0.0
        super().allContentReceived()
        if self._dataBuffer:
            behind, self._dataBuffer = self._dataBuffer, []
            if self.phase == RESPONDING:
                self._drop(b"".join(behind))

    # Writing

    def send(self, data: bytes) -> None:
        """Write bytes of the response."""
        send_now(self.transport, data)

    def abort(self) -> None:
        """Drop the connection, with whatever is still to be sent."""
        self.phase = CLOSING
        self.transport.abortConnection()

    def pauseProducing(self) -> None:
        """The transport's buffer is full. It says so at every write; we pass it on once (trap T10)."""
        if self._waitingForTransport:
            return
        super().pauseProducing()
        self.deadline = self.site.deadline_after(self.site.limits.write_stall)
        for request in self.requests:
            request.reader_behind()

    def resumeProducing(self) -> None:
        """The transport's buffer is empty."""
        if not self._waitingForTransport:
            return
        self._waitingForTransport = False
        if self._requestProducer is not None:
            self._requestProducer.resumeProducing()
        if self.phase == RESPONDING:
            self.deadline = 0.0
        else:
            self.deadline = self.site.deadline_after(self.site.limits.idle_timeout)
            self._networkProducer.resumeProducing()
            self._parse_on()
        for request in list(self.requests):
            request.reader_caught_up()

    def _parse_on(self) -> None:
        if self.paused:
            self.paused = False
            self.dataReceived(b"")

    def requestDone(self, request: McpRequest) -> None:
        """Wait for the next request, or close."""
        self.requests = []
        self.served = True
        if self._probe is not None:
            self._stop_probing()
        if not self.persistent:
            self._close()
            return
        self._handlingRequest = False
        if self._waitingForTransport:
            # Twisted reads and parses on here, and would pile up answers for a client that never reads one.
            self.phase = IDLE
            self.paused = True
            self._networkProducer.pauseProducing()
        else:
            self.enter(IDLE, self.site.limits.idle_timeout)
        following, self._dataBuffer = self._dataBuffer, []
        self.setLineMode(b"".join(following))

    # Ending

    def overdue(self) -> None:
        """The deadline of the phase has passed."""
        if self.phase in (HEAD, BODY):
            self.refuse(HTTPStatus.REQUEST_TIMEOUT, "The request did not arrive in time.")
        elif self.phase == IDLE and not self._waitingForTransport:
            self._close()
        elif self.phase == LINGERING:
            self.close_transport()
        else:
            self.deadline = 0.0
            self.transport.abortConnection()

    def retire(self) -> None:
        """Take no further request.

        A connection that was accepted or answered a moment ago may have a request on the way, so it gets a second: a
        client whose call is lost can't know whether it was begun. A head that has begun is left alone: when it is
        complete, `allHeadersReceived` sees that the site is draining.
        """
        self._busy = self.phase == IDLE and self.site.now - self.resting_since < BUSY
        if self.phase == IDLE and self.served and not self._busy:
            self._close()
        elif self.phase == IDLE:
            self.deadline = self.site.deadline_after(0.0)
        elif self.phase != HEAD:
            self.persistent = False

    def drop(self) -> None:
        """Make room for another connection: end at once."""
        self.abort()

    @property
    def expected(self) -> bool:
        """See `SiteChannel.expected`."""
        return self.phase in (HEAD, BODY) or (self.phase == IDLE and (self._busy or not self.served))

    @property
    def resting_since(self) -> float:
        """When the last request was answered, if there is none now; infinite if there is one."""
        if self.phase != IDLE or not self.served:
            return inf
        return self.deadline - self.site.limits.idle_timeout - 1.0

    def _close(self) -> None:
        """Close when all is sent; if the client is still sending, let it read our answer first."""
        if self._dropped:
            self.linger()
        else:
            self._networkProducer.unregisterProducer()
            self.close_transport()

    # Half-close

    def readConnectionLost(self) -> None:
        """The client shut down its sending half, or is gone; which of the two shows when something is written."""
        self.input_over = True
        if self.phase != RESPONDING:
            self._close_at_eof()
            return
        self.persistent = False
        for request in list(self.requests):
            request.input_ended()
        if self.phase == RESPONDING:
            self._probe = Probe(self.site.clock, self.check_peer)

    def _close_at_eof(self) -> None:
        if self.phase < LINGERING:
            self._networkProducer.unregisterProducer()
        self.close_transport()

    def writeConnectionLost(self) -> None:
        """Our sending half is closed, as we wanted."""

    def check_peer(self) -> None:
        """Abort if the kernel knows that the client of a half-closed connection has gone."""
        if self.input_over and self.phase == RESPONDING and has_reset(self.transport):
            self.abort()

    def _stop_probing(self) -> None:
        probe, self._probe = self._probe, None
        if probe is not None:
            probe.stop()

    def connectionLost(self, reason: Failure) -> None:
        """The connection is gone."""
        self.phase = CLOSING
        self.deadline = 0.0
        self.body_ends()
        self.site.forget(self)
        self._stop_probing()
        requests, self.requests = self.requests, []
        self._transferDecoder = None
        for request in requests:
            request.connectionLost(reason)
