"""What the client hands to its user, beside what a server defines (`mcpserve.protocol.types`): frozen values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import attrs

from mcpserve.protocol.inputs import SamplingMessage
from mcpserve.protocol.types import LogLevel, Message

_NOTHING: Mapping[str, Any] = {}


@attrs.frozen
class Progress:
    """How far a call has come.

    Args:
        value: How far; it grows with each message.
        total: How far there is to go in all, in the unit of `value`; None if nobody knows.
        message: What is being done, or a piece of the outcome: some servers stream their content here.

    Spec: Progress.
    """

    value: float
    total: float | None = None
    message: str | None = None

    @property
    def fraction(self) -> float | None:
        """The share that is done, 0 to 1; None if nobody knows."""
        return min(max(self.value / self.total, 0.0), 1.0) if self.total else None


@attrs.frozen
class LogMessage:
    """What a server says for the log.

    Args:
        level: How severe it is, "debug" to "emergency".
        data: Any JSON; often a text.
        logger: Which part of the server says it, if it says so.

    Spec: Logging.
    """

    level: LogLevel
    data: Any
    logger: str | None = None


@attrs.frozen
class Change:
    """The server tells of something that changed, or that it may have changed while nobody could hear of it.

    Args:
        method: The notification's method, such as "notifications/tools/list_changed".
        uri: Which resource, where the notification names one.
        params: The params as they came.
        missed: True when the subscription was interrupted: whether it changed meanwhile, nobody knows.

    Spec: Subscriptions; List Changed Notification.
    """

    method: str
    uri: str | None = None
    params: Mapping[str, Any] = attrs.field(default=_NOTHING, kw_only=True, repr=False, eq=False)
    missed: bool = attrs.field(default=False, kw_only=True)


Notice = Change | LogMessage
"""What a server says that belongs to no call."""


@attrs.frozen(kw_only=True)
class PromptResult:
    """A prompt, filled in. Spec: schema, GetPromptResult."""

    messages: Sequence[Message]
    description: str | None = None
    meta: Mapping[str, Any] | None = None
    extra: Mapping[str, Any] = attrs.field(factory=dict)


@attrs.frozen(kw_only=True)
class FormQuestion:
    """The server asks the user to fill in a form. Spec: Elicitation, Form Mode.

    Args:
        message: Why, in words for the user.
        schema: A flat JSON Schema of the answers.
        params: The params as they came.
    """

    message: str
    schema: Mapping[str, Any]
    params: Mapping[str, Any] = attrs.field(default=_NOTHING, repr=False)

    @property
    def defaults(self) -> dict[str, Any]:
        """What the fields hold if the user changes nothing."""
        return defaults_of(self.schema)


@attrs.frozen(kw_only=True)
class PageQuestion:
    """The server asks the user to visit a page. Spec: Elicitation, URL Mode.

    Args:
        message: Why, in words for the user.
        url: The page. Show it and ask before it is opened, and don't fetch it yourself.
        id: Names this visit in 2025-11-25.
        params: The params as they came.
    """

    message: str
    url: str
    id: str | None = None
    params: Mapping[str, Any] = attrs.field(default=_NOTHING, repr=False)


@attrs.frozen(kw_only=True)
class SamplingQuestion:
    """The server asks for a completion of a model. Spec: Sampling.

    Args:
        messages: The conversation so far.
        max_tokens: How long the completion may be.
        system_prompt: What the model should be told first.
        temperature: How much is left to chance.
        stop_sequences: Where the model stops.
        preferences: `modelPreferences` as it came: hints and priorities.
        tools: The tools that the model may want to use, as they came.
        params: The params as they came, with all that is not named here.
    """

    messages: tuple[SamplingMessage, ...]
    max_tokens: int
    system_prompt: str | None = None
    temperature: float | None = None
    stop_sequences: Sequence[str] = ()
    preferences: Mapping[str, Any] = _NOTHING
    tools: Sequence[Mapping[str, Any]] = ()
    params: Mapping[str, Any] = attrs.field(default=_NOTHING, repr=False)


def defaults_of(schema: Mapping[str, Any]) -> dict[str, Any]:
    """The defaults that the properties of a flat schema have."""
    properties = schema.get("properties")
    if not isinstance(properties, Mapping):
        return {}
    return {
        name: field["default"]
        for name, field in properties.items()
        if isinstance(field, Mapping) and "default" in field
    }
