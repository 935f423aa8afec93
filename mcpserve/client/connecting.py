"""From no connection to one that has been greeted, and what is left of the connections before."""

from __future__ import annotations

import attrs
from twisted.internet.defer import Deferred

from mcpserve.client.channel import MessageChannel, Opener
from mcpserve.client.conversation import Host, ServerDescription
from mcpserve.client.handshake import Died, Handshake
from mcpserve.client.link import Link, Owner
from mcpserve.errors import ClientClosed


class Graves:
    """Channels that are being closed."""

    def __init__(self) -> None:
        self._open: set[MessageChannel] = set()
        self._visitors: list[Deferred[None]] = []

    def bury(self, channel: MessageChannel) -> None:
        """Close a channel, without waiting."""
        if channel not in self._open:
            self._open.add(channel)
            Deferred.fromCoroutine(channel.close()).addBoth(self._closed, channel)

    async def empty(self) -> None:
        """Wait until all are closed. Cancelling it leaves them to themselves."""
        if self._open:
            visitor: Deferred[None] = Deferred(self._visitors.remove)
            self._visitors.append(visitor)
            await visitor

    def _closed(self, outcome: object, channel: MessageChannel) -> object:
        self._open.discard(channel)
        if not self._open:
            visitors, self._visitors = self._visitors, []
            for visitor in visitors:
                visitor.callback(None)
        return outcome


class Connector:
    """Makes connections to one server; remembers in which era it was greeted the last time.

    Args:
        host: The client.
        opener: Makes a channel.
        handshake: How it begins.
        graves: Where channels go that are not used after all.
    """

    def __init__(self, host: Host, opener: Opener, handshake: Handshake, graves: Graves) -> None:
        self._host = host
        self._opener = opener
        self._handshake = handshake
        self._known = handshake
        self._graves = graves

    async def connect(self, owner: Owner) -> tuple[Link, ServerDescription]:
        """Make a connection for an owner, and greet the server.

        Cancel: What was opened is buried.

        Raises:
            ClientError: It did not come about. What was opened is buried.
        """
        known = self._known
        try:
            link, found = await self._greet(owner, known)
        except Died:
            await self._graves.empty()
            link, found = await self._greet(owner, attrs.evolve(known, probes=False))
        # "Clients SHOULD cache the result [...], re-probing if the cached assumption later fails." (Versioning)
        self._known = attrs.evolve(known, probes=found.revision.modern)
        return link, found

    async def _greet(self, owner: Owner, handshake: Handshake) -> tuple[Link, ServerDescription]:
        link = Link(self._host, owner, handshake.bounds.peer)
        channel = await self._opener(link)
        self._known = self._handshake
        stands = False
        try:
            link.channel = channel
            found = await handshake.shake(link)
            if link.gone is not None:
                raise link.gone
            stands = True
            return link, found
        finally:
            if not stands:
                link.end(ClientClosed("The connection was given up"))
                self._graves.bury(channel)
