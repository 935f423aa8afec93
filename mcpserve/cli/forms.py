"""The forms that servers want to be filled in: their fields, and what a user writes into them.

A field knows what it is called, what is in it if the user writes nothing, and which values fit.
Spec: 2026-07-28, Elicitation, Requested Schema (and 2025-11-25, 2025-06-18).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import attrs

from mcpserve.cli.arguments import ArgumentError, Place, typed
from mcpserve.errors import PluginError
from mcpserve.features.validation import Validator
from mcpserve.protocol.types import ABSENT

_CONSTRAINTS = ("type", "minLength", "maxLength", "pattern", "format", "minimum", "maximum", "minItems", "maxItems")
_CHOSEN = ("enum", "const", "oneOf", "anyOf", "items", "uniqueItems")


class FieldError(ValueError):
    """What a user wrote does not fit; the message says why."""


@attrs.frozen
class Choice:
    """A value that may be chosen, and what it is called."""

    value: Any
    title: str


@attrs.frozen(kw_only=True)
class Field:
    """One field of a form.

    Args:
        name: Its name in the answer.
        title: What it is called.
        description: What it is about.
        schema: What fits.
        required: The form can't be sent without it.
        default: What it holds if nothing is written; ABSENT if nothing.
        choices: What can be chosen, if it is no free field.
        several: More than one can be chosen.
    """

    name: str
    title: str
    description: str
    schema: Mapping[str, Any]
    required: bool
    default: Any
    choices: Sequence[Choice]
    several: bool

    def read(self, text: str) -> Any:
        """The value of what a user wrote.

        Raises:
            FieldError: It does not fit.
        """
        if self.choices:
            value = [self._chosen(part) for part in _parted(text)] if self.several else self._chosen(text)
        else:
            try:
                value = typed(text, Place(self.schema, self.schema), self.title)
            except ArgumentError as error:
                raise FieldError(str(error)) from error
        return self.checked(value)

    def checked(self, value: Any) -> Any:
        """The value, if it fits.

        Raises:
            FieldError: It does not.
        """
        problems = _problems(self.schema, value)
        if problems:
            raise FieldError("; ".join(problems))
        return value

    def spelled(self, value: Any) -> str:
        """How a value is shown, and could be written."""
        if isinstance(value, list):
            return ", ".join(map(self.spelled, value))
        for choice in self.choices:
            if choice.value == value:
                return choice.title
        return str(value).lower() if isinstance(value, bool) else str(value)

    def _chosen(self, text: str) -> Any:
        """By its value, its title, or its number."""
        for choice in self.choices:
            if text in (str(choice.value), choice.title):
                return choice.value
        if text.isdecimal() and 0 < int(text) <= len(self.choices):
            return self.choices[int(text) - 1].value
        raise FieldError(f"{text!r} is none of the choices")


def fields_of(schema: Mapping[str, Any]) -> list[Field]:
    """The fields of a form, in their order; what is no field is left out."""
    properties, required = schema.get("properties"), schema.get("required")
    wanted = required if isinstance(required, list) else []
    items = properties.items() if isinstance(properties, Mapping) else ()
    return [_field(name, field, name in wanted) for name, field in items if isinstance(field, Mapping)]


def fill_in(fields: Sequence[Field], given: Mapping[str, str]) -> dict[str, Any]:
    """Fill a form in without asking: what is given, else the defaults.

    Raises:
        FieldError: A required field has no value, or one does not fit.
    """
    values: dict[str, Any] = {}
    for field in fields:
        try:
            value = field.read(given[field.name]) if field.name in given else field.default
        except FieldError as error:
            raise FieldError(f"{field.name}: {error}") from error
        if value is not ABSENT:
            values[field.name] = value
        elif field.required:
            raise FieldError(f"{field.name} is required")
    return values


def _field(name: str, field: Mapping[str, Any], required: bool) -> Field:
    items = field.get("items")
    several = field.get("type") == "array" and isinstance(items, Mapping)
    return Field(
        name=name,
        title=_text(field.get("title")) or name,
        description=_text(field.get("description")),
        schema={key: field[key] for key in (*_CONSTRAINTS, *_CHOSEN) if key in field},
        required=required,
        default=field.get("default", ABSENT),
        choices=_choices(items if several else field),
        several=several,
    )


def _choices(field: Any) -> list[Choice]:
    """Of `enum` with or without `enumNames`, of `oneOf` or `anyOf` with `const` and `title`; and of a boolean, none."""
    titled = field.get("oneOf") or field.get("anyOf")
    if isinstance(titled, list):
        options = [one for one in titled if isinstance(one, Mapping) and "const" in one]
        return [Choice(one["const"], _text(one.get("title")) or str(one["const"])) for one in options]
    values, names = field.get("enum"), field.get("enumNames")
    if not isinstance(values, list):
        return []
    titles = names if isinstance(names, list) and len(names) == len(values) else values
    return [Choice(value, str(title)) for value, title in zip(values, titles, strict=True)]


def _problems(schema: Mapping[str, Any], value: Any) -> list[str]:
    try:
        return Validator(schema, "the field", formats=True).problems(value)
    except PluginError:
        return []  # a field that can't be understood is the server's to check


def _parted(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""
