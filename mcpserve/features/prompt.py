"""A prompt: a decorated function that makes messages for a model out of arguments that a person fills in.

| returned | messages |
|---|---|
| str, a content block | one, of the user |
| Message, (role, content) | that one |
| a list of these | all, in order |

`@prompt` only marks a function, so that its author can still call it; `build_prompt` reads it when the plugin is
loaded.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, ClassVar, Literal, TypeVar, overload

import attrs

from mcpserve.errors import InvalidParams, ToolError
from mcpserve.features.arguments import read_signature
from mcpserve.features.completion import Completer, completers_of
from mcpserve.features.declaring import (
    INJECTED,
    building,
    call_parameter,
    check_name,
    check_running,
    check_shown,
    chosen_options,
    function_name,
    needs_call,
    title_of,
)
from mcpserve.features.texts import TextArguments
from mcpserve.policy.access import Condition, declared
from mcpserve.protocol import offers
from mcpserve.protocol.revisions import V2026_07_28
from mcpserve.protocol.types import ROLES, Content, Icon, Message, PromptArgument, PromptDefinition

F = TypeVar("F", bound=Callable[..., Any])
PROMPT_MARK = "__mcpserve_prompt__"


@attrs.frozen(kw_only=True)
class PromptOptions:
    """What the author said in `@prompt(...)`; see `prompt` for the meaning of each."""

    name: str | None = None
    title: str | None = None
    description: str | None = None
    icons: Sequence[Icon] = ()
    meta: Mapping[str, Any] | None = None
    thread: bool = False
    timeout: float | None = None
    max_concurrent: int | None = None
    groups: Collection[str] | None = None
    scopes: Collection[str] = ()
    enabled: bool = True

    on_disconnect: ClassVar[Literal["cancel", "finish"]] = "cancel"


@attrs.frozen(kw_only=True, eq=False)
class Prompt:
    """A prompt that is ready to be served.

    Args:
        definition: What prompts/list says of it.
        function: What makes the messages.
        arguments: How texts become keyword values.
        completers: By argument, what suggests values for it.
        options: What the author chose.
        call_parameter: The parameter that gets the call, if there is one.
        plain: True when it can be answered at once, without a call object.
        origin: The file or the package that it comes from.
        condition: What a caller must have, if its author wants something.
    """

    definition: PromptDefinition
    function: Callable[..., Any]
    arguments: TextArguments
    completers: Mapping[str, Completer]
    options: PromptOptions
    call_parameter: str | None
    plain: bool
    origin: str
    condition: Condition | None

    takes_over: ClassVar[bool] = False

    @property
    def name(self) -> str:
        """Its name, unique in a catalogue."""
        return self.definition.name

    def bind(self, arguments: Mapping[str, str]) -> dict[str, Any]:
        """The keyword values of the function.

        Raises:
            InvalidParams: An argument is missing, is one too many, or does not fit. Spec: Prompts, Error Handling.
        """
        try:
            return self.arguments.bind(arguments)
        except ToolError as error:
            raise InvalidParams(f"Invalid arguments: {error}") from error


@overload
def prompt(function: F, /) -> F: ...


@overload
def prompt(
    *,
    name: str | None = None,
    title: str | None = None,
    description: str | None = None,
    icons: Sequence[Icon] = (),
    meta: Mapping[str, Any] | None = None,
    thread: bool = False,
    timeout: float | None = None,
    max_concurrent: int | None = None,
    groups: Collection[str] | None = None,
    scopes: Collection[str] = (),
    enabled: bool = True,
) -> Callable[[F], F]: ...


def prompt(function: Callable[..., Any] | None = None, /, **options: Any) -> Any:
    """Make a function a prompt. The function itself stays as it is.

    Args:
        name: The prompt's name; by default the function's.
        title: Its name for people; by default made from the name.
        description: What it is for; by default the docstring without its sections.
        icons: Pictures for user interfaces.
        meta: `_meta` of the definition, passed through.
        thread: Run the (sync) function in the pool "tools", so that it may block.
        timeout: Seconds until the call is cancelled and answered with an error.
        max_concurrent: How many calls may run at once; more are answered with an error at once.
        groups: Who may use it: callers in one of these groups; None for everybody. See `policy.access`.
        scopes: What the credential of a caller must allow: all of these.
        enabled: False serves it only when the operator asks for it by name.

    Spec: Prompts, Data Types, Prompt.
    """
    chosen = chosen_options(PromptOptions, "prompt", options)

    def mark(f: F) -> F:
        setattr(f, PROMPT_MARK, chosen)
        return f

    return mark if function is None else mark(function)


def build_prompt(function: Callable[..., Any], origin: str) -> Prompt:
    """Make a prompt of a marked function.

    Args:
        function: What `@prompt` has marked.
        origin: The file or the package that it comes from, for messages.

    Raises:
        PluginError: It does not fit; the message says what to change.
    """
    options: PromptOptions = getattr(function, PROMPT_MARK)
    name = options.name or function_name(function)
    with building("prompt", name, origin):
        check_name(name)
        check_running("prompt", function, options)
        signature = read_signature(function, injected=INJECTED, output_schema={})
        parameter = call_parameter("prompt", signature)
        arguments = TextArguments(signature)
        definition = PromptDefinition(
            name=name,
            title=options.title or title_of(name),
            description=options.description or signature.description,
            arguments=_arguments(arguments),
            icons=options.icons,
            meta=options.meta,
        )
        check_shown(options.icons, options.meta, lambda: offers.prompt(definition, V2026_07_28))
        return Prompt(
            definition=definition,
            function=function,
            arguments=arguments,
            completers=completers_of(function, arguments.names, f"the prompt {name}"),
            options=options,
            call_parameter=parameter,
            plain=parameter is None and not needs_call(function, options),
            origin=origin,
            condition=declared(options.groups, options.scopes),
        )


def to_messages(value: object) -> list[Message]:
    """The messages that a prompt's function returned.

    Raises:
        TypeError: Something in it is no message; the sentence says what.
    """
    if isinstance(value, list) or (isinstance(value, tuple) and not _is_pair(value)):
        return [_message(item) for item in value]
    return [_message(value)]


def _arguments(arguments: TextArguments) -> list[PromptArgument]:
    return [
        PromptArgument(
            name=name,
            title=arguments.described(name, "title"),
            description=arguments.described(name, "description"),
            required=name not in arguments.optional,
        )
        for name in arguments.names
    ]


def _is_pair(value: tuple[Any, ...]) -> bool:
    return len(value) == 2 and value[0] in ROLES


def _message(value: object) -> Message:
    if isinstance(value, tuple) and len(value) == 2:
        value = Message(value[1], value[0])
    elif isinstance(value, str | Content):
        value = Message(value)
    if not isinstance(value, Message):
        raise TypeError(
            f"a prompt returns texts, content blocks, (role, content) or Message, not {type(value).__name__}"
        )
    if value.role not in ROLES:
        raise TypeError(f"the role of a message is 'user' or 'assistant', not {value.role!r}")
    if not isinstance(value.content, str | Content):
        raise TypeError(f"a message holds a text or a content block, not {type(value.content).__name__}")
    return value
