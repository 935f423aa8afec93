"""Reading JSON that others wrote: what must be there, and what may be there if it fits.

A member that must be there and is not, or is of another type, is a ValueError that names it. One that may be there and
does not fit is no error: it goes to `extra`, with those that have no name here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

Shape = Mapping[str, Any]
Value = TypeVar("Value")
Fit = Callable[[Any], Any]
"""Makes a value of an optional member; None when it says nothing, or is none."""
Members = Mapping[str, tuple[str, Fit]]
"""The optional members of a shape: their Python names, and what makes values of them."""

_KINDS: Mapping[type, str] = {str: "a string", dict: "an object", list: "an array"}


def required(shape: Any, name: str, kind: type) -> Any:
    """A member that must be there, of this type; a ValueError names it if it is not."""
    if not isinstance(shape, dict):
        raise ValueError("it must be an object")
    value = shape.get(name)
    if not isinstance(value, kind):
        raise ValueError(f'"{name}" must be {_KINDS[kind]}' if name in shape else f'"{name}" is missing')
    return value


def each(shapes: Sequence[Any], read: Callable[[Any], Value], name: str) -> list[Value]:
    """Read the elements of an array; an error says which one is wrong."""
    values: list[Value] = []
    for shape in shapes:
        try:
            values.append(read(shape))
        except ValueError as error:
            raise ValueError(f"{name}[{len(values)}]: {error}") from None
    return values


def optional(shape: Shape, members: Members, taken: Sequence[str] = ()) -> dict[str, Any]:
    """Arguments for all members that are not taken yet: those that fit under their names, the others as `extra`."""
    found: dict[str, Any] = {}
    extra: dict[str, Any] = {}
    for name, value in shape.items():
        if name in taken:
            continue
        member = members.get(name)
        fitting = None if member is None else member[1](value)
        if member is None or fitting is None:
            extra[name] = value
        else:
            found[member[0]] = fitting
    if extra:
        found["extra"] = extra
    return found


def every(value: Any, key: str, read: Callable[[Shape], Value]) -> list[Value] | None:
    """Read an array of objects that can't be without one text; None if there is nothing in it, or something else."""
    if not (value and isinstance(value, list)):
        return None
    if not all(isinstance(shape, dict) and isinstance(shape.get(key), str) for shape in value):
        return None
    return [read(shape) for shape in value]


def string(value: Any) -> str | None:
    """A text."""
    return value if isinstance(value, str) else None


def flag(value: Any) -> bool | None:
    """True or false."""
    return value if isinstance(value, bool) else None


def number(value: Any) -> float | None:
    """A number."""
    return value if isinstance(value, int | float) and not isinstance(value, bool) else None


def integer(value: Any) -> int | None:
    """A whole number."""
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def mapping(value: Any) -> dict[str, Any] | None:
    """An object."""
    return value if isinstance(value, dict) else None


def strings(value: Any) -> list[str] | None:
    """A list of texts."""
    return value if isinstance(value, list) and all(isinstance(one, str) for one in value) else None
