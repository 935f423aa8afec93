"""The ways to a server, and what they need of the client that goes them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

import attrs

from mcpserve.client.conversation import Conversation, Host
from mcpserve.client.limits import Limits, Retries, Timeouts


@attrs.frozen(kw_only=True)
class Settings:
    """What all ways to a server need to know.

    Args:
        reactor: Time, connections, child processes.
        timeouts: How long to wait.
        limits: How much to take.
        retries: How often to try.
        revision: The one revision to speak; None to find out.
        random: Gives a number from 0 to 1, for the jitter of waiting times.
    """

    reactor: Any
    timeouts: Timeouts
    limits: Limits
    retries: Retries
    revision: str | None
    random: Callable[[], float]


class Opening(Protocol):
    """A way to a server."""

    async def open(self, host: Host, settings: Settings) -> Conversation:
        """Begin the conversation.

        Cancel: What was opened is closed.

        Raises:
            ClientError: It did not come about.
        """

    async def close(self) -> None:
        """Leave nothing behind of what the conversation stood on; after the conversation was closed, never raises."""
