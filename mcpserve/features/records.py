"""Classes that are objects in JSON: attrs classes, dataclasses, TypedDicts and NamedTuples, and their fields."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, NotRequired, Required, get_origin, get_type_hints, is_typeddict

import attrs


class UnsupportedHint(TypeError):
    """A type hint that has no JSON Schema here; the message names it and what to write instead."""


@attrs.frozen(kw_only=True)
class Member:
    """A field of a class, as JSON sees it.

    Args:
        name: The name in JSON: the name in the class's `__init__`.
        hint: The type hint, with Annotated.
        required: False when there is a default, or when a TypedDict says so.
        default: The default, or attrs.NOTHING.
        given: False when `__init__` does not take it: such a field is only in results.
    """

    name: str
    hint: Any
    required: bool
    default: Any
    given: bool = True


def is_record(cls: type) -> bool:
    """Tell whether a class is an object in JSON, with the fields that `members_of` reads."""
    return is_typeddict(cls) or attrs.has(cls) or dataclasses.is_dataclass(cls) or is_named_tuple(cls)


def is_named_tuple(cls: Any) -> bool:
    """Tell whether a class is a NamedTuple."""
    return isinstance(cls, type) and issubclass(cls, tuple) and hasattr(cls, "_field_defaults")


def members_of(cls: Any) -> list[Member]:
    """Read the fields of an attrs class, dataclass, TypedDict or NamedTuple.

    Raises:
        UnsupportedHint: A hint names something that can't be found.
    """
    try:
        hints = get_type_hints(cls, include_extras=True)
    except (NameError, TypeError, AttributeError) as error:
        raise UnsupportedHint(
            f"a hint in the class {cls.__qualname__} can't be resolved ({error}); "
            "define or import the name at module level"
        ) from error
    return list(_members(cls, hints))


def _members(cls: Any, hints: Mapping[str, Any]) -> Iterator[Member]:
    if is_typeddict(cls):
        for name, hint in hints.items():
            yield Member(name=name, hint=hint, required=_is_required(cls, name, hint), default=attrs.NOTHING)
    elif attrs.has(cls):
        for field in attrs.fields(cls):
            hint, default = hints.get(field.name, Any), _default(field.default)
            required = field.default is attrs.NOTHING
            yield Member(name=field.alias, hint=hint, required=required, default=default, given=field.init)
    elif is_named_tuple(cls):
        for name in cls._fields:
            default = cls._field_defaults.get(name, attrs.NOTHING)
            yield Member(name=name, hint=hints.get(name, Any), required=default is attrs.NOTHING, default=default)
    else:
        for item in dataclasses.fields(cls):
            required = item.default is item.default_factory is dataclasses.MISSING
            default = attrs.NOTHING if item.default is dataclasses.MISSING else item.default
            yield Member(name=item.name, hint=hints[item.name], required=required, default=default, given=item.init)


def _default(default: Any) -> Any:
    """Give an attrs field's default; one that a factory makes anew each time is not told."""
    return attrs.NOTHING if isinstance(default, attrs.Factory) else default  # type: ignore[arg-type]


def _is_required(cls: Any, name: str, hint: Any) -> bool:
    # With `from __future__ import annotations`, __required_keys__ can't see Required and NotRequired; the hint can.
    while get_origin(hint) is Annotated:
        hint = hint.__origin__
    origin = get_origin(hint)
    return bool(origin is Required or (origin is not NotRequired and name in cls.__required_keys__))


def own_docstring(cls: type) -> str | None:
    """Give the docstring that the author wrote for this very class, not one inherited or made by a decorator."""
    text = cls.__dict__.get("__doc__")
    made = dataclasses.is_dataclass(cls) or is_named_tuple(cls)
    return None if not text or (made and re.match(rf"{re.escape(cls.__name__)}\(", text)) else text
