"""Forms for elicitation: from an attrs class or an explicit schema to the few shapes that clients can show.

A form is flat. Its fields are texts, numbers, booleans, dates, choices of one and choices of several; a `Literal` is a
choice without titles, an `Enum` one whose titles are the names of its members, unless those are its values.

Spec: Elicitation, Requested Schema: "form mode elicitation schemas are limited to flat objects with primitive
properties only."
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from enum import Enum
from functools import lru_cache
from types import NoneType, UnionType
from typing import Annotated, Any, Generic, TypeVar, Union, get_args, get_origin

import attrs
from cattrs import BaseValidationError

from mcpserve.features.docstrings import read_docstring
from mcpserve.features.records import Member, UnsupportedHint, is_record, members_of, own_docstring
from mcpserve.features.schema import Schemas, without_alias
from mcpserve.features.structuring import problem_of, structurer
from mcpserve.features.validation import Validator
from mcpserve.protocol.revisions import Revision

T = TypeVar("T")

_ROOT = frozenset({"$schema", "type", "properties", "required"})
_ALWAYS = frozenset({"type", "title", "description", "default"})
_KEYWORDS: Mapping[str, frozenset[str]] = {
    "string": frozenset({"minLength", "maxLength", "pattern", "format", "enum", "enumNames", "oneOf"}),
    "number": frozenset({"minimum", "maximum"}),
    "integer": frozenset({"minimum", "maximum"}),
    "boolean": frozenset(),
    "array": frozenset({"minItems", "maxItems", "items"}),
}
_FORMATS = ("email", "uri", "date", "date-time")
_REMEDY = (
    "a field of a form is a str, int, float, bool, date or datetime, a Literal or Enum of texts, or a list of such a "
    "choice"
)


@attrs.frozen(kw_only=True, eq=False)
class Form(Generic[T]):
    """A form, ready to be asked for.

    Args:
        schema: `requestedSchema`.
        validator: Checks what comes back.
        make: Turns it into what the author wants.
    """

    schema: Mapping[str, Any]
    validator: Validator
    make: Callable[[Mapping[str, Any]], T]

    def read(self, content: Mapping[str, Any]) -> T:
        """Make the value of a form that was filled in; fields that it does not know are dropped.

        Raises:
            ValueError: It does not fit; the sentence says where.
        """
        known = {name: value for name, value in content.items() if name in self.schema["properties"]}
        problems = self.validator.problems(known)
        if problems:
            raise ValueError("; ".join(problems))
        return self.make(known)

    def schema_for(self, revision: Revision) -> dict[str, Any] | None:
        """The schema in the words of a revision; None where it has no words for it."""
        if revision.rich_forms:
            return dict(self.schema)
        properties = {name: _plainer(field) for name, field in self.schema["properties"].items()}
        if None in properties.values():
            return None
        return {**self.schema, "properties": properties}


def form_of(given: Any) -> Form[Any]:
    """Make a form of an attrs class (or a dataclass, TypedDict, NamedTuple), of an explicit schema, or of None.

    Args:
        given: None is an empty form, for a question that is only agreed to.

    Raises:
        UnsupportedHint: A class has a field that no client could show.
        ValueError: An explicit schema has what the specification does not allow.
    """
    if isinstance(given, type) and is_record(given):
        return _form_of_class(given)
    if given is not None and not isinstance(given, Mapping):
        raise UnsupportedHint(f"{given!r} is no form; give an attrs class, or a JSON Schema as a dict")
    schema = {"type": "object", "properties": {}} if given is None else dict(given)
    if problem := next(problems_of(schema), None):
        raise ValueError(f"the schema of a form: {problem}")
    return Form(schema=schema, validator=_validator(schema), make=dict)


@lru_cache(256)
def _form_of_class(cls: Any) -> Form[Any]:
    doc, schemas = read_docstring(own_docstring(cls)), Schemas()
    members = [member for member in members_of(cls) if member.given]
    properties = {member.name: _field(schemas, member, doc.parameters.get(member.name)) for member in members}
    schema: dict[str, Any] = {"type": "object", "properties": properties}
    if required := [member.name for member in members if member.required]:
        schema["required"] = required
    if problem := next(problems_of(schema), None):
        raise UnsupportedHint(f"the form {cls.__qualname__}: {problem}; {_REMEDY}")
    return Form(schema=schema, validator=_validator(schema), make=_maker(cls))


def _validator(schema: Mapping[str, Any]) -> Validator:
    return Validator(schema, "the schema of a form", formats=True)


def _maker(cls: Any) -> Callable[[Mapping[str, Any]], Any]:
    structure = structurer(cls)
    if structure is None:
        return dict

    def make(content: Mapping[str, Any]) -> Any:
        try:
            return structure(content)
        except (ValueError, TypeError, BaseValidationError) as error:
            problem = problem_of(error, "")
            if problem is None:
                raise
            raise ValueError(problem.lstrip(". ")) from error

    return make


# --- fields of a class


def _field(schemas: Schemas, member: Member, description: str | None) -> dict[str, Any]:
    """Write a field. One that may be None may be left out: null is nothing that a client could show."""
    hint = _without_none(member.hint)
    schema = schemas.of_member(attrs.evolve(member, hint=hint), description)
    schema.pop("uniqueItems", None)
    choices = _titles(hint)
    if choices is None:
        return schema
    if schema.get("type") == "array":
        return {**schema, "items": {"anyOf": choices}}
    return {"oneOf" if name == "enum" else name: choices if name == "enum" else v for name, v in schema.items()}


def _without_none(hint: Any) -> Any:
    if get_origin(hint) is Annotated:
        inner = _without_none(hint.__origin__)
        return Annotated[(inner, *hint.__metadata__)]
    if get_origin(hint) in (Union, UnionType):
        return Union[tuple(member for member in get_args(hint) if member is not NoneType)]  # noqa: UP007
    return hint


def _titles(hint: Any) -> list[dict[str, str]] | None:
    """The titled choices of an Enum, or of a list of its members; None for anything else."""
    while (bare := hint.__origin__ if get_origin(hint) is Annotated else without_alias(hint)) is not hint:
        hint = bare
    if isinstance(hint, type) and issubclass(hint, Enum):
        if all(str(member.value).casefold() == member.name.casefold() for member in hint):
            return None
        return [{"const": m.value, "title": m.name.replace("_", " ").capitalize()} for m in hint]
    arguments = [argument for argument in get_args(hint) if argument is not Ellipsis]
    return _titles(arguments[0]) if len(arguments) == 1 and get_origin(hint) is not None else None


# --- what the specification allows


def problems_of(schema: Mapping[str, Any]) -> Iterator[str]:
    """Say what in a schema no form may have."""
    properties = schema.get("properties")
    if schema.get("type") != "object" or not isinstance(properties, Mapping):
        yield 'it has "type": "object" and "properties"'
        return
    for name in schema.keys() - _ROOT:
        yield f"{name!r} has no place beside its properties"
    for name in schema.get("required", ()):
        if name not in properties:
            yield f"{name!r} is required, but no property"
    for name, field in properties.items():
        for problem in _problems_of_field(field):
            yield f"{name}: {problem}"


def _problems_of_field(field: Any) -> Iterator[str]:
    kind = field.get("type") if isinstance(field, Mapping) else None
    if not isinstance(kind, str) or kind not in _KEYWORDS:
        yield f"it is none of {', '.join(_KEYWORDS)}"
        return
    for name in sorted(field.keys() - _ALWAYS - _KEYWORDS[kind]):
        yield f"{name!r} is not for a form's {kind}"
    if field.get("format", _FORMATS[0]) not in _FORMATS:
        yield f"the format {field['format']!r} is none of {', '.join(_FORMATS)}"
    if kind == "array":
        yield from _problems_of_items(field.get("items"))
    else:
        yield from _problems_of_choices(field.get("enum"), field.get("oneOf"))
    if len(field.get("enumNames", ())) not in (0, len(field.get("enum", ()))):
        yield "enumNames has a name for each value of enum"


def _problems_of_items(items: Any) -> Iterator[str]:
    named = isinstance(items, Mapping) and ("anyOf" in items or items.get("type") == "string")
    if not named or not ("enum" in items) ^ ("anyOf" in items):
        yield "a choice of several has items with an enum of texts, or with anyOf"
        return
    for name in sorted(items.keys() - {"type", "enum", "anyOf"}):
        yield f"{name!r} is not for the items of a choice"
    yield from _problems_of_choices(items.get("enum"), items.get("anyOf"))


def _problems_of_choices(values: Any, titled: Any) -> Iterator[str]:
    if values is not None and not (isinstance(values, list) and values and all(isinstance(v, str) for v in values)):
        yield "an enum is a list of texts"
    if titled is not None and not (isinstance(titled, list) and titled and all(map(_is_titled, titled))):
        yield "each titled choice has a const and a title, both texts, and nothing else"


def _is_titled(choice: Any) -> bool:
    return isinstance(choice, Mapping) and choice.keys() == {"const", "title"} and all(_texts(choice.values()))


def _texts(values: Any) -> Iterator[bool]:
    return (isinstance(value, str) for value in values)


def _plainer(field: Mapping[str, Any]) -> dict[str, Any] | None:
    """A field in the words of 2025-06-18; None for a choice of several, for which it has none."""
    if field["type"] == "array":
        return None
    if "oneOf" not in field:
        return dict(field)
    plainer = {name: value for name, value in field.items() if name != "oneOf"}
    choices = field["oneOf"]
    return {**plainer, "enum": [c["const"] for c in choices], "enumNames": [c["title"] for c in choices]}
