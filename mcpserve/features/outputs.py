"""From a function's return hint to the schema of its structured result."""

from __future__ import annotations

from collections.abc import Awaitable, Coroutine
from types import NoneType, UnionType
from typing import Annotated, Any, Never, NoReturn, Union, get_args, get_origin

from twisted.internet.defer import Deferred

from mcpserve.features.schema import LISTS, Schemas, without_alias
from mcpserve.protocol.types import CONTENT_TYPES, Result

_TEXT = (str, None, NoneType)
_OPEN = (Any, object, bytes, Never, NoReturn, Result, *CONTENT_TYPES)


def output_schema_of(hint: Any) -> tuple[dict[str, Any] | None, bool]:
    """Write the output schema that a return hint promises, and tell whether the result is wrapped in an object.

    None for hints that promise no JSON: text, bytes, content blocks, Result, None, Any, or a bare list or tuple.

    Raises:
        UnsupportedHint: The hint has no JSON form.

    Spec: Tools, Output Schema; until 2025-11-25 the root must be an object, so anything else is wrapped.
    """
    hint = awaited(hint)
    if _is_content(hint):
        return None, False
    schemas = Schemas(output=True)
    schema = schemas.of(hint)
    definitions = {"$defs": schemas.definitions} if schemas.definitions else {}
    if "$ref" in schema:
        schema = schemas.definitions[schema["$ref"].rpartition("/")[2]]
    if schema.get("type") == "object":
        return {**schema, **definitions}, False
    return {"type": "object", "properties": {"result": schema}, "required": ["result"], **definitions}, True


def awaited(hint: Any) -> Any:
    """Give the type of what a coroutine, a Deferred or another awaitable ends with."""
    hint = _bare(hint)
    origin, arguments = get_origin(hint), get_args(hint)
    if origin in (Awaitable, Deferred) and arguments:
        return awaited(arguments[0])
    if origin is Coroutine and len(arguments) == 3:
        return awaited(arguments[2])
    return Any if hint in (Awaitable, Deferred, Coroutine) else hint


def _is_content(hint: Any) -> bool:
    """Tell whether a hint promises content for the model rather than JSON."""
    members = list(map(_bare, get_args(hint))) if get_origin(hint) in (Union, UnionType) else [hint]
    return all(member in _TEXT for member in members) or any(map(_is_open, members))


def _is_open(hint: Any) -> bool:
    origin, arguments = get_origin(hint) or hint, get_args(hint)
    if origin not in (*LISTS, tuple):
        return hint in _OPEN
    items = [_bare(item) for item in arguments if item is not Ellipsis]
    parts = [part for item in items for part in (get_args(item) or [item])]
    return not items or any(part in _OPEN for part in parts)


def _bare(hint: Any) -> Any:
    """Take all names off a hint; annotations stay where they describe JSON."""
    while (bare := without_alias(hint)) is not hint:
        hint = bare
    if get_origin(hint) is Annotated and _is_content(inner := _bare(hint.__origin__)):
        return inner
    return hint
