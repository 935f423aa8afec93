"""A resource, or a template of resources: a decorated function that gives what a URI stands for.

| returned | contents |
|---|---|
| str | a text |
| bytes | a blob |
| Contents | that part, with a URI, MIME type and `_meta` of its own |
| a list with Contents or bytes in it, and texts | the parts |
| anything else but None | its JSON |

`@resource` only marks a function, so that its author can still call it; `build_resource` reads it when the plugin is
loaded.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, ClassVar, Literal, TypeVar

import attrs

from mcpserve.errors import PluginError, ToolError
from mcpserve.features.arguments import read_signature
from mcpserve.features.completion import Completer, completers_of
from mcpserve.features.declaring import (
    INJECTED,
    building,
    call_parameter,
    check_running,
    check_shown,
    function_name,
    needs_call,
    title_of,
)
from mcpserve.features.plain import json_text
from mcpserve.features.templates import UriTemplate
from mcpserve.features.texts import TextArguments
from mcpserve.policy.access import Condition, declared
from mcpserve.protocol import offers
from mcpserve.protocol.revisions import V2026_07_28
from mcpserve.protocol.types import Annotations, Contents, Icon, ResourceDefinition

F = TypeVar("F", bound=Callable[..., Any])
RESOURCE_MARK = "__mcpserve_resource__"

_TEXT, _BLOB, _JSON = "text/plain", "application/octet-stream", "application/json"


@attrs.frozen(kw_only=True)
class ResourceOptions:
    """What the author said in `@resource(...)`; see `resource` for the meaning of each."""

    uri: str
    name: str | None = None
    title: str | None = None
    description: str | None = None
    mime_type: str | None = None
    annotations: Annotations | None = None
    icons: Sequence[Icon] = ()
    size: int | None = None
    meta: Mapping[str, Any] | None = None
    ttl: float = 0
    cache_scope: Literal["private", "public"] = "private"
    thread: bool = False
    timeout: float | None = None
    max_concurrent: int | None = None
    groups: Collection[str] | None = None
    scopes: Collection[str] = ()
    enabled: bool = True

    on_disconnect: ClassVar[Literal["cancel", "finish"]] = "cancel"


@attrs.frozen(kw_only=True, eq=False)
class Resource:
    """A resource or a template that is ready to be served.

    Args:
        definition: What resources/list or resources/templates/list says of it.
        template: How a URI becomes variables; it has none when it is a single resource.
        function: What gives the contents.
        arguments: How variables become keyword values.
        completers: By variable, what suggests values for it.
        options: What the author chose.
        call_parameter: The parameter that gets the call, if there is one.
        plain: True when it can be answered at once, without a call object.
        origin: The file or the package that it comes from.
        condition: What a caller must have, if its author wants something.
    """

    definition: ResourceDefinition
    template: UriTemplate
    function: Callable[..., Any]
    arguments: TextArguments
    completers: Mapping[str, Completer]
    options: ResourceOptions
    call_parameter: str | None
    plain: bool
    origin: str
    condition: Condition | None

    takes_over: ClassVar[bool] = False

    @property
    def name(self) -> str:
        """Its URI or template, unique in a catalogue."""
        return self.definition.uri

    def match(self, uri: str) -> dict[str, Any] | None:
        """The keyword values of the function for a URI; None when the URI is none of this template's.

        A variable that is not what its parameter's hint says makes a URI that is none, so that another template may
        have it.
        """
        variables = self.template.match(uri)
        if variables is None:
            return None
        try:
            return self.arguments.bind(variables)
        except ToolError:
            return None

    def bind(self, arguments: Mapping[str, Any]) -> dict[str, Any]:
        """The keyword values: what `match` found."""
        return dict(arguments)


def resource(
    uri: str,
    *,
    name: str | None = None,
    title: str | None = None,
    description: str | None = None,
    mime_type: str | None = None,
    annotations: Annotations | None = None,
    icons: Sequence[Icon] = (),
    size: int | None = None,
    meta: Mapping[str, Any] | None = None,
    ttl: float = 0,
    cache_scope: Literal["private", "public"] = "private",
    thread: bool = False,
    timeout: float | None = None,
    max_concurrent: int | None = None,
    groups: Collection[str] | None = None,
    scopes: Collection[str] = (),
    enabled: bool = True,
) -> Callable[[F], F]:
    """Make a function a resource, or a template of resources. The function itself stays as it is.

    Args:
        uri: The URI, such as "notes://today", or a template, such as "notes://{day}": each variable in it is a
            parameter of the function. See `features.templates` for what a template may be.
        name: Its name; by default the function's.
        title: Its name for people; by default made from the name.
        description: What it is; by default the docstring without its sections.
        mime_type: Its MIME type, if it is always the same; by default found out when it is read.
        annotations: For whom it is, how much it matters, when it changed.
        icons: Pictures for user interfaces.
        size: Bytes of its contents, if that is known.
        meta: `_meta` of the definition and of the contents, passed through.
        ttl: Seconds for which a client may keep what it has read.
        cache_scope: "public" lets a cache give it to everybody; "private" only to the one who has read it.
        thread: Run the (sync) function in the pool "tools", so that it may block.
        timeout: Seconds until the call is cancelled and answered with an error.
        max_concurrent: How many calls may run at once; more are answered with an error at once.
        groups: Who may use it: callers in one of these groups; None for everybody. See `policy.access`.
        scopes: What the credential of a caller must allow: all of these.
        enabled: False serves it only when the operator asks for it by name.

    Raises:
        PluginError: The URI is no text, as when the parentheses were forgotten.

    Spec: Resources, Data Types, Resource; Caching.
    """
    if not isinstance(uri, str):
        raise PluginError('@resource takes a URI: write @resource("notes://today")')
    chosen = ResourceOptions(
        uri=uri,
        name=name,
        title=title,
        description=description,
        mime_type=mime_type,
        annotations=annotations,
        icons=icons,
        size=size,
        meta=meta,
        ttl=ttl,
        cache_scope=cache_scope,
        thread=thread,
        timeout=timeout,
        max_concurrent=max_concurrent,
        groups=groups,
        scopes=scopes,
        enabled=enabled,
    )

    def mark(f: F) -> F:
        setattr(f, RESOURCE_MARK, chosen)
        return f

    return mark


def build_resource(function: Callable[..., Any], origin: str) -> Resource:
    """Make a resource or a template of a marked function.

    Args:
        function: What `@resource` has marked.
        origin: The file or the package that it comes from, for messages.

    Raises:
        PluginError: It does not fit; the message says what to change.
    """
    options: ResourceOptions = getattr(function, RESOURCE_MARK)
    with building("resource", options.uri, origin):
        check_running("resource", function, options)
        _check_options(options)
        signature = read_signature(function, injected=INJECTED, output_schema={})
        parameter = call_parameter("resource", signature)
        arguments = TextArguments(signature)
        template = UriTemplate(options.uri, arguments.optional)
        _check_variables(template, arguments)
        definition = _definition(function_name(function), options, signature.description)
        shape = offers.resource_template if template.variables else offers.resource
        check_shown(options.icons, options.meta, lambda: shape(definition, V2026_07_28))
        return Resource(
            definition=definition,
            template=template,
            function=function,
            arguments=arguments,
            completers=completers_of(function, arguments.names, f"the resource {options.uri}"),
            options=options,
            call_parameter=parameter,
            plain=parameter is None and not needs_call(function, options),
            origin=origin,
            condition=declared(options.groups, options.scopes),
        )


def to_contents(value: object, uri: str, served: Resource) -> list[Contents]:
    """The contents that a resource's function returned.

    Args:
        value: What it returned.
        uri: What was asked for.
        served: The resource.

    Raises:
        TypeError: It returned nothing, or something that has no form in JSON.

    Spec: Resources, Error Handling: "Servers MUST NOT return an empty contents array for a non-existent resource."
    """
    if value is None:
        raise TypeError("a resource returned nothing; raise NotFound if there is no such resource")
    return [_part(part, uri, served) for part in _parts(value)]


def _definition(own_name: str, options: ResourceOptions, description: str | None) -> ResourceDefinition:
    name = options.name or own_name
    return ResourceDefinition(
        uri=options.uri,
        name=name,
        title=options.title or title_of(name),
        description=options.description or description,
        mime_type=options.mime_type,
        annotations=options.annotations,
        icons=options.icons,
        size=options.size,
        meta=options.meta,
    )


def _check_options(options: ResourceOptions) -> None:
    ttl: Any = options.ttl
    if isinstance(ttl, bool) or not isinstance(ttl, int | float) or not 0 <= ttl < math.inf:
        raise PluginError("ttl is a number of seconds, 0 or more")
    if options.cache_scope not in ("private", "public"):
        raise PluginError("cache_scope is 'private' or 'public'")
    if not isinstance(options.annotations, Annotations | None):
        raise PluginError("annotations is an mcpserve.Annotations")


def _check_variables(template: UriTemplate, arguments: TextArguments) -> None:
    for variable in template.variables:
        if variable not in arguments.names:
            raise PluginError(f"the template has {{{variable}}}, but no parameter takes it; add `{variable}: str`")
    for name in arguments.names:
        if name not in template.variables:
            raise PluginError(f"nothing fills the parameter '{name}'; put {{{name}}} into the URI")


def _parts(value: Any) -> list[Any]:
    """Take a list apart that has parts of contents in it; texts alone are a list in JSON."""
    mixed = (
        isinstance(value, list | tuple)
        and any(isinstance(item, Contents | bytes) for item in value)
        and all(isinstance(item, Contents | bytes | str) for item in value)
    )
    return list(value) if mixed else [value]


def _part(value: Any, uri: str, served: Resource) -> Contents:
    part: Contents
    definition = served.definition
    if isinstance(value, Contents):
        part, kind = value, _BLOB if isinstance(value.contents, bytes) else _TEXT
    elif isinstance(value, bytes | bytearray | memoryview):
        part, kind = Contents(bytes(value)), _BLOB
    else:
        text = value if isinstance(value, str) else json_text(value).decode("utf-8")
        part, kind = Contents(text), _TEXT if isinstance(value, str) else _JSON
    return attrs.evolve(
        part,
        uri=part.uri or uri,
        mime_type=part.mime_type or definition.mime_type or kind,
        meta=definition.meta if part.meta is None else part.meta,
    )
