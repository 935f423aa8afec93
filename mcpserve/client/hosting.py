"""The client, as conversations see it: what it is, what it can be asked, and who hears what the server tells."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from twisted.internet.defer import maybeDeferred
from twisted.logger import Logger

from mcpserve.client.answering import Handlers
from mcpserve.client.calls import LOG, event_of
from mcpserve.client.listening import change_of
from mcpserve.client.subscribing import Listeners
from mcpserve.client.values import LogMessage, Notice
from mcpserve.errors import ClientError
from mcpserve.protocol.jsonrpc import Notification, Request
from mcpserve.protocol.revisions import LATEST_LEGACY, Revision
from mcpserve.protocol.types import LOG_LEVELS, Implementation, LogLevel

_log = Logger()
Ear = Callable[[Notification], None]


class Hosting:
    """Implements `mcpserve.client.conversation.Host`.

    Args:
        implementation: The client's name and version.
        handlers: Those who answer the server.
        log_level: The least severe log messages that are wanted.
        on_notice: The user's ear for what belongs to no call.
    """

    def __init__(
        self,
        implementation: Implementation,
        handlers: Handlers,
        log_level: LogLevel | None,
        on_notice: Callable[[Notice], None] | None,
    ) -> None:
        self.implementation = implementation
        self.capabilities: Mapping[str, Any] = handlers.capabilities()
        self.log_level = log_level
        self.revision: Revision = LATEST_LEGACY
        """The revision that is spoken, once that is known."""
        self.ears: tuple[Ear, ...] = ()
        """Those of our own who hear of notifications before the user does."""
        self.forgetting: Callable[[], object] = lambda: None
        """Forgets what is kept of the server for as long as it tells of changes."""
        self.listeners: Listeners | None = None
        """Those who wait for changes in a session."""
        self._handlers = handlers
        self._on_notice = on_notice

    def heard(self, notification: Notification) -> None:
        """See `Host`."""
        for ear in self.ears:
            ear(notification)
        if self._on_notice is None or notification.method == "notifications/progress":
            return
        if notification.method == LOG and not self.wanted(notification):
            return
        event = event_of(notification)
        notice = event if isinstance(event, LogMessage) else change_of(notification)
        maybeDeferred(self._on_notice, notice).addErrback(
            lambda failure: _log.failure("The user's on_notice failed", failure=failure)
        )

    @property
    def listens(self) -> bool:
        """See `Host`."""
        return self.listeners is not None and self.listeners.listen

    def missed(self) -> None:
        """See `Host`."""
        self.forgetting()
        if self.listeners is not None:
            self.listeners.missed()

    def deaf(self, error: ClientError) -> None:
        """See `Host`."""
        if self.listeners is not None:
            self.listeners.fail(error)

    def wanted(self, log_message: Notification) -> bool:
        """Tell whether a log message is severe enough: many servers send all they have, and know no levels."""
        level = log_message.params.get("level")
        if self.log_level is None or level not in LOG_LEVELS:
            return True
        return LOG_LEVELS.index(level) >= LOG_LEVELS.index(self.log_level)

    async def answer(self, question: Request) -> Mapping[str, Any]:
        """See `Host`."""
        return await self._handlers.answer(question.method, question.params, self.revision)
