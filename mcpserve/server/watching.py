"""What a session hears of: the lists that change, and the resources that it has subscribed to.

Spec: 2025-11-25 and before: Resources, Subscriptions; Tools, Prompts and Resources, List Changed Notification.
"""

from __future__ import annotations

from collections.abc import Callable, Collection

from mcpserve.errors import InvalidParams, UnknownResource
from mcpserve.policy.callers import ANONYMOUS, Caller
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
        caller: Whose session it is.

    Attributes:
        caller: Whose session it is, with what its last request has shown; may be replaced.
        uris: The resources that it has subscribed to.
    """

    def __init__(
        self,
        subscriptions: Subscriptions,
        revision: Revision,
        send: Callable[[bytes], bool],
        uris: Collection[str] = (),
        *,
        caller: Caller = ANONYMOUS,
    ) -> None:
        self.caller = caller
        self._publisher = subscriptions.publisher
        self._subscriptions = subscriptions
        self._revision = revision
        self._send = send
        self._waiting: dict[Topic, Notice] = {}
        # those that were declared: "servers that declared the listChanged capability SHOULD send a notification"
        self._lists = [key.topic for key in subscriptions.honoured(revision) if not key.many]
        self.uris: dict[str, None] = dict.fromkeys(uris)
        self._publisher.listen(self, [*self._lists, *map(_topic, self.uris)])

    @property
    def resources(self) -> bool:
        """True when resources are served, and can be subscribed to."""
        return RESOURCE in self._subscriptions.honoured(self._revision)

    def subscribe(self, uri: str) -> None:
        """Hear of a resource.

        Raises:
            UnknownResource: There is none with this URI for this caller.
            Refusal: 403; the credential lacks scopes, and nothing else.
            InvalidParams: The session has subscribed to too many.
        """
        if not self._subscriptions.knows(uri, self.caller, self._revision):
            raise UnknownResource(uri)
        most = self._subscriptions.limits.named
        if uri not in self.uris and len(self.uris) >= most:
            raise InvalidParams(f"A session may subscribe to {most} resources here at the most")
        self.uris[uri] = None
        self._publisher.listen(self, [_topic(uri)])

    def unsubscribe(self, uri: str) -> None:
        """Hear of it no more."""
        self.uris.pop(uri, None)
        self._waiting.pop(_topic(uri), None)
        self._publisher.leave(self, [_topic(uri)])

    def hear(self, notice: Notice) -> None:
        """See `Listener`."""
        if not self._subscriptions.tells(notice, self.caller):
            return
        if not self._send(notice.plain):
            self._publisher.coalesced += notice.topic in self._waiting
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
