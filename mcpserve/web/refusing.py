"""Refusing a request that is still on its way.

What this file guarantees:

1. A request that is refused while it still arrives gets its answer: our sending half is closed and the rest of the
   input is thrown away for a while, because closing with unread input makes the kernel reset the connection and lose
   the answer.
2. Bodies that arrive are counted, those of each connection and all together, and given back however they end. What
   would be too much is refused.
3. What is answered here is in the words of the site, and readable for the page in a browser that asked.
"""

from __future__ import annotations

from http import HTTPStatus

from mcpserve.errors import Refusal
from mcpserve.server.observing import Responded
from mcpserve.web.parsing import StrictChannel
from mcpserve.web.phases import CLOSING, IDLE, LINGERING
from mcpserve.web.request import SMALL_BODY
from mcpserve.web.sending import HeaderList, encode_headers, send_now


class RefusingChannel(StrictChannel):
    """A connection that can say no at any time, and be heard."""

    deadline = 0.0
    phase = IDLE
    input_over = False
    _arriving = 0

    def enter(self, phase: int, seconds: float) -> None:
        """Be in another phase, for so long at the most."""
        self.phase = phase
        self.deadline = self.site.deadline_after(seconds)

    def refuse(self, status: int, sentence: str, more: HeaderList = ()) -> None:
        """Answer a request that has not arrived as a whole, then linger.

        Args:
            status: The HTTP status.
            sentence: What was wrong, for the client.
            more: Further headers.
        """
        if self.phase >= LINGERING:
            return
        self.body_ends()
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
        self.linger()

    def turn_away(self, refusal: Refusal) -> None:
        """Answer with what the crowd said of the whole connection."""
        headers = [(name.encode("ascii"), value.encode("ascii")) for name, value in refusal.headers.items()]
        self.refuse(refusal.status, refusal.message, headers)

    def refuse_body(self) -> None:
        """Refuse a body that is, or says that it will be, too large."""
        limit = self.site.limits.body
        self.refuse(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"The body is larger than {limit} bytes.")

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

    def body_ends(self) -> None:
        """The body is here, or will not come: it arrives no longer."""
        self.site.arriving -= self._arriving
        self._arriving = 0

    def linger(self) -> None:
        """Close our sending half and throw away what comes in, so that the client gets to read our last word."""
        self.enter(LINGERING, self.site.limits.linger)
        self.setRawMode()
        # A registered producer keeps `loseWriteConnection` from ever being carried out once it was paused.
        self._networkProducer.unregisterProducer()
        if self.input_over:
            self.close_transport()
        elif not self.isSecure() and hasattr(self.transport, "loseWriteConnection"):
            # Twisted's TLS wrapper would pass it on to the socket, and cut TLS off.
            self.transport.loseWriteConnection()

    def close_transport(self) -> None:
        """Close when all is sent."""
        self.enter(CLOSING, self.site.limits.write_stall)
        self.transport.loseConnection()

    def _dress(self) -> HeaderList:
        """What a page in a browser has to be told, as far as its request has come."""
        origin = self.requests[-1].header(b"origin") if self.requests else None
        return () if origin is None or self.site.dress is None else self.site.dress(origin)
