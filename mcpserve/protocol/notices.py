"""What a server tells without being asked: a list, or one of many things, has changed.

A client chooses what it hears by a *filter*; each of its members is a *filter key*. What a notice is about is its
*topic*: the filter key, and of keys that name many things (the URIs of resources) the one that changed.

A notice is encoded when it is made, once for all who hear it. What differs between them is the id of their
subscription, which is put into a gap.

Spec: 2026-07-28, Subscriptions; 2025-11-25 and before: Tools, Prompts and Resources, List Changed Notification.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import attrs
import orjson

from mcpserve.errors import InvalidParams
from mcpserve.protocol import jsonrpc
from mcpserve.protocol.metadata import SUBSCRIPTION_ID
from mcpserve.protocol.types import RequestId

Topic = tuple[str, str | None]
Filter = Mapping[str, bool | Sequence[str]]


@attrs.frozen(kw_only=True)
class FilterKey:
    """A member of the filter of `subscriptions/listen`.

    Args:
        name: As it stands in the filter.
        capability: The server capability that it belongs to; without it the key is not honoured.
        flag: What the capability says when the key is honoured; None when it says nothing more.
        many: True when its value is a list of the things to hear of, False when it is a switch.
    """

    name: str
    capability: str
    flag: str | None
    many: bool = False

    @property
    def topic(self) -> Topic:
        """The topic of a key that is a switch."""
        return self.name, None


TOOLS = FilterKey(name="toolsListChanged", capability="tools", flag="listChanged")
PROMPTS = FilterKey(name="promptsListChanged", capability="prompts", flag="listChanged")
RESOURCES = FilterKey(name="resourcesListChanged", capability="resources", flag="listChanged")
RESOURCE = FilterKey(name="resourceSubscriptions", capability="resources", flag="subscribe", many=True)
FILTER_KEYS = (TOOLS, PROMPTS, RESOURCES, RESOURCE)


@attrs.frozen(kw_only=True)
class Notice:
    """Something has changed. Two notices with the same topic say the same, or the later one says it better.

    Args:
        method: The notification's method.
        topic: What it is about.
        plain: The encoded notification for a session.
        gap: The encoded notification for subscriptions, before and after the id.
        audience: Tells of a caller whether it is told; None when everybody is who listens.
    """

    method: str
    topic: Topic
    plain: bytes = attrs.field(repr=False)
    gap: tuple[bytes, bytes] = attrs.field(repr=False)
    audience: Callable[[Any], bool] | None = attrs.field(default=None, eq=False, repr=False)

    @property
    def subject(self) -> str | None:
        """The one of many things that it is about, such as the URI of a resource."""
        return self.topic[1]

    def after(self, earlier: Notice | None) -> Notice:
        """This one in the place of an earlier one with the same topic, which nobody was told yet: it is for both
        audiences.
        """
        mine, others = self.audience, None if earlier is None else earlier.audience
        if earlier is None or mine is None or mine is others:
            return self
        return attrs.evolve(self, audience=None if others is None else lambda caller: mine(caller) or others(caller))

    def tagged(self, encoded_id: bytes) -> bytes:
        """The encoded notification for the subscription with this id.

        Spec: Subscriptions: "All notifications delivered on the stream carry io.modelcontextprotocol/subscriptionId in
        _meta"; "the value is the JSON-RPC ID of the subscriptions/listen request".
        """
        return self.gap[0] + encoded_id + self.gap[1]


def notice(method: str, key: FilterKey, subject: str | None = None, params: Mapping[str, Any] | None = None) -> Notice:
    """Make a notice.

    Args:
        method: The notification's method.
        key: The filter key with which a client asks for it.
        subject: Which of many things it is about; None for a key that is a switch.
        params: The notification's params, without `_meta`.

    Raises:
        TypeError: The params have no form in JSON.
    """
    members = orjson.dumps(params or {})[1:-1]
    head = b'{"jsonrpc":"2.0","method":%b,"params":{"_meta":{"%b":'
    return Notice(
        method=method,
        topic=(key.name, subject),
        plain=jsonrpc.encode_notification(method, params),
        gap=(
            head % (orjson.dumps(method), SUBSCRIPTION_ID.encode("ascii")),
            b"},%b}}" % members if members else b"}}}",
        ),
    )


TOOLS_CHANGED = notice("notifications/tools/list_changed", TOOLS)
PROMPTS_CHANGED = notice("notifications/prompts/list_changed", PROMPTS)
RESOURCES_CHANGED = notice("notifications/resources/list_changed", RESOURCES)


def resource_updated(uri: str) -> Notice:
    """The notice that a resource has changed.

    Raises:
        TypeError: The URI is no text, or no Unicode.
    """
    if not isinstance(uri, str):
        raise TypeError(f"a URI is a text, not {type(uri).__name__}")
    return notice("notifications/resources/updated", RESOURCE, uri, {"uri": uri})


def acknowledged(honoured: Filter, request_id: RequestId) -> bytes:
    """`notifications/subscriptions/acknowledged`, encoded. Spec: Subscriptions, Acknowledgment."""
    params = {"_meta": {SUBSCRIPTION_ID: request_id}, "notifications": dict(honoured)}
    return jsonrpc.encode_notification("notifications/subscriptions/acknowledged", params)


LONGEST_NAMES = 64 * 1024
"""Characters of all names in one filter; they are kept for as long as the stream is open."""


def read_filter(params: Mapping[str, Any], keys: Sequence[FilterKey], most: int) -> dict[str, bool | list[str]]:
    """Read the filter of `subscriptions/listen`: what the client asks for, and what of it is known here.

    Args:
        params: The request's params.
        keys: The known keys; others are left out, as are switches that are off.
        most: How many things the lists of the filter may name in all.

    Raises:
        InvalidParams: There is no filter, a known key has a value of another kind, or the lists are too long.
    """
    wanted = params.get("notifications")
    if not isinstance(wanted, dict):
        raise InvalidParams("params.notifications must be an object: the notifications to listen for")
    found = {key.name: _value(key, wanted[key.name]) for key in keys if key.name in wanted}
    named = [name for value in found.values() if isinstance(value, list) for name in value]
    if len(named) > most:
        raise InvalidParams(f"params.notifications: a subscription may name {most} things here at the most")
    if sum(map(len, named)) > LONGEST_NAMES:
        raise InvalidParams(f"params.notifications: the names in it may have {LONGEST_NAMES} characters in all")
    return {name: value for name, value in found.items() if value is not False}


def topics(honoured: Filter) -> Iterator[Topic]:
    """What a subscription with this filter hears of."""
    for name, value in honoured.items():
        if isinstance(value, bool):
            yield name, None
        else:
            yield from ((name, subject) for subject in value)


def _value(key: FilterKey, value: Any) -> bool | list[str]:
    if not key.many:
        if not isinstance(value, bool):
            raise InvalidParams(f"params.notifications.{key.name} must be true or false")
        return value
    if not isinstance(value, list) or not all(isinstance(one, str) for one in value):
        raise InvalidParams(f"params.notifications.{key.name} must be a list of strings")
    return list(dict.fromkeys(value))
