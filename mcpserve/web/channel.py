"""One HTTP/1.1 connection: limits, deadlines and half-close around Twisted's own parser.

What this file guarantees:

1. A connection is in one phase at a time, and a phase that can last for ever has a deadline. The site looks at all
   deadlines once a second; there is no timer per request, and bytes that arrive do not push a deadline away (trap
   T3).

       IDLE        no byte of a request has come      idle_timeout; write_stall while the answers before are not read
       HEAD        request line and headers           header_timeout -> 408
       BODY        the body                           body_timeout -> 408
       RESPONDING  the request is being handled       none; write_stall while the reader is behind -> abort
       LINGERING   we have said our last word, and    linger -> closed
                   throw away what still comes in
       CLOSING     buffered output is being flushed   write_stall -> abort

2. A client that shuts down only its sending half is not gone: its response goes on (Twisted takes EOF for a
   disconnect). A client that is really gone is found within milliseconds of the next write, by asking the kernel for
   the state of the connection.
3. While a response is running the connection is read all the time, so that its end is noticed. What comes in then is
   dropped, and the connection is not used again (trap T2: Twisted buffers 16 KiB, then stops to read and is blind to
   a disconnect).
4. A request that is refused while it still arrives gets its answer: our sending half is closed and the rest of the
   input is thrown away for a while, because closing with unread input makes the kernel reset the connection and lose
   the answer.
5. A reader that is behind pauses the response once and resumes it once (trap T10), and pauses the reading of further
   requests.

Under TLS an EOF means that the client has gone: Twisted's TLS wrapper can't deliver a half-close.

Parsing is Twisted's `HTTPChannel`; what is overridden says which trap it avoids. The site knows a channel only as a
`SiteChannel`, so that a lighter one can take its place.
"""

from __future__ import annotations

import re
import socket
from http import HTTPStatus
from math import inf
from typing import TYPE_CHECKING, Any, Final, Protocol

from twisted.internet import interfaces, tcp
from twisted.protocols import basic
from twisted.protocols.policies import ProtocolWrapper
from twisted.python.failure import Failure
from twisted.web import http
from zope.interface import implementer

from mcpserve.errors import Refusal
from mcpserve.server.observing import Responded
from mcpserve.web.request import SMALL_BODY, HeaderList, McpRequest, encode_headers

if TYPE_CHECKING:
    from mcpserve.policy.proxies import Seen
    from mcpserve.web.admission import Admitted
    from mcpserve.web.site import McpSite

IDLE: Final = 0
HEAD: Final = 1
BODY: Final = 2
RESPONDING: Final = 3
LINGERING: Final = 4
CLOSING: Final = 5

CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"

# When to ask the kernel about a half-closed client, in seconds after the EOF; afterwards the site's sweep asks.
PROBES = (0.005, 0.02, 0.1, 0.5)
TCP_INFO: int | None = getattr(socket, "TCP_INFO", None)
TCP_CLOSE = 7

LENGTH_DIGITS = 19

# RFC 9110, 7.2 and RFC 3986, 3.2.2. Labels are at most 63 bytes long, or Werkzeug can't encode the name.
LABEL = rb"[\w~!$&'()*+,;=%-]{1,63}"
HOST = re.compile(rb"(?:%b(?:\.%b)*\.?|\[[0-9A-Fa-f:.]+\])?(?::[0-9]{0,5})?" % (LABEL, LABEL), re.ASCII)
ABSOLUTE = re.compile(rb"https?://([^/?#]+)(.*)", re.IGNORECASE)

_names: dict[bytes, bytes] = {}
_NAMES_KEPT = 1000

# Header lines that were read before, whole: clients repeat them with each request. None of them holds a secret.
_lines: dict[bytes, tuple[bytes, bytes]] = {}
_LINES_KEPT = 512
_LONGEST_KEPT = 256
_REPEATED = frozenset(
    (
        b"host",
        b"user-agent",
        b"accept",
        b"accept-encoding",
        b"accept-language",
        b"connection",
        b"content-type",
        b"mcp-protocol-version",
        b"mcp-method",
    )
)
_TOKEN = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")


def field_name(name: bytes) -> bytes | None:
    """Return a header name in lower case, or None if it is not a token.

    Spec: RFC 9110, 5.1 "Field names are case-insensitive"; RFC 9112, 5.1: no whitespace between name and colon.
    """
    if not _TOKEN.fullmatch(name):
        return None
    known = name.lower()
    if len(_names) < _NAMES_KEPT:
        _names[name] = known
    return known


def send_now(transport: Any, data: bytes) -> None:
    """Write to a transport, through the socket itself if nothing is queued before.

    `transport.write` costs two `epoll_ctl` and a turn of the reactor for what is nearly always one `send`. Everything
    that is not a plain TCP connection of Twisted's (TLS, UNIX, memory), and every error, is left to `transport.write`.
    """
    if type(transport) is tcp.Server and transport.connected and not transport.TLS and not _has_plans(transport):
        try:
            sent = transport.socket.send(data)
        except OSError:
            sent = 0
        if sent == len(data):
            return
        data = data[sent:]
    transport.write(data)


def _has_plans(transport: tcp.Server) -> bool:
    ending = transport.disconnecting or transport._writeDisconnecting
    return bool(transport._tempDataLen or transport.dataBuffer or ending)


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


_HTTPChannel: Any = http.HTTPChannel  # it has no types


@implementer(interfaces.IHalfCloseableProtocol)
class McpChannel(_HTTPChannel):  # type: ignore[misc]
    """A connection of an `McpSite`.

    Args:
        site: The site, for its limits, its clock and its refusals.
    """

    requests: list[McpRequest]
    transport: Any
    _path: bytes
    _dataBuffer: list[bytes]
    _waitingForTransport: bool
    paused: bool
    timeOut = None
    requestFactory = McpRequest
    deadline = 0.0
    phase = IDLE
    served = False
    input_over = False
    _refusal: Refusal | None = None
    secure = False
    seen: Seen | None = None
    """Where its requests come from, if no proxy stands in between."""
    admitted: Admitted | None = None
    """What the door found out about its last request, if that holds for others like it."""
    _valid_host: bytes | None = None
    _dropped = False
    _arriving = 0
    _probe: interfaces.IDelayedCall | None = None

    def __init__(self, site: McpSite) -> None:
        super().__init__()
        self.site = self.factory = site
        self.maxHeaders = site.limits.header_count
        self.totalHeadersSize = self.MAX_LENGTH = site.limits.header_bytes

    def connectionMade(self) -> None:
        """Ask the kernel for the two addresses once; `Request.__init__` of Twisted does it for each request."""
        super().connectionMade()
        self.peer = self.transport.getPeer()
        self.host = self.transport.getHost()
        self.secure = self.isSecure()
        self.site.connections.add(self)
        self._enter(IDLE, self.site.limits.idle_timeout)
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

    def _enter(self, phase: int, seconds: float) -> None:
        self.phase = phase
        self.deadline = self.site.deadline_after(seconds)

    # Reading

    def dataReceived(self, data: bytes) -> None:
        """Parse; then see whether a head has begun. Unlike the inherited one it pushes no timeout away (trap T3)."""
        basic.LineReceiver.dataReceived(self, data)
        phase = self.phase
        if phase == IDLE:
            if (self._buffer or self.requests) and not self.behind:
                self._enter(HEAD, self.site.limits.header_timeout)
        elif phase == HEAD and not self._buffer and not self.requests:
            self._enter(IDLE, self.site.limits.idle_timeout)

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

    def lineLengthExceeded(self, line: bytes) -> None:
        """Answer 431; Twisted closes without a word."""
        self.refuse(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, "The request line or a header is too long.")

    def headerReceived(self, line: bytes) -> bool:
        """Keep one header. Unlike the inherited one, build no `Headers`, and limit the digits of a length."""
        known = _lines.get(line) or self._read_line(line)
        if known is None:
            self._respondToBadRequestAndDisconnect()
            return False
        name, value = known
        if name == b"content-length":
            # int() of thousands of digits raises in Python; so many digits are never a length.
            if len(value) > LENGTH_DIGITS or not self._maybeChooseTransferDecoder(b"Content-Length", value):
                self._respondToBadRequestAndDisconnect()
                return False
        elif name == b"transfer-encoding" and not self._is_chunked(value):
            return False
        self._receivedHeaderCount += 1
        if self._receivedHeaderCount > self.maxHeaders:
            self._respondToBadRequestAndDisconnect()
            return False
        request = self.requests[-1]
        if name in request.fields:
            request.repeated.append(known)
        else:
            request.fields[name] = value
        return True

    def _read_line(self, line: bytes) -> tuple[bytes, bytes] | None:
        """The name in lower case and the value of a header; None if it is not well-formed."""
        name, colon, value = line.partition(b":")
        known = _names.get(name) or field_name(name)
        value = value.strip(b" \t")
        # RFC 9110, 5.5: "Field values containing CR, LF, or NUL characters are invalid and dangerous"
        if not colon or known is None or len(value.translate(None, b"\x00\r\n")) != len(value):
            return None
        if known in _REPEATED and len(line) <= _LONGEST_KEPT:
            if len(_lines) >= _LINES_KEPT:
                _lines.clear()
            _lines[line] = (known, value)
        return known, value

    def _is_chunked(self, coding: bytes) -> bool:
        # Twisted overlooks `identity`, which is no coding any more; a proxy that does not would see another body
        if coding.lower() != b"chunked":
            self._respondToBadRequestAndDisconnect()
            return False
        return bool(self._maybeChooseTransferDecoder(b"Transfer-Encoding", coding))

    def allHeadersReceived(self) -> None:
        """Decide on the strength of the head whether the body may come."""
        request = self.requests[-1]
        self.persistent = self._may_persist(request)
        limits = self.site.limits
        self._enter(BODY, limits.body_timeout)
        if not self.served:
            self.site.crowd.asked(self)
        if self._refusal is not None:
            self._turn_away(self._refusal)
        elif len(self._path) > limits.url:
            self.refuse(HTTPStatus.REQUEST_URI_TOO_LONG, f"The URL is longer than {limits.url} bytes.")
        elif not self._target_is_valid(request):
            self.refuse(HTTPStatus.BAD_REQUEST, "The request target or the Host header is not valid.")
        elif self.length is not None and self.length > limits.body:
            self.refuse_body()
        elif b"expect" in request.fields:
            self._expectation(request)

    def _may_persist(self, request: McpRequest) -> bool:
        if self._version != b"HTTP/1.1" or self.site.draining:
            return False
        connection = request.header(b"connection")
        return connection is None or b"close" not in [part.strip() for part in connection.lower().split(b",")]

    def _target_is_valid(self, request: McpRequest) -> bool:
        # RFC 9112, 3.2: "A server MUST respond with a 400 (Bad Request) status code to any HTTP/1.1 request message
        # that lacks a Host header field and to any request message that contains more than one Host header field line
        # or a Host header field with an invalid field value."
        host = request.fields.get(b"host")
        if host is None:
            if self._version == b"HTTP/1.1":
                return False
        elif host != self._valid_host:
            if not HOST.fullmatch(host):
                return False
            self._valid_host = host
        if request.repeated and len(request.header_values(b"host")) > 1:
            return False
        if self._path[:1] != b"/":
            # RFC 9112, 3.2.2: "a server MUST accept the absolute-form in requests", and its authority replaces Host.
            absolute = ABSOLUTE.fullmatch(self._path)
            if absolute is None or not HOST.fullmatch(absolute[1]):
                return False
            request.fields[b"host"] = absolute[1]
            self._path = absolute[2] if absolute[2][:1] == b"/" else b"/" + absolute[2]
        return True

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
            self._body_ends()
        self.phase = RESPONDING
        self.deadline = 0.0
        super().allContentReceived()
        if self._dataBuffer:
            behind, self._dataBuffer = self._dataBuffer, []
            if self.phase == RESPONDING:
                self._drop(b"".join(behind))

    def body_grows(self, size: int) -> None:
        """So many bytes of a body have come. All bodies that arrive share a bound; small ones are always taken."""
        site = self.site
        self._arriving += size
        site.arriving += size
        if self._arriving > site.limits.body:
            self.refuse_body()
        elif site.arriving > site.limits.bodies and self._arriving > SMALL_BODY:
            sentence = "Too many large bodies arrive at once (body_memory); try again later."
            self.refuse(HTTPStatus.SERVICE_UNAVAILABLE, sentence, [(b"Retry-After", b"%d" % site.limits.body_timeout)])

    def _body_ends(self) -> None:
        self.site.arriving -= self._arriving
        self._arriving = 0

    # Refusing

    def _respondToBadRequestAndDisconnect(self) -> None:
        """Twisted's parser calls this for whatever it dislikes, and for heads that are too large."""
        if self._receivedHeaderSize > self.totalHeadersSize or self._receivedHeaderCount > self.maxHeaders:
            self.refuse(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, "The headers are too many or too large.")
        else:
            self.refuse(HTTPStatus.BAD_REQUEST, "The request is not well-formed HTTP/1.1.")

    def refuse_body(self) -> None:
        """Refuse a body that is, or says that it will be, too large."""
        limit = self.site.limits.body
        self.refuse(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"The body is larger than {limit} bytes.")

    def _turn_away(self, refusal: Refusal) -> None:
        headers = [(name.encode("ascii"), value.encode("ascii")) for name, value in refusal.headers.items()]
        self.refuse(refusal.status, refusal.message, headers)

    def refuse(self, status: int, sentence: str, more: HeaderList = ()) -> None:
        """Answer a request that has not arrived as a whole, then linger.

        Args:
            status: The HTTP status.
            sentence: What was wrong, for the client.
            more: Further headers.
        """
        if self.phase >= LINGERING:
            return
        self._body_ends()
        own, body = self.site.refusal(status, sentence)
        headers = (*own, *more, *self._dress())
        ending = b"Connection: close\r\nContent-Length: %d\r\n\r\n" % len(body)
        send_now(self.transport, b"%b%b%b%b" % (self.site.head(status), encode_headers(headers), ending, body))
        for request in self.requests:
            request.channel = None
        self.requests = []
        self._transferDecoder = None
        if self.site.observer is not None:
            # what the request line says is not read: it may be what was wrong
            address = getattr(self.peer, "host", None)
            self.site.observer.responded(Responded(method="", path="", status=status, seconds=0.0, address=address))
        self._linger()

    def _dress(self) -> HeaderList:
        """What a page in a browser has to be told, as far as its request has come."""
        origin = self.requests[-1].header(b"origin") if self.requests else None
        return () if origin is None or self.site.dress is None else self.site.dress(origin)

    def _linger(self) -> None:
        """Close our sending half and throw away what comes in, so that the client gets to read our last word."""
        self._enter(LINGERING, self.site.limits.linger)
        self.setRawMode()
        # A registered producer keeps `loseWriteConnection` from ever being carried out once it was paused.
        self._networkProducer.unregisterProducer()
        if self.input_over:
            self._close_transport()
        elif not self.isSecure() and hasattr(self.transport, "loseWriteConnection"):
            # Twisted's TLS wrapper would pass it on to the socket, and cut TLS off.
            self.transport.loseWriteConnection()

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
            self._enter(IDLE, self.site.limits.idle_timeout)
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
            self._close_transport()
        else:
            self.deadline = 0.0
            self.transport.abortConnection()

    def retire(self) -> None:
        """Take no further request.

        A connection that was accepted a moment ago may have its first request on the way, so it gets a second. A head
        that has begun is left alone: when it is complete, `allHeadersReceived` sees that the site is draining.
        """
        if self.phase == IDLE and self.served:
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
        return self.phase in (HEAD, BODY) or (self.phase == IDLE and not self.served)

    @property
    def resting_since(self) -> float:
        """When the last request was answered, if there is none now; infinite if there is one."""
        if self.phase != IDLE or not self.served:
            return inf
        return self.deadline - self.site.limits.idle_timeout - 1.0

    def _close(self) -> None:
        """Close when all is sent; if the client is still sending, let it read our answer first."""
        if self._dropped:
            self._linger()
        else:
            self._networkProducer.unregisterProducer()
            self._close_transport()

    def _close_transport(self) -> None:
        self._enter(CLOSING, self.site.limits.write_stall)
        self.transport.loseConnection()

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
            self._schedule_probe(0)

    def _close_at_eof(self) -> None:
        if self.phase < LINGERING:
            self._networkProducer.unregisterProducer()
        self._close_transport()

    def writeConnectionLost(self) -> None:
        """Our sending half is closed, as we wanted."""

    def _schedule_probe(self, number: int) -> None:
        self._probe = None
        if number < len(PROBES):
            delay = PROBES[number] - (PROBES[number - 1] if number else 0.0)
            self._probe = self.site.clock.callLater(delay, self._probe_peer, number)

    def _probe_peer(self, number: int) -> None:
        self._schedule_probe(number + 1)
        self.check_peer()

    def check_peer(self) -> None:
        """Abort if the kernel knows that the client of a half-closed connection has gone."""
        if self.input_over and self.phase == RESPONDING and self._peer_has_reset():
            self.abort()

    def _peer_has_reset(self) -> bool:
        if TCP_INFO is None:
            return False
        try:
            state: int = self.transport.getHandle().getsockopt(socket.IPPROTO_TCP, TCP_INFO, 1)[0]
        except (OSError, AttributeError):
            return False
        return state == TCP_CLOSE

    def _stop_probing(self) -> None:
        probe, self._probe = self._probe, None
        if probe is not None:
            probe.cancel()

    def connectionLost(self, reason: Failure) -> None:
        """The connection is gone."""
        self.phase = CLOSING
        self.deadline = 0.0
        self._body_ends()
        self.site.forget(self)
        self._stop_probing()
        requests, self.requests = self.requests, []
        self._transferDecoder = None
        for request in requests:
            request.connectionLost(reason)
