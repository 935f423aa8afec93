"""A conversation over one channel that carries everything: both eras, and from one channel to the next.

    the channel is       requests that are under way        requests that come
    open                 have it                             are sent
    lost                 fail; what only reads is kept       wait for the next one
    given up             fail                                begin anew

A channel that is lost is replaced when somebody needs it, or when the server was told something that it is to keep
for us: subscriptions, the log level; or when somebody listens. What it was told, the next one is told again. Attempts
grow rarer, and end after some that failed in a row; so does a server that falls down over and over before it has
answered anything.

Spec: 2026-07-28, stdio, Unexpected Termination: "the client SHOULD restart it".
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall
from twisted.internet.task import deferLater
from twisted.logger import Logger
from twisted.python.failure import Failure

from mcpserve.client.channel import Opener
from mcpserve.client.connecting import Connector, Graves
from mcpserve.client.conversation import Host, Outgoing, ServerDescription
from mcpserve.client.flight import LISTEN, Bounds, Flight
from mcpserve.client.handshake import Handshake
from mcpserve.client.link import Link
from mcpserve.client.session import Kept
from mcpserve.errors import AnswerLost, ClientClosed, ClientError, Unreachable
from mcpserve.protocol.jsonrpc import Response

_log = Logger()


class Duplex:
    """Talks to one server over channels, one at a time. Implements `Conversation`, `link.Owner` and `flight.Place`.

    Args:
        host: The client.
        opener: Makes a channel.
        handshake: How a channel begins.
        bounds: How long requests take, and how often a channel is made again.
        on_close: Called once when it is closed.
    """

    def __init__(
        self,
        host: Host,
        opener: Opener,
        *,
        handshake: Handshake,
        bounds: Bounds,
        on_close: Callable[[], object] = lambda: None,
    ) -> None:
        self._host = host
        self._graves = Graves()
        self._connector = Connector(host, opener, handshake, self._graves)
        self._bounds = bounds
        self._terms = bounds.terms
        self._on_close = on_close
        self._description: ServerDescription | None = None
        self._link: Link | None = None
        self._proven_after = 0.0
        self._not_before = 0.0
        self._failures = 0
        self._waiting: list[Flight] = []
        self._visitors: list[Deferred[Link]] = []
        self._connecting: Deferred[tuple[Link, ServerDescription]] | None = None
        self._opening: Deferred[tuple[Link, ServerDescription]] | None = None
        self._later: IDelayedCall | None = None
        self._kept = Kept()
        self._ours: set[Flight] = set()
        self._closed = False

    @property
    def server(self) -> ServerDescription:
        """See `Conversation`."""
        if self._description is None:
            raise ClientClosed("The conversation has not begun")
        return self._description

    async def open(self) -> None:
        """Begin.

        Cancel: Nothing is left of it.

        Raises:
            ClientError: It did not come about. Nothing is left of it.
        """
        connecting = Deferred.fromCoroutine(self._connector.connect(self))
        self._connecting = connecting
        try:
            self._stand(await connecting)
        except AnswerLost as error:
            raise Unreachable(str(error)) from None
        finally:
            self._connecting = None
            if self._description is None:
                await self.close()

    def request(self, outgoing: Outgoing) -> Flight:
        """See `Conversation`."""
        flight = Flight(outgoing, self._bounds, self)
        if self._closed:
            flight.fail(_closed())
        elif self._link is not None:
            self._link.start(flight)
        else:
            self._waiting.append(flight)
            self._open_again()
        return flight

    async def notify(self, method: str, params: Mapping[str, Any]) -> None:
        """See `Conversation`."""
        link = await self._standing()
        sent = link.notify(method, params)
        if sent is not None:
            await sent

    async def close(self) -> None:
        """See `Conversation`."""
        if not self._closed:
            self._closed = True
            self._on_close()
            if self._later is not None:
                self._later.cancel()
            for opening in (self._connecting, self._opening):
                if opening is not None:
                    opening.cancel()
            self._tell(_closed())
            link, self._link = self._link, None
            if link is not None and link.channel is not None:
                link.end(_closed())
                self._graves.bury(link.channel)
        await self._graves.empty()

    def left(self, flight: Flight, reason: str | None) -> None:
        """See `Place`: it will not be sent."""
        if flight in self._waiting:
            self._waiting.remove(flight)

    def answered(self, link: Link, flight: Flight, response: Response) -> None:
        """See `Owner`."""
        if flight in self._ours:
            self._ours.discard(flight)
        elif link is self._link:
            self._failures = 0
            if response.error is None and not self.server.revision.modern:
                self._kept.note(flight.outgoing.method, flight.outgoing.params)

    def unsent(self, link: Link, flight: Flight, error: BaseException) -> None:
        """See `Owner`. What may be repeated is, a little later: perhaps the whole connection is going."""
        again = isinstance(error, (AnswerLost, Unreachable)) and link is self._link and not self._closed
        if not again or not self._takes_back(flight):
            flight.fail(error)
        elif self._later is None:
            delay = self._terms.retries.delay(0, self._terms.random())
            self._later = self._terms.clock.callLater(delay, self._send_again)

    def lost(self, link: Link, reason: ClientError, flights: list[Flight]) -> None:
        """See `Owner`."""
        if link is self._link:
            self._link = None
            self._ours.clear()
            self._count(link)
            flights = [flight for flight in flights if not self._takes_back(flight)]
        for flight in flights:
            flight.fail(reason)
        if self._failures > self._terms.retries.attempts:
            self._failures = 0
            self._tell(reason)
            self._host.deaf(reason)
        elif self._waiting or any(self._kept.requests()) or self._host.listens:
            self._open_again()

    def _count(self, link: Link) -> None:
        """A server that falls before it has answered anything counts like one that does not start."""
        now = self._terms.clock.seconds()
        if now >= self._proven_after:
            self._failures = 0
        self._not_before = now + self._terms.retries.delay(self._failures, self._terms.random())
        self._failures += 1
        if link.channel is not None:
            self._graves.bury(link.channel)

    def _send_again(self) -> None:
        self._later = None
        if self._link is not None:
            self._start_waiting(self._link)

    def _takes_back(self, flight: Flight) -> bool:
        """Keep a request for the next channel, if it may be repeated; but none that seems to be what kills servers."""
        listens = flight.outgoing.method == LISTEN and flight.heard
        if not flight.outgoing.repeatable or (flight.repeated and not listens):
            return False
        flight.again()
        flight.place = self
        self._waiting.append(flight)
        return True

    async def _standing(self) -> Link:
        if self._closed:
            raise _closed()
        if self._link is not None:
            return self._link
        visitor: Deferred[Link] = Deferred(self._visitors.remove)
        self._visitors.append(visitor)
        self._open_again()
        return await visitor

    def _open_again(self) -> None:
        if self._opening is None and self._link is None and not self._closed:
            self._opening = Deferred.fromCoroutine(self._try())
            self._opening.addCallbacks(self._opened, self._gave_up)

    async def _try(self) -> tuple[Link, ServerDescription]:
        """Try until it succeeds, or has failed often enough."""
        clock = self._terms.clock
        while True:
            await deferLater(clock, max(0.0, self._not_before - clock.seconds()))
            await self._graves.empty()
            try:
                return await self._connector.connect(self)
            except ClientError as error:
                self._not_before = clock.seconds() + self._terms.retries.delay(self._failures, self._terms.random())
                self._failures += 1
                if self._failures > self._terms.retries.attempts:
                    raise
                _log.warn("{peer} is not back yet: {reason}", peer=self._bounds.peer, reason=error)

    def _opened(self, found: tuple[Link, ServerDescription]) -> None:
        self._opening = None
        self._stand(found)

    def _stand(self, found: tuple[Link, ServerDescription]) -> None:
        is_first, (link, self._description) = self._description is None, found
        self._link = link
        self._proven_after = self._terms.clock.seconds() + self._terms.retries.longest
        for method, params in self._kept.requests() if not self._description.revision.modern else ():
            self._tell_again(link, Outgoing(method=method, params=params))
        self._start_waiting(link)
        visitors, self._visitors = self._visitors, []
        for visitor in visitors:
            visitor.callback(link)
        if not is_first:
            self._host.missed()

    def _start_waiting(self, link: Link) -> None:
        waiting, self._waiting = self._waiting, []
        for flight in waiting:
            link.start(flight)

    def _tell_again(self, link: Link, outgoing: Outgoing) -> None:
        flight = Flight(outgoing, self._bounds, link)
        self._ours.add(flight)
        link.start(flight)

    def _gave_up(self, failure: Failure) -> None:
        self._opening = None
        if self._closed:
            return
        self._failures, self._not_before = 0, 0.0
        error = failure.value
        gone = error if error is not None and not isinstance(error, AnswerLost) else Unreachable(str(error))
        self._tell(gone)
        if isinstance(gone, ClientError):
            self._host.deaf(gone)

    def _tell(self, error: BaseException) -> None:
        """Nothing comes of what waits."""
        waiting, self._waiting = self._waiting, []
        for flight in waiting:
            flight.fail(error)
        visitors, self._visitors = self._visitors, []
        for visitor in visitors:
            visitor.errback(error)


def _closed() -> ClientClosed:
    return ClientClosed("The client was closed")
