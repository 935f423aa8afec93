"""What a session hears of: the lists that change, and the resources that it has subscribed to.

Spec: 2025-11-25 and before: Resources, Subscriptions; Tools, Prompts and Resources, List Changed Notification.
"""

from __future__ import annotations

from collections.abc import Callable, Collection

from mcpserve.errors import InvalidParams
from mcpserve.protocol.notices import RESOURCE, Notice, Topic
from mcpserve.protocol.revisions import Revision
from mcpserve.server.subscriptions import Subscriptions


class Watch:
    """The ears of one session. Implements `Listener`.

    While the session has no stream for what the server says of its own accord, notices wait, one for each topic: a
    client opens that stream a moment after the handshake, or again after a loss.

    Args:
        subscriptions: What there is to hear.
        revision: What the session negotiated.
        send: Sends an encoded notification; False when there is no stream to send it on.
        uris: The resources that the session has subscribed to before.

    Attributes:
        resources: True when resources can be subscribed to.
        uris: The resources that are.
    """

    def __init__(
        self,
        subscriptions: Subscriptions,
        revision: Revision,
        send: Callable[[bytes], bool],
        uris: Collection[str] = (),
    ) -> None:
        self._publisher = subscriptions.publisher
        self._most = subscriptions.limits.named
        self._send = send
        self._waiting: dict[Topic, Notice] = {}
        honoured = subscriptions.honoured(revision)
        self._lists = [key.topic for key in honoured if not key.many]
        self.resources = RESOURCE in honoured
        self.uris: dict[str, None] = dict.fromkeys(uris)
        self._publisher.listen(self, [*self._lists, *map(_topic, self.uris)])

    def subscribe(self, uri: str) -> None:
        """Hear of a resource.

        Raises:
            InvalidParams: The session has subscribed to too many.
        """
        if uri not in self.uris and len(self.uris) >= self._most:
            raise InvalidParams(f"A session may subscribe to {self._most} resources here at the most")
        self.uris[uri] = None
        self._publisher.listen(self, [_topic(uri)])

    def unsubscribe(self, uri: str) -> None:
        """Hear of it no more."""
        self.uris.pop(uri, None)
        self._waiting.pop(_topic(uri), None)
        self._publisher.leave(self, [_topic(uri)])

    def hear(self, notice: Notice) -> None:
        """See `Listener`."""
        if not self._send(notice.plain):
            self._waiting[notice.topic] = notice

    def opened(self) -> None:
        """There is a stream now: what waits is sent."""
        waiting, self._waiting = self._waiting, {}
        for notice in waiting.values():
            self.hear(notice)

    def close(self) -> None:
        """Hear no more: the session is over."""
        self._waiting.clear()
        self._publisher.leave(self, [*self._lists, *map(_topic, self.uris)])


def _topic(uri: str) -> Topic:
    return RESOURCE.name, uri
