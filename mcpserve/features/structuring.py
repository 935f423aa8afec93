"""From JSON values to what a type hint promises: the one cattrs converter of the server, stricter than cattrs itself.

A value that does not fit raises ValueError with a sentence for the caller. Which member of a union a value belongs to
is decided by the members' schemas, in the order of the hint with plain text last.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import date, datetime
from decimal import Decimal
from enum import Enum
from pathlib import Path, PurePath
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin
from uuid import UUID

from cattrs import AttributeValidationNote, BaseValidationError, Converter, IterableValidationNote
from cattrs.cols import namedtuple_dict_structure_factory

from mcpserve.features.records import is_named_tuple
from mcpserve.features.schema import LISTS, MAPPINGS, Schemas, without_alias
from mcpserve.features.validation import Validator

Structure = Callable[[Any, Any], Any]

_MOMENT = re.compile(r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]\d\d:\d\d)", re.ASCII)
_DAY = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)
_PLAIN = (str, bool, NoneType, None, Any, object)


def structurer(hint: Any) -> Callable[[Any], Any] | None:
    """Give a function that turns JSON into a value of the type; None when JSON is that value already.

    The function raises BaseValidationError or ValueError; `problem_of` makes a sentence of them.
    """
    if is_plain(hint):
        return None
    if direct := _DIRECT.get(_bare(hint)):
        return lambda value: direct(value, hint)
    hook: Structure = converter.get_structure_hook(hint)
    return lambda value: hook(value, hint)


def is_plain(hint: Any) -> bool:
    """Tell whether a valid JSON value of this type is what the function wants, as it is."""
    hint = _bare(hint)
    arguments = get_args(hint)
    if _is_literal(hint):
        return all(type(value) is str for value in arguments)
    if _is_union(hint) or get_origin(hint) in (*LISTS, *MAPPINGS):
        return all(map(is_plain, arguments))
    return hint in _PLAIN or hint in LISTS or hint in MAPPINGS


def _bare(hint: Any) -> Any:
    """Take all names and annotations off a hint."""
    while (bare := hint.__origin__ if get_origin(hint) is Annotated else without_alias(hint)) is not hint:
        hint = bare
    return hint


def _is_literal(hint: Any) -> bool:
    origin: Any = get_origin(hint)
    return origin is Literal


def _is_union(hint: Any) -> bool:
    return get_origin(hint) in (Union, UnionType)


def _is_enum(hint: Any) -> bool:
    return isinstance(hint, type) and issubclass(hint, Enum)


def _integer(value: Any, _hint: Any) -> int:
    # JSON has one kind of number: 3.0 is an integer in JSON Schema, and an int for Python.
    if type(value) is int:
        return value
    if isinstance(value, float) and value.is_integer():
        return int(value)
    raise ValueError("not an integer")


def _number(value: Any, _hint: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError("not a number")
    try:
        return float(value)
    except OverflowError as error:
        raise ValueError("too large a number") from error


def _text(value: Any, _hint: Any) -> str:
    if not isinstance(value, str):
        raise ValueError("not text")
    return value


def _boolean(value: Any, _hint: Any) -> bool:
    if not isinstance(value, bool):
        raise ValueError("not true or false")
    return value


def _bytes(value: Any, hint: Any) -> bytes:
    try:
        return base64.b64decode(_text(value, hint), validate=True)
    except binascii.Error as error:
        raise ValueError("not base64") from error


def _moment(value: Any, hint: Any) -> datetime:
    if _MOMENT.fullmatch(text := _text(value, hint)):
        try:
            return datetime.fromisoformat(text.upper())
        except ValueError:
            pass
    raise ValueError("not a date and time with its offset as in RFC 3339, such as 2026-01-31T12:00:00Z")


def _day(value: Any, hint: Any) -> date:
    if _DAY.fullmatch(text := _text(value, hint)):
        try:
            return date.fromisoformat(text)
        except ValueError:
            pass
    raise ValueError("not a date, such as 2026-01-31")


def _uuid(value: Any, hint: Any) -> UUID:
    try:
        return UUID(_text(value, hint))
    except ValueError as error:
        raise ValueError("not a UUID") from error


def _decimal(value: Any, hint: Any) -> Decimal:
    try:
        number = Decimal(_text(value, hint))
    except ArithmeticError as error:
        raise ValueError("not a decimal number as text") from error
    if not number.is_finite():
        raise ValueError("not a finite number")
    return number


def _path(value: Any, hint: Any) -> Path:
    return Path(_text(value, hint))


_DIRECT: Mapping[Any, Structure] = {
    int: _integer,
    float: _number,
    str: _text,
    bool: _boolean,
    bytes: _bytes,
    datetime: _moment,
    date: _day,
    UUID: _uuid,
    Decimal: _decimal,
    Path: _path,
    PurePath: _path,
}


def _choice(values: Sequence[Any]) -> Structure:
    """Make a hook that finds the one of some values that JSON means: 1, 1.0 and true are told apart as JSON does."""
    known = {_key(value.value if isinstance(value, Enum) else value): value for value in values}

    def choose(value: Any, _hint: Any) -> Any:
        try:
            return known[_key(value)]
        except (KeyError, TypeError) as error:
            raise ValueError("not one of the allowed values") from error

    return choose


def _key(value: Any) -> tuple[bool, Any]:
    return isinstance(value, bool), value


def _union(hint: Any) -> Structure:
    """Make a hook that structures a value as the first member of a union whose schema takes it."""
    members = sorted(get_args(_bare(hint)), key=lambda member: _bare(member) is str)
    choices = [(_validator(member), structurer(member)) for member in members]

    def structure(value: Any, _hint: Any) -> Any:
        for validator, make in choices:
            if validator.is_valid(value):
                return value if make is None else make(value)
        # The value has passed the tool's schema, where formats don't assert: each member says what it misses.
        raise ValueError(", and ".join(_complaints((make for _, make in choices if make), value)))

    return structure


def _complaints(makers: Iterable[Callable[[Any], Any]], value: Any) -> Iterator[str]:
    for make in makers:
        try:
            make(value)
        except (ValueError, TypeError, BaseValidationError) as error:
            yield (problem_of(error, "") or "no such value").lstrip(":. ")


def _validator(hint: Any) -> Validator:
    schemas = Schemas()
    schema = schemas.of(hint)
    return Validator({**schema, "$defs": schemas.definitions}, f"the schema of {hint}", formats=True)


def _make_converter() -> Converter:
    made = Converter(use_alias=True)
    for kind, hook in _DIRECT.items():
        made.register_structure_hook(kind, hook)
    made.register_structure_hook_factory(_is_literal, lambda hint: _choice(get_args(hint)))
    made.register_structure_hook_factory(_is_enum, lambda hint: _choice(list(hint)))
    made.register_structure_hook_factory(_is_union, _union)
    made.register_structure_hook_factory(is_named_tuple, namedtuple_dict_structure_factory)
    return made


converter = _make_converter()


def problem_of(error: Exception, path: str) -> str | None:
    """Say in a sentence what was wrong with a value; None when the error is not the value's fault.

    Args:
        error: What a structurer raised.
        path: The name of the value, such as `when`.
    """
    for place, leaf in _leaves(error, path):
        text = leaf.args[0] if leaf.args else None
        if isinstance(leaf, ValueError | TypeError) and isinstance(text, str):
            return f"{place}: {text}"
    return None


def _leaves(error: Exception, path: str) -> Iterator[tuple[str, Exception]]:
    """Walk through the errors that cattrs gathered, each with the path of its value."""
    if not isinstance(error, BaseValidationError):
        yield path, error
        return
    for inner in error.exceptions:
        yield from _leaves(inner, path + "".join(map(_step, getattr(inner, "__notes__", ()))))


def _step(note: object) -> str:
    if isinstance(note, IterableValidationNote):
        return f"[{note.index}]" if isinstance(note.index, int) else f".{note.index}"
    return f".{note.name}" if isinstance(note, AttributeValidationNote) else ""
