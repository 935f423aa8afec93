"""A tool: a decorated function, and all that follows from it.

`@tool` only marks a function, so that its author can still call it. `build` reads the mark and the function when the
plugin is loaded, and refuses what does not fit with a sentence that names the file, the function and the remedy.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, Literal, TypeVar, overload

import attrs

from mcpserve.errors import PluginError
from mcpserve.features.arguments import Signature, read_signature
from mcpserve.features.declaring import (
    INJECTED,
    building,
    check_name,
    check_running,
    check_shown,
    chosen_options,
    function_name,
    injection,
    needs_call,
    title_of,
)
from mcpserve.features.stream import Stream
from mcpserve.features.validation import Validator
from mcpserve.policy.access import Condition, declared
from mcpserve.protocol import wire
from mcpserve.protocol.mirroring import MirroredParameter, mirrored_parameters
from mcpserve.protocol.revisions import V2026_07_28
from mcpserve.protocol.types import Icon, ToolAnnotations, ToolDefinition

F = TypeVar("F", bound=Callable[..., Any])
MARK = "__mcpserve_tool__"


@attrs.frozen(kw_only=True)
class ToolOptions:
    """What the author said in `@tool(...)`; see `tool` for the meaning of each."""

    name: str | None = None
    title: str | None = None
    description: str | None = None
    input_schema: Mapping[str, Any] | None = None
    output_schema: Mapping[str, Any] | None = None
    read_only: bool | None = None
    destructive: bool | None = None
    idempotent: bool | None = None
    open_world: bool | None = None
    icons: Sequence[Icon] = ()
    meta: Mapping[str, Any] | None = None
    thread: bool = False
    timeout: float | None = None
    on_disconnect: Literal["cancel", "finish"] = "cancel"
    max_concurrent: int | None = None
    task: Literal["never", "optional", "required"] = "never"
    defer_task: bool = False
    groups: Collection[str] | None = None
    scopes: Collection[str] = ()
    enabled: bool = True


@attrs.frozen(kw_only=True, eq=False)
class Tool:
    """A tool that is ready to be served.

    Args:
        definition: What tools/list says of it.
        function: What does the work.
        signature: How arguments become keyword values.
        options: What the author chose.
        validator: Checks arguments against the input schema.
        output_validator: Checks structured content against the output schema, if there is one.
        mirrored: The arguments that clients repeat in `Mcp-Param-*` headers.
        call_parameter: The parameter that gets the call or the stream, if there is one.
        takes_over: True when that parameter is the response stream.
        plain: True for a sync function that needs neither call, thread, timeout nor limit, so that it can be answered
            at once without a call object.
        origin: The file or the package that it comes from.
        condition: What a caller must have, if its author wants something.
    """

    definition: ToolDefinition
    function: Callable[..., Any]
    signature: Signature
    options: ToolOptions
    validator: Validator
    output_validator: Validator | None
    mirrored: tuple[MirroredParameter, ...]
    call_parameter: str | None
    takes_over: bool
    plain: bool
    origin: str
    condition: Condition | None

    @property
    def name(self) -> str:
        """Its name, unique in a catalogue."""
        return self.definition.name

    def bind(self, arguments: Mapping[str, Any]) -> dict[str, Any]:
        """See `Signature.bind`."""
        return self.signature.bind(arguments)


@overload
def tool(function: F, /) -> F: ...


@overload
def tool(
    *,
    name: str | None = None,
    title: str | None = None,
    description: str | None = None,
    input_schema: Mapping[str, Any] | None = None,
    output_schema: Mapping[str, Any] | None = None,
    read_only: bool | None = None,
    destructive: bool | None = None,
    idempotent: bool | None = None,
    open_world: bool | None = None,
    icons: Sequence[Icon] = (),
    meta: Mapping[str, Any] | None = None,
    thread: bool = False,
    timeout: float | None = None,
    on_disconnect: Literal["cancel", "finish"] = "cancel",
    max_concurrent: int | None = None,
    task: Literal["never", "optional", "required"] = "never",
    defer_task: bool = False,
    groups: Collection[str] | None = None,
    scopes: Collection[str] = (),
    enabled: bool = True,
) -> Callable[[F], F]: ...


def tool(function: Callable[..., Any] | None = None, /, **options: Any) -> Any:
    """Make a function a tool. The function itself stays as it is.

    Args:
        name: The tool's name; by default the function's.
        title: Its name for people; by default made from the name.
        description: What it does, for a model; by default the docstring without its sections.
        input_schema: A JSON Schema that is served untouched, instead of the one made from the type hints.
        output_schema: Likewise for the structured content.
        read_only: It changes nothing.
        destructive: What it changes may be lost.
        idempotent: Calling it twice with the same arguments changes no more than calling it once.
        open_world: It deals with things outside the server.
        icons: Pictures for user interfaces.
        meta: `_meta` of the definition, passed through.
        thread: Run the (sync) function in the pool "tools", so that it may block.
        timeout: Seconds until the call is cancelled and answered with an error.
        on_disconnect: Whether the call is cancelled or goes on when its client has gone.
        max_concurrent: How many calls may run at once; more are answered with an error at once.
        task: Whether a client that knows tasks is answered with one at once, and comes back for the outcome: "optional"
            serves other clients as well, "required" refuses them.
        defer_task: The tool says itself when its call becomes a task, with `Call.start_task`.
        groups: Who may use it: callers in one of these groups; None for everybody. See `policy.access`.
        scopes: What the credential of a caller must allow: all of these.
        enabled: False serves it only when the operator asks for it by name.

    Spec: Tools, Data Types, Tool.
    """
    chosen = chosen_options(ToolOptions, "tool", options)

    def mark(f: F) -> F:
        setattr(f, MARK, chosen)
        return f

    if function is not None:
        return mark(function)

    return mark


def build(function: Callable[..., Any], origin: str) -> Tool:
    """Make a tool of a marked function.

    Args:
        function: What `@tool` has marked.
        origin: The file or the package that it comes from, for messages.

    Raises:
        PluginError: It does not fit; the message says what to change.
    """
    options: ToolOptions = getattr(function, MARK)
    name = options.name or function_name(function)
    with building("tool", name, origin):
        check_name(name)
        check_running("tool", function, options)
        if options.on_disconnect not in ("cancel", "finish"):
            raise PluginError("on_disconnect is 'cancel' or 'finish'")
        _check_task(options)
        signature = read_signature(
            function,
            injected=INJECTED,
            input_schema=options.input_schema,
            output_schema=options.output_schema,
        )
        return _assemble(name, function, signature, options, origin)


def _assemble(name: str, function: Callable[..., Any], signature: Signature, options: ToolOptions, origin: str) -> Tool:
    parameter, marker = injection(signature)
    if marker is Stream and options.thread:
        raise PluginError("a function in a thread can't take over the response; take a Call, or drop thread=True")
    output = signature.output_schema
    definition = ToolDefinition(
        name=name,
        title=options.title or title_of(name),
        description=options.description or signature.description,
        input_schema=signature.input_schema,
        output_schema=output,
        annotations=_annotations(options),
        icons=options.icons,
        meta=options.meta,
    )
    check_shown(options.icons, options.meta, lambda: wire.tool(definition, V2026_07_28))
    return Tool(
        definition=definition,
        function=function,
        signature=signature,
        options=options,
        validator=Validator(signature.input_schema, "input schema"),
        output_validator=Validator(output, "output schema") if output is not None else None,
        mirrored=mirrored_parameters(signature.input_schema),
        call_parameter=parameter,
        takes_over=marker is Stream,
        plain=parameter is None and options.task == "never" and not needs_call(function, options),
        origin=origin,
        condition=declared(options.groups, options.scopes),
    )


def _check_task(options: ToolOptions) -> None:
    if options.task not in ("never", "optional", "required"):
        raise PluginError("task is 'never', 'optional' or 'required'")
    if options.defer_task and (options.task == "never" or options.thread):
        raise PluginError("defer_task is for a tool that may be a task and does not run in a thread")


def _annotations(options: ToolOptions) -> ToolAnnotations:
    return ToolAnnotations(
        read_only=options.read_only,
        destructive=options.destructive,
        idempotent=options.idempotent,
        open_world=options.open_world,
    )
