"""From what plugin authors return to plain JSON.

Values count, not hints: an attrs class, a dataclass or a named tuple becomes an object by its fields, an enum its
value, dates RFC 3339 text, bytes base64, sets sorted lists. What has no JSON form is an error that says where it is.
"""

from __future__ import annotations

import base64
import dataclasses
import math
from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from datetime import date, datetime
from decimal import Decimal
from enum import Enum
from functools import lru_cache
from pathlib import PurePath
from typing import Any, NoReturn
from uuid import UUID

import attrs
import orjson

_OPTIONS = orjson.OPT_NON_STR_KEYS | orjson.OPT_PASSTHROUGH_DATETIME | orjson.OPT_PASSTHROUGH_DATACLASS


def json_text(value: Any) -> bytes:
    """Write a value as JSON.

    Raises:
        TypeError: Something in it has no JSON form.
        ValueError: A number in it is not finite or too large, or a text is not Unicode.
    """
    try:
        text = orjson.dumps(value, default=_simpler, option=_OPTIONS)
    except TypeError as error:
        raise _explained(value, error) from error
    # orjson writes NaN and Infinity as null; that is looked into only where a null was written.
    if b"null" in text and (place := _find(value, _not_finite)) is not None:
        raise ValueError(f"{place} is not a finite number, which JSON can't say")
    return text


def plain(value: Any) -> Any:
    """Turn a value into what JSON knows: dicts with string keys, lists, strings, numbers, booleans and None.

    Raises:
        TypeError, ValueError: As `json_text`.
    """
    return orjson.loads(json_text(value))


def _simpler(value: Any) -> Any:
    """Give the next simpler form of a value that the JSON codec does not know."""
    cls: Any = type(value)
    return _simplifier(cls)(value)


@lru_cache(1024)
def _simplifier(cls: Any) -> Callable[[Any], Any]:
    """Find what makes the values of a class simpler; found once for each class."""
    if attrs.has(cls):
        return _fields_reader([(field.alias, field.name) for field in attrs.fields(cls)])
    if dataclasses.is_dataclass(cls):
        return _fields_reader([(field.name, field.name) for field in dataclasses.fields(cls)])
    return next((simplify for kind, simplify in _SIMPLER if issubclass(cls, kind)), _refuse)


def _fields_reader(names: Sequence[tuple[str, str]]) -> Callable[[Any], dict[str, Any]]:
    return lambda value: {shown: getattr(value, name) for shown, name in names}


def _refuse(value: Any) -> NoReturn:
    raise TypeError(type(value).__name__)


def _moment(value: datetime) -> str:
    """Write a moment as RFC 3339, which wants an offset: as in `datetime.astimezone`, none means local time."""
    return (value if value.tzinfo else value.astimezone()).isoformat()


def _in_order(values: Set[Any]) -> list[Any]:
    """List a set in an order that is the same each time, if its members have one."""
    try:
        return sorted(values)
    except TypeError:
        return list(values)


def _base64(data: bytes | bytearray | memoryview) -> str:
    return base64.b64encode(data).decode("ascii")


_SIMPLER: tuple[tuple[type[Any], Callable[[Any], Any]], ...] = (
    (datetime, _moment),
    (date, date.isoformat),
    (UUID, str),
    (PurePath, str),
    (Decimal, str),
    (bytes, _base64),
    (bytearray, _base64),
    (memoryview, _base64),
    (Enum, lambda value: value.value),
    (tuple, lambda value: value._asdict() if hasattr(value, "_asdict") else list(value)),
    (Set, _in_order),
    (Mapping, dict),
    (Sequence, list),
)


def _explained(value: Any, error: TypeError) -> Exception:
    """Say where in a value the codec failed, and why."""
    if (place := _find(value, _unknown)) is not None:
        return TypeError(f"{place} has no JSON form; use an attrs class, a dict, a list, text or a number instead")
    return ValueError(f"the value can't be written as JSON: {error}")


def _not_finite(value: Any) -> bool:
    return isinstance(value, float) and not math.isfinite(value)


def _unknown(value: Any) -> bool:
    try:
        orjson.dumps(value, default=lambda inner: _simpler(inner) and None, option=_OPTIONS)
    except TypeError as error:
        return isinstance(error.__cause__, TypeError)
    return False


def _find(value: Any, wrong: Callable[[Any], bool]) -> str | None:
    """Find the first leaf that is wrong; tell its path and type, as in `items[3].price (float)`."""
    for path, leaf in _leaves(value, "the value", 0):
        if wrong(leaf):
            return f"{path} ({type(leaf).__name__})"
    return None


def _leaves(value: Any, path: str, depth: int) -> Iterator[tuple[str, Any]]:
    """Walk through all leaves of a value with their paths, not deeper than the codec itself."""
    if value is None or isinstance(value, str | int | float) or depth > 254:
        yield path, value
    elif isinstance(value, dict):
        for key, item in value.items():
            yield from _leaves(item, f"{path}.{key}", depth + 1)
    elif type(value) in (list, tuple):
        for index, item in enumerate(value):
            yield from _leaves(item, f"{path}[{index}]", depth + 1)
    else:
        try:
            simpler = _simpler(value)
        except TypeError:
            yield path, value
        else:
            yield from _leaves(simpler, path, depth + 1)
