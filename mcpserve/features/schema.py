"""From Python types to JSON Schema 2020-12.

What a plugin author may write in hints: str, int, float, bool, None, Any, bytes, datetime, date, UUID, Path, Decimal,
Literal, Enum, Optional and unions, lists, tuples, sets, dicts with string keys, TypedDict, NamedTuple, attrs classes,
dataclasses, NewType, and Annotated with a description or an `Arg`. A class that contains itself goes under `$defs`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, MutableMapping, MutableSequence, MutableSet, Sequence, Set
from datetime import date, datetime
from decimal import Decimal
from enum import Enum
from pathlib import Path, PurePath
from types import NoneType, UnionType
from typing import (
    Annotated,
    Any,
    Literal,
    NewType,
    NotRequired,
    Required,
    Union,
    get_args,
    get_origin,
    is_typeddict,
)
from uuid import UUID

import attrs

from mcpserve.features.docstrings import read_docstring
from mcpserve.features.plain import plain
from mcpserve.features.records import Member, UnsupportedHint, is_record, members_of, own_docstring
from mcpserve.protocol.mirroring import ANNOTATION

LISTS = (list, Sequence, MutableSequence)
SETS = (set, frozenset, Set, MutableSet)
MAPPINGS = (dict, Mapping, MutableMapping)

_SCALARS: Mapping[Any, Mapping[str, Any]] = {
    str: {"type": "string"},
    int: {"type": "integer"},
    float: {"type": "number"},
    bool: {"type": "boolean"},
    None: {"type": "null"},
    NoneType: {"type": "null"},
    Any: {},
    object: {},
    bytes: {"type": "string", "contentEncoding": "base64"},
    datetime: {"type": "string", "format": "date-time"},
    date: {"type": "string", "format": "date"},
    UUID: {"type": "string", "format": "uuid"},
    Path: {"type": "string", "format": "path"},
    PurePath: {"type": "string", "format": "path"},
    Decimal: {"type": "string", "pattern": r"^-?[0-9]+(\.[0-9]+)?([eE][+-]?[0-9]+)?$"},
}
_JSON_NAMES = {str: "string", bool: "boolean", int: "integer", float: "number", NoneType: "null"}
_NULL = {"type": "null"}


@attrs.frozen(init=False, eq=False)  # Type hints are compared and hashed, with all that stands in Annotated.
class Arg:
    """What a hint can't say about a parameter or a field: `Annotated[int, Arg("How many", minimum=1)]`.

    Args:
        description: What the value means, for the model.
        header: Mirrors the value into the header `Mcp-Param-<header>`; only for str, int and bool. Never for secrets.
        completer: Suggests values for an argument of a prompt or a resource template; see `features.completion`.
        keywords: Further keywords of JSON Schema in snake_case: `exclusive_minimum=0`, `max_length=10`.

    Spec: Tools, x-mcp-header.
    """

    description: str | None
    header: str | None
    completer: Callable[..., Any] | Sequence[str] | None
    schema: Mapping[str, Any]

    def __init__(
        self,
        description: str | None = None,
        *,
        header: str | None = None,
        completer: Callable[..., Any] | Sequence[str] | None = None,
        **keywords: Any,
    ) -> None:
        schema = {_camel_case(name): value for name, value in keywords.items()}
        self.__attrs_init__(description, header, completer, schema)


def _camel_case(name: str) -> str:
    """Turn `exclusive_minimum` into `exclusiveMinimum`, and `not_` (a word of Python) into `not`."""
    first, *rest = name.rstrip("_").split("_")
    return first + "".join(word.capitalize() for word in rest)


class Schemas:
    """Writes schemas that share their definitions.

    Args:
        output: True for results: all fields are there, and more may be; False for arguments: fields with defaults may
            be left out, and unknown ones are refused.
    """

    def __init__(self, *, output: bool = False) -> None:
        self.definitions: dict[str, dict[str, Any]] = {}
        self._output = output
        self._open: list[Any] = []
        self._names: dict[Any, str] = {}

    def of(self, hint: Any) -> dict[str, Any]:
        """Write the schema of a type; definitions that it refers to are in `definitions`.

        Raises:
            UnsupportedHint: The type has no JSON form.
        """
        if _hashable(hint) and hint in _SCALARS:
            return dict(_SCALARS[hint])
        if (bare := without_alias(hint)) is not hint:
            return self.of(bare)
        origin = get_origin(hint) or hint
        if origin is Annotated:
            return self._annotated(hint)
        if origin in (Union, UnionType):
            return self._union(get_args(hint))
        if origin is Literal:
            return _enumeration(get_args(hint))
        if isinstance(origin, type):
            return self._class(origin, get_args(hint), hint)
        raise unsupported(hint)

    def of_member(self, member: Member, description: str | None) -> dict[str, Any]:
        """Write the schema of a field or parameter, with its description and default.

        Args:
            member: The field or parameter.
            description: What a docstring says of it; Annotated counts more.
        """
        schema = self.of(member.hint)
        if description:
            schema = {**schema, "description": schema.get("description", description)}
        if member.default is attrs.NOTHING or (member.default is None and not _takes_null(schema)):
            return schema
        try:
            return {**schema, "default": plain(member.default)}
        except (TypeError, ValueError):
            return schema  # A sentinel of the author's, which means nothing to others.

    def _annotated(self, hint: Any) -> dict[str, Any]:
        schema = self.of(hint.__origin__)
        for extra in hint.__metadata__:
            if isinstance(extra, str):
                schema["description"] = extra
            elif isinstance(extra, Arg):
                schema = _apply(extra, schema)
        return schema

    def _union(self, hints: Sequence[Any]) -> dict[str, Any]:
        schemas: list[dict[str, Any]] = []
        for schema in map(self.of, hints):
            if not schema:
                return {}
            if schema not in schemas:
                schemas.append(schema)
        return schemas[0] if len(schemas) == 1 else {"anyOf": schemas}

    def _class(self, origin: type, arguments: tuple[Any, ...], hint: Any) -> dict[str, Any]:
        if origin is tuple:
            return self._tuple(arguments)
        if origin in LISTS:
            return {"type": "array"} | self._items(arguments)
        if origin in SETS:
            return {"type": "array", "uniqueItems": True} | self._items(arguments)
        if origin in MAPPINGS:
            return self._mapping(arguments, hint)
        if issubclass(origin, Enum):
            return _enumeration([member.value for member in origin])
        if not arguments and is_record(origin):
            return self._record(origin)
        raise unsupported(hint)

    def _items(self, arguments: Sequence[Any]) -> dict[str, Any]:
        items = self.of(arguments[0]) if arguments else {}
        return {"items": items} if items else {}

    def _tuple(self, arguments: tuple[Any, ...]) -> dict[str, Any]:
        if not arguments:
            return {"type": "array"}
        if len(arguments) == 2 and arguments[1] is Ellipsis:
            return {"type": "array"} | self._items(arguments)
        items, count = [self.of(item) for item in arguments], len(arguments)
        return {"type": "array", "prefixItems": items, "minItems": count, "maxItems": count}

    def _mapping(self, arguments: tuple[Any, ...], hint: Any) -> dict[str, Any]:
        if not arguments:
            return {"type": "object"}
        keys, values = map(self.of, arguments)
        if keys.pop("type", None) != "string":
            raise UnsupportedHint(f"{spelled(hint)} has keys that are not text: JSON objects have string keys")
        names = {"propertyNames": keys} if keys else {}
        return {"type": "object"} | names | ({"additionalProperties": values} if values else {})

    def _record(self, cls: type) -> dict[str, Any]:
        """Write a class in place, or as a definition when it contains itself."""
        if cls in self._open or cls in self._names:
            return {"$ref": f"#/$defs/{self._name(cls)}"}
        self._open.append(cls)
        try:
            schema = self._object(cls)
        finally:
            self._open.remove(cls)
        if cls not in self._names:
            return schema
        self.definitions[self._names[cls]] = schema
        return {"$ref": f"#/$defs/{self._names[cls]}"}

    def _name(self, cls: type) -> str:
        """Name a definition after its class; classes of the same name are numbered."""
        if cls not in self._names:
            same = sum(name.partition("-")[0] == cls.__name__ for name in self._names.values())
            self._names[cls] = f"{cls.__name__}-{same + 1}" if same else cls.__name__
        return self._names[cls]

    def _object(self, cls: type) -> dict[str, Any]:
        doc = read_docstring(own_docstring(cls))
        members = [member for member in members_of(cls) if member.given or self._output]
        properties = {member.name: self.of_member(member, doc.parameters.get(member.name)) for member in members}
        always = self._output and not is_typeddict(cls)
        required = [member.name for member in members if member.required or always]
        schema: dict[str, Any] = {"type": "object"}
        if doc.description:
            schema["description"] = doc.description
        return schema | object_keywords(properties, required, closed=not self._output)


def object_keywords(properties: Mapping[str, Any], required: Sequence[str], *, closed: bool) -> dict[str, Any]:
    """Write the keywords of an object with known properties; a closed one refuses all others."""
    keywords: dict[str, Any] = {"properties": dict(properties)} if properties else {}
    if required:
        keywords["required"] = list(required)
    return keywords | ({"additionalProperties": False} if closed else {})


def without_alias(hint: Any) -> Any:
    """Take off one layer that is only a name: NewType, `type X = ...`, Required and NotRequired."""
    if isinstance(hint, NewType):
        return hint.__supertype__
    if type(hint).__name__ == "TypeAliasType":
        return hint.__value__
    return get_args(hint)[0] if get_origin(hint) in (Required, NotRequired) else hint


def _enumeration(values: Sequence[Any]) -> dict[str, Any]:
    """Write the values that a Literal or an Enum allows, with their type if they share one."""
    values = [value.value if isinstance(value, Enum) else value for value in values]
    kinds = {type(value) for value in values}
    if not values or not kinds <= _JSON_NAMES.keys():
        raise UnsupportedHint(f"the values {values!r} are not all text, numbers, booleans or None")
    shared = {"type": _JSON_NAMES[kinds.pop()]} if len(kinds) == 1 else {}
    return {**shared, "enum": values}


def _apply(arg: Arg, schema: dict[str, Any]) -> dict[str, Any]:
    if arg.header is not None:
        # A client leaves the header out for null, and only a plain type may be mirrored: null is not offered.
        schema = {**_without_null(schema), ANNOTATION: arg.header}
    described = {"description": arg.description} if arg.description else {}
    return {**schema, **described, **arg.schema}


def _without_null(schema: dict[str, Any]) -> dict[str, Any]:
    others = [choice for choice in schema.get("anyOf", ()) if choice != _NULL]
    return others[0] if len(others) == 1 else schema


def _takes_null(schema: Mapping[str, Any]) -> bool:
    """Tell whether a schema of ours allows null, which is not worth a validator."""
    if "enum" in schema:
        return None in schema["enum"]
    return "$ref" not in schema and schema.get("type", "null") == "null" and _NULL in schema.get("anyOf", [_NULL])


def _hashable(hint: Any) -> bool:
    try:
        hash(hint)
    except TypeError:
        return False
    return True


def unsupported(hint: Any) -> UnsupportedHint:
    """Make the error for a hint that has no JSON form."""
    return UnsupportedHint(
        f"{spelled(hint)} has no JSON form here; use an attrs class, a dataclass, a TypedDict, an Enum, "
        "str, int, float, bool, list or dict"
    )


def spelled(hint: Any) -> str:
    """Spell a hint as its author did, nearly."""
    return hint.__qualname__ if isinstance(hint, type) and not get_args(hint) else str(hint).replace("typing.", "")
