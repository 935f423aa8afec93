"""What brings whole messages to a server and from it, and who takes them: the roles."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Protocol

from twisted.internet.defer import Deferred

from mcpserve.errors import ClientError
from mcpserve.protocol.revisions import Revision


class MessageChannel(Protocol):
    """Brings whole messages to a server and from it."""

    def send(self, message: bytes) -> Deferred[None] | None:
        """Send a message; never raises.

        Returns:
            None if nothing more will be known of it. Else it fires when the server has it, and fails with a
            ClientError if it may not have got it. Cancelled, it is given up: the server has it by now, or never will.
        """

    def agreed(self, revision: Revision) -> None:
        """The handshake has found the revision that is spoken from now on."""

    async def close(self) -> None:
        """Leave nothing behind; within a bound, and never raises. Its receiver hears no more."""


class Receiver(Protocol):
    """Takes what a channel brings."""

    def received(self, message: bytes) -> None:
        """A message has come. Never raises."""

    def overlong(self, excerpt: bytes, *, ended: bool) -> None:
        """A message is longer than the limit, and was not kept.

        Args:
            excerpt: How it begins, when that becomes known; how it ends, when its end has come.
            ended: Which of them.
        """

    def lost(self, reason: ClientError) -> None:
        """Nothing more will come. Called once at the most."""


Opener = Callable[[Receiver], Awaitable[MessageChannel]]
"""Makes a channel for a receiver. Raises ClientError. Cancelled, it leaves nothing behind."""
