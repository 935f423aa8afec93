"""What a server may ask its client while it works on a request: the shapes of the questions and of the answers.

    question                      the client declares    known since
    elicitation/create, form      elicitation            2025-06-18
    elicitation/create, url       elicitation.url        2025-11-25
    sampling/createMessage        sampling               2024-11-05
      with tools                  sampling.tools         2025-11-25
    roots/list                    roots                  2024-11-05

Before 2026-07-28 a question is a request of the server's own; since then it travels in an `InputRequiredResult`, and
the answer in the request that the client sends again.
Spec: 2026-07-28, Multi Round-Trip Requests; Client Features (each revision).
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Literal

import attrs

from mcpserve.protocol import wire
from mcpserve.protocol.revisions import Revision
from mcpserve.protocol.types import ABSENT, Audio, Content, Image, Text

ACTIONS = ("accept", "decline", "cancel")
Action = Literal["accept", "decline", "cancel"]
Needs = tuple[str, ...]

FORM: Needs = ("elicitation", "form")
URL: Needs = ("elicitation", "url")
SAMPLING: Needs = ("sampling",)
SAMPLING_TOOLS: Needs = ("sampling", "tools")
ROOTS: Needs = ("roots",)


@attrs.frozen(kw_only=True)
class InputRequest:
    """One question as it goes on the wire.

    Args:
        key: Its name among the questions of a request.
        method: What is asked for.
        params: The params of that method; None leaves them out.
        needs: The path of the client capability that allows it.
    """

    key: str
    method: str
    params: Mapping[str, Any] | None
    needs: Needs

    @property
    def shape(self) -> dict[str, Any]:
        """`InputRequest`, without `jsonrpc` and `id`."""
        shape: dict[str, Any] = {"method": self.method}
        return shape if self.params is None else {**shape, "params": self.params}


def undeclared(requests: Sequence[InputRequest], capabilities: Mapping[str, Any]) -> dict[str, Any]:
    """What the client would have to declare and did not, in the shape of `ClientCapabilities`; empty if nothing.

    Spec: Multi Round-Trip Requests: "Servers MUST NOT send an inputRequests that the client has not declared support
    for in its capabilities."
    """
    required: dict[str, Any] = {}
    for request in requests:
        if not declares(capabilities, request.needs):
            place = required
            for name in request.needs:
                place = place.setdefault(name, {})
    return required


def declares(capabilities: Mapping[str, Any], needs: Needs) -> bool:
    """Tell whether the client declared a capability.

    Spec: Elicitation: "For backwards compatibility, an empty capabilities object is equivalent to declaring support for
    form mode only".
    """
    declared = capabilities.get(needs[0])
    if not isinstance(declared, dict):
        return False
    if needs == FORM:
        return "form" in declared or "url" not in declared
    return all(name in declared for name in needs[1:])


# --- sampling


@attrs.frozen
class ToolUse:
    """A model wants a tool of the sampling request to be used."""

    id: str
    name: str
    input: Mapping[str, Any]


@attrs.frozen
class ToolOutcome:
    """What a tool gave for one such use: the id of the use, and content for the model."""

    tool_use_id: str
    content: Sequence[Content]
    structured: Any = attrs.field(default=ABSENT, kw_only=True)
    is_error: bool = attrs.field(default=False, kw_only=True)


SamplingContent = Text | Image | Audio | ToolUse | ToolOutcome
Role = Literal["user", "assistant"]


def _as_blocks(content: str | SamplingContent | Sequence[SamplingContent]) -> tuple[SamplingContent, ...]:
    if isinstance(content, str):
        return (Text(content),)
    if isinstance(content, SamplingContent):
        return (content,)
    return tuple(content)


@attrs.frozen
class SamplingMessage:
    """One message of a conversation with a model: who says it, and a text, a block or several blocks."""

    role: Role
    content: tuple[SamplingContent, ...] = attrs.field(converter=_as_blocks)


@attrs.frozen(kw_only=True)
class Sampled:
    """What a model said.

    Args:
        content: The blocks, in order.
        model: The name of the model.
        stop_reason: Why it stopped: "endTurn", "stopSequence", "maxTokens", "toolUse", another word, or None.
        role: Who says it; normally "assistant".
    """

    content: tuple[SamplingContent, ...]
    model: str
    stop_reason: str | None = None
    role: Role = "assistant"

    @property
    def text(self) -> str:
        """The text blocks, joined by line breaks."""
        return "\n".join(block.text for block in self.content if isinstance(block, Text))

    @property
    def tool_uses(self) -> tuple[ToolUse, ...]:
        """The tools that the model wants to be used."""
        return tuple(block for block in self.content if isinstance(block, ToolUse))

    @property
    def message(self) -> SamplingMessage:
        """The same as a message, to go on with the conversation."""
        return SamplingMessage(self.role, self.content)


def sampling_message(message: SamplingMessage, revision: Revision) -> dict[str, Any]:
    """`SamplingMessage`. One block stands alone, as the revisions before 2025-11-25 know no list."""
    blocks = [_sampling_block(block, revision) for block in message.content]
    return {"role": message.role, "content": blocks[0] if len(blocks) == 1 else blocks}


def _sampling_block(block: SamplingContent, revision: Revision) -> dict[str, Any]:
    if isinstance(block, ToolUse):
        return {"type": "tool_use", "id": block.id, "name": block.name, "input": dict(block.input)}
    if isinstance(block, ToolOutcome):
        shape: dict[str, Any] = {
            "type": "tool_result",
            "toolUseId": block.tool_use_id,
            "content": [wire.content(inner, revision) for inner in block.content],
        }
        if block.structured is not ABSENT:
            shape["structuredContent"] = block.structured
        return {**shape, "isError": True} if block.is_error else shape
    return wire.content(block, revision)


def unbalanced(messages: Sequence[SamplingMessage]) -> str | None:
    """Say what is wrong with the tool uses and their outcomes in a conversation, if anything is.

    Spec: Sampling: "every assistant message containing ToolUseContent blocks MUST be followed by a user message that
    consists entirely of ToolResultContent blocks"; a message with tool results "MUST contain ONLY tool results".
    """
    open_uses: set[str] = set()
    for message in messages:
        outcomes = {block.tool_use_id for block in message.content if isinstance(block, ToolOutcome)}
        if outcomes and len(outcomes) != len(message.content):
            return "a message with outcomes of tools holds nothing else, and one outcome for each use"
        if outcomes != open_uses or (outcomes and message.role != "user"):
            return "each use of a tool is followed by a message of the user with its outcome, before any other message"
        uses = {block.id for block in message.content if isinstance(block, ToolUse)}
        if uses and message.role != "assistant":
            return "a use of a tool is said by the assistant"
        open_uses = uses
    return "the conversation ends with uses of tools that have no outcome" if open_uses else None


# --- roots


@attrs.frozen
class Root:
    """A directory or file that the client finds relevant: a `file:` URI, and perhaps a name."""

    uri: str
    name: str | None = None


# --- what clients answer


def read_elicitation(value: Any) -> tuple[Action, Mapping[str, Any]]:
    """Read an `ElicitResult`: what the user did, and the form as it was sent.

    Raises:
        ValueError: It has another shape; the sentence says which member.
    """
    action = _member(value, "action")
    if action not in ACTIONS:
        raise ValueError(f'"action" must be one of {", ".join(ACTIONS)}')
    content = value.get("content")
    if content is None or action != "accept":
        return action, {}
    if not isinstance(content, dict):
        raise ValueError('"content" must be an object')
    return action, content


def read_sampled(value: Any) -> Sampled:
    """Read a `CreateMessageResult`.

    Raises:
        ValueError: It has another shape; the sentence says which member.
    """
    role, content, model = (_member(value, name) for name in ("role", "content", "model"))
    if role not in ("user", "assistant"):
        raise ValueError('"role" must be "user" or "assistant"')
    if not isinstance(model, str):
        raise ValueError('"model" must be a string')
    reason = value.get("stopReason")
    if not isinstance(reason, str | None):
        raise ValueError('"stopReason" must be a string')
    blocks = content if isinstance(content, list) else [content]
    return Sampled(role=role, content=tuple(_blocks(blocks)), model=model, stop_reason=reason)


def read_roots(value: Any) -> tuple[Root, ...]:
    """Read a `ListRootsResult`.

    Raises:
        ValueError: It has another shape; the sentence says which member.
    """
    roots = _member(value, "roots")
    if not isinstance(roots, list):
        raise ValueError('"roots" must be an array')
    return tuple(map(_root, roots))


def _root(value: Any) -> Root:
    uri, name = _member(value, "uri"), value.get("name")
    # "This MUST be a file:// URI in the current specification" (Roots)
    if not (isinstance(uri, str) and uri.startswith("file://")):
        raise ValueError('"uri" of a root must be a file:// URI')
    if not isinstance(name, str | None):
        raise ValueError('"name" of a root must be a string')
    return Root(uri, name)


def _blocks(values: Sequence[Any]) -> Iterator[SamplingContent]:
    for value in values:
        kind = _member(value, "type")
        read = _READERS.get(kind) if isinstance(kind, str) else None
        if read is None:
            raise ValueError('"content" has a block of an unknown type')
        yield read(value)


def _text(value: Mapping[str, Any]) -> Text:
    return Text(_of(str, value, "text"))


def _image(value: Mapping[str, Any]) -> Image:
    return Image(_bytes(value), _of(str, value, "mimeType"))


def _audio(value: Mapping[str, Any]) -> Audio:
    return Audio(_bytes(value), _of(str, value, "mimeType"))


def _tool_use(value: Mapping[str, Any]) -> ToolUse:
    return ToolUse(_of(str, value, "id"), _of(str, value, "name"), _of(dict, value, "input"))


_READERS: Mapping[str, Callable[[Mapping[str, Any]], SamplingContent]] = {
    "text": _text,
    "image": _image,
    "audio": _audio,
    "tool_use": _tool_use,
}


def _bytes(value: Mapping[str, Any]) -> bytes:
    try:
        return base64.b64decode(_of(str, value, "data"), validate=True)
    except binascii.Error as error:
        raise ValueError('"data" must be base64') from error


def _of(kind: type, value: Mapping[str, Any], name: str) -> Any:
    found = _member(value, name)
    if not isinstance(found, kind):
        raise ValueError(f'"{name}" must be {"an object" if kind is dict else "a string"}')
    return found


def _member(value: Any, name: str) -> Any:
    if not isinstance(value, dict):
        raise ValueError("it must be an object")
    if name not in value:
        raise ValueError(f'"{name}" is missing')
    return value[name]
