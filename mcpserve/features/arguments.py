"""From a Python function to what the protocol says of a tool, and from a call's arguments to keyword values.

`read_signature` runs once for each tool when a plugin is loaded; `Signature.bind` runs for each call.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any, NoReturn, get_args, get_origin, get_type_hints

import attrs
from cattrs import BaseValidationError

from mcpserve.errors import PluginError, ToolError
from mcpserve.features.docstrings import read_docstring
from mcpserve.features.outputs import output_schema_of
from mcpserve.features.records import Member, UnsupportedHint
from mcpserve.features.schema import MAPPINGS, Arg, Schemas, object_keywords, spelled
from mcpserve.features.structuring import problem_of, structurer
from mcpserve.protocol.mirroring import mirrored_parameters

__all__ = ["Arg", "Signature", "read_signature"]

_REMEDIES: Mapping[Any, str] = {
    inspect.Parameter.VAR_POSITIONAL: "name each parameter, or take one list",
    inspect.Parameter.VAR_KEYWORD: "name each parameter, or take one dict",
    inspect.Parameter.POSITIONAL_ONLY: "take the `/` away: arguments are passed by name",
}


@attrs.frozen(kw_only=True)
class Signature:
    """What a tool's function takes and gives, as the protocol says it.

    Args:
        input_schema: JSON Schema of the arguments; an explicit one is kept as it is.
        output_schema: JSON Schema of the structured result; None when there is none.
        wraps_result: True when our own output schema puts the result, which is no object, into `{"result": value}`.
        injected: The parameters that are no arguments, with the types that mark them.
        description: The docstring's prose; None when there is none.
        defaults: What the parameters get that may be left out.
    """

    input_schema: dict[str, Any]
    output_schema: dict[str, Any] | None
    wraps_result: bool
    injected: Mapping[str, type]
    description: str | None
    defaults: Mapping[str, Any] = attrs.field(factory=dict, eq=False)
    _steps: tuple[tuple[str, Callable[[Any], Any]], ...] = ()
    _known: frozenset[str] | None = None
    _required: frozenset[str] = frozenset()
    _whole: str | None = None

    def bind(self, arguments: Mapping[str, Any]) -> dict[str, Any]:
        """Turn arguments that are valid by `input_schema` into keyword values; defaults are left to Python.

        Raises:
            ToolError: A value is not what its type says beyond the schema, as a date that does not exist.
        """
        values = dict(arguments)
        if self._whole is not None:
            return {self._whole: values}
        if self._known is not None:
            values = self._matching(values)
        for name, structure in self._steps:
            if name in values:
                try:
                    values[name] = structure(values[name])
                except (ValueError, TypeError, BaseValidationError) as error:
                    problem = problem_of(error, name)
                    if problem is None:
                        raise
                    raise ToolError(problem) from error
        return values

    def _matching(self, values: dict[str, Any]) -> dict[str, Any]:
        """Keep what the function takes: an explicit schema may allow more, and require less."""
        if missing := sorted(self._required - values.keys()):
            raise ToolError(f'"{missing[0]}" is a required property')
        return {name: value for name, value in values.items() if name in self._known}  # type: ignore[operator]


def read_signature(
    function: Callable[..., Any],
    *,
    injected: frozenset[type],
    input_schema: Mapping[str, Any] | None = None,
    output_schema: Mapping[str, Any] | None = None,
) -> Signature:
    """Read a tool's function.

    Args:
        function: The function; a method is read without its `self`.
        injected: The types that mark parameters which the server fills in itself.
        input_schema: An explicit schema: it is served untouched, and parameters need no hints. Its properties are
            passed to the parameters of the same names, or all together to a single one, `arguments: dict`.
        output_schema: An explicit schema of the structured result, served untouched.

    Raises:
        PluginError: The function can't be a tool; the sentence names function, parameter and remedy.
    """
    return _Reader(function, injected, input_schema is None).read(input_schema, output_schema)


@attrs.define
class _Reader:
    """Reads one function; what goes wrong is told with the function's name."""

    _function: Callable[..., Any]
    _injected: frozenset[type]
    _derives: bool
    _hints: Mapping[str, Any] = attrs.field(init=False, factory=dict)

    def read(self, input_schema: Mapping[str, Any] | None, output_schema: Mapping[str, Any] | None) -> Signature:
        parameters = [self._checked(item) for item in inspect.signature(self._function).parameters.values()]
        self._hints = self._resolve()
        marks = {item.name: mark for item in parameters if (mark := self._mark(item.name))}
        members = [self._member(item) for item in parameters if item.name not in marks]
        doc = read_docstring(inspect.getdoc(self._function))
        schema = dict(input_schema) if input_schema is not None else self._input_schema(members, doc.parameters)
        self._check_headers(schema)
        whole = self._takes_whole(members, schema) if input_schema is not None else None
        if input_schema is not None and whole is None:
            self._check_match(members, input_schema)
        produced, wraps = (dict(output_schema), False) if output_schema is not None else self._output_schema()
        return Signature(
            input_schema=schema,
            output_schema=produced,
            wraps_result=wraps,
            injected=marks,
            description=doc.description,
            defaults={member.name: member.default for member in members if not member.required},
            steps=self._steps(members),
            known=None if input_schema is None else frozenset(member.name for member in members),
            required=frozenset(member.name for member in members if member.required),
            whole=whole,
        )

    def _fail(self, parameter: str | None, sentence: str) -> NoReturn:
        name = getattr(self._function, "__qualname__", repr(self._function))
        place = f"the parameter '{parameter}' of " if parameter else ""
        raise PluginError(f"{place}{name}: {sentence}")

    def _checked(self, parameter: inspect.Parameter) -> inspect.Parameter:
        if remedy := _REMEDIES.get(parameter.kind):
            self._fail(str(parameter).split(":")[0], f"an argument can't be passed to it; {remedy}")
        if isinstance(parameter.default, list | dict | set):
            self._fail(parameter.name, "its default is shared by all calls and can change; use None or a tuple")
        return parameter

    def _resolve(self) -> dict[str, Any]:
        target = self._function if hasattr(self._function, "__annotations__") else type(self._function).__call__
        try:
            return get_type_hints(inspect.unwrap(target), include_extras=True)
        except (NameError, TypeError, AttributeError, SyntaxError) as error:
            self._fail(None, f"a type hint can't be resolved ({error}); import the name outside of `if TYPE_CHECKING`")

    def _mark(self, name: str) -> type | None:
        """Give the injected type that a hint names, also in Annotated or beside None."""
        hint = self._hints.get(name)
        named = [hint, *(get_args(hint) if get_origin(hint) else ())]
        return next((mark for mark in self._injected if any(mark is part for part in named)), None)

    def _member(self, parameter: inspect.Parameter) -> Member:
        if parameter.name not in self._hints and self._derives:
            self._fail(parameter.name, f"it has no type hint; write `{parameter.name}: str`, or whatever it takes")
        default = attrs.NOTHING if parameter.default is parameter.empty else parameter.default
        hint = self._hints.get(parameter.name, Any)
        return Member(name=parameter.name, hint=hint, required=default is attrs.NOTHING, default=default)

    def _input_schema(self, members: Sequence[Member], descriptions: Mapping[str, str]) -> dict[str, Any]:
        schemas, properties = Schemas(), {}
        for member in members:
            try:
                properties[member.name] = schemas.of_member(member, descriptions.get(member.name))
            except UnsupportedHint as error:
                self._fail(member.name, str(error))
        required = [member.name for member in members if member.required]
        schema = {"type": "object", **object_keywords(properties, required, closed=True)}
        return schema | ({"$defs": schemas.definitions} if schemas.definitions else {})

    def _output_schema(self) -> tuple[dict[str, Any] | None, bool]:
        try:
            return output_schema_of(self._hints.get("return", Any))
        except UnsupportedHint as error:
            self._fail(None, f"what it returns: {error}; or annotate it with Any")

    def _check_headers(self, schema: dict[str, Any]) -> None:
        try:
            mirrored_parameters(schema)
        except ValueError as error:
            self._fail(None, str(error))

    def _takes_whole(self, members: Sequence[Member], schema: Mapping[str, Any]) -> str | None:
        """Name the single parameter that takes all arguments of an explicit schema as one dict, if there is one."""
        if [member.name for member in members] != ["arguments"] or "arguments" in schema.get("properties", ()):
            return None
        hint = members[0].hint
        hint = hint.__origin__ if get_origin(hint) is Annotated else hint
        return "arguments" if (get_origin(hint) or hint) in MAPPINGS else None

    def _check_match(self, members: Sequence[Member], schema: Mapping[str, Any]) -> None:
        """Compare the properties of an explicit schema with the function's parameters."""
        names = {member.name for member in members}
        for name in schema.get("properties", ()):
            if name not in names:
                self._fail(None, f"the input schema has '{name}', but no parameter takes it; add one")
        composed = any(keyword in schema for keyword in ("$ref", "allOf", "anyOf", "oneOf"))
        for member in members:
            if member.required and not composed and member.name not in schema.get("required", ()):
                self._fail(member.name, "the input schema does not require it; give it a default, or require it")

    def _steps(self, members: Sequence[Member]) -> tuple[tuple[str, Callable[[Any], Any]], ...]:
        steps = []
        for member in members:
            try:
                structure = structurer(member.hint)
            except (TypeError, ValueError, BaseValidationError, NameError) as error:
                self._fail(member.name, f"{spelled(member.hint)} can't be read from JSON: {error}")
            if structure is not None:
                steps.append((member.name, structure))
        return tuple(steps)
