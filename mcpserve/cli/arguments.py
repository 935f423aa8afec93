"""Arguments of a tool as words of a command line: `name=value`, with the type that the tool's schema wants.

city=Paris            a string, or what the schema says: "a number", then Paris is refused
days=3                3, or "3" where a string is wanted
tags=a tags=b         a list; tags='["a", "b"]' is the same
filter.min=3          {"filter": {"min": 3}}, unless there is an argument called "filter.min"
filter='{"min": 3}'   the same
days:=3               JSON as it stands, whatever the schema says
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NoReturn

import attrs

Schema = Mapping[str, Any]

_WORD = re.compile(r"(?P<name>[^=]+?)(?P<json>:)?=(?P<text>.*)", re.DOTALL)
_TRUTH = {"true": True, "yes": True, "on": True, "false": False, "no": False, "off": False}
_ALTERNATIVES = ("anyOf", "oneOf", "allOf")
_DEPTH = 32
"""How far references and alternatives are followed; a schema may be a circle."""


class ArgumentError(ValueError):
    """A word that can't be an argument; the message says why, and what could."""


@attrs.frozen
class Place:
    """A part of a schema, and the whole that its references mean."""

    schema: Schema
    root: Schema


def read_arguments(words: Iterable[str], schema: Schema, given: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Read `name=value` words.

    Args:
        words: The words.
        schema: The input schema of the tool.
        given: Arguments that are known; words replace and extend them.

    Raises:
        ArgumentError: A word is not of this form, or its value is not what the schema wants.
    """
    whole = Place(schema, schema)
    arguments: dict[str, Any] = _copied(given or {})
    seen: set[tuple[str, ...]] = set()
    for word in words:
        found = _WORD.fullmatch(word)
        if found is None:
            raise ArgumentError(f"an argument is NAME=VALUE, and not {word!r}")
        path = _path(found["name"], whole)
        place = _followed(whole, path)
        if found["json"]:
            value = read_json(found["text"], f"the value of {found['name']}")
        else:
            value = typed(found["text"], place, found["name"])
        _put(arguments, path, value, again=path in seen)
        seen.add(path)
    return arguments


def read_json(text: str, what: str) -> Any:
    """Read JSON.

    Raises:
        ArgumentError: It is none.
    """
    try:
        return json.loads(text, parse_constant=_no_number)
    except (ValueError, RecursionError) as error:
        raise ArgumentError(f"{what} is not JSON: {error}") from error


def typed(text: str, place: Place, name: str) -> Any:
    """The value that a text stands for where the schema wants it.

    Raises:
        ArgumentError: It can't stand there.
    """
    wanted = list(dict.fromkeys(_types(place)))
    value = _guessed(text)
    if not wanted:
        return value
    if _is_one_of(value, wanted):
        return value
    if "boolean" in wanted and text.lower() in _TRUTH:
        return _TRUTH[text.lower()]
    if "string" in wanted:
        return text
    if "array" in wanted:
        return [typed(text, _member(place, "items"), name)]
    raise ArgumentError(f"{name} must be {_spelled(wanted)}, and not {text!r}")


def named(schema: Schema) -> Sequence[str]:
    """The names of the arguments that a schema knows."""
    properties = schema.get("properties")
    return list(properties) if isinstance(properties, Mapping) else []


# --- where in the schema


def _path(name: str, whole: Place) -> tuple[str, ...]:
    if name in named(whole.schema):
        return (name,)
    path = tuple(name.split("."))
    if not all(path):
        raise ArgumentError(f"{name!r} is no name of an argument")
    return path


def _followed(place: Place, path: Sequence[str]) -> Place:
    for name in path:
        place = _property(place, name)
    return place


def _property(place: Place, name: str) -> Place:
    for part in _parts(place):
        properties = part.get("properties")
        if isinstance(properties, Mapping) and isinstance(properties.get(name), Mapping):
            return Place(properties[name], place.root)
    return _member(place, "additionalProperties")


def _member(place: Place, keyword: str) -> Place:
    for part in _parts(place):
        if isinstance(part.get(keyword), Mapping):
            return Place(part[keyword], place.root)
    return Place({}, place.root)


def _parts(place: Place, depth: int = 0) -> Iterator[Schema]:
    """The schema itself, what it refers to within its document, and its alternatives."""
    yield place.schema
    if depth == _DEPTH:
        return
    referred = _referred(place)
    alternatives = [part for keyword in _ALTERNATIVES for part in _listed(place.schema.get(keyword))]
    for part in (*([referred] if referred is not None else []), *alternatives):
        yield from _parts(Place(part, place.root), depth + 1)


def _listed(value: object) -> list[Schema]:
    return [part for part in value if isinstance(part, Mapping)] if isinstance(value, list) else []


def _referred(place: Place) -> Schema | None:
    reference = place.schema.get("$ref")
    if not isinstance(reference, str) or not reference.startswith("#"):
        return None  # "Implementations MUST NOT automatically dereference $ref values that resolve to a network URI."
    found: Any = place.root
    for step in filter(None, reference[1:].split("/")):
        name = step.replace("~1", "/").replace("~0", "~")
        found = found.get(name) if isinstance(found, Mapping) else None
    return found if isinstance(found, Mapping) else None


def _types(place: Place) -> Iterator[str]:
    for part in _parts(place):
        kind = part.get("type")
        yield from (one for one in (kind if isinstance(kind, list) else [kind]) if isinstance(one, str))
        if kind is None:
            allowed = part.get("enum")
            yield from map(
                _type_of, allowed if isinstance(allowed, list) else ([part["const"]] if "const" in part else ())
            )


def _allowed(part: Schema) -> Sequence[Any]:
    values = part.get("enum", [part["const"]] if "const" in part else [])
    return values if isinstance(values, list) else []


# --- values


def _guessed(text: str) -> Any:
    try:
        return read_json(text, "it")
    except ArgumentError:
        return text


def _type_of(value: Any) -> str:
    if isinstance(value, bool):
        return "boolean"
    kinds = {int: "integer", float: "number", str: "string", list: "array", dict: "object"}
    return kinds.get(type(value), "null")


def _is_one_of(value: Any, wanted: Sequence[str]) -> bool:
    """Whether a guessed value is of a type that is wanted; a text in quotes is not taken for JSON."""
    kind = _type_of(value)
    if kind == "string":
        return False
    if kind == "integer" and "number" in wanted:
        return True
    if kind == "number" and "integer" in wanted and "number" not in wanted:
        return bool(value.is_integer())  # JSON Schema, Validation: 1.0 is an integer
    return kind in wanted


def _spelled(wanted: Sequence[str]) -> str:
    names = {"boolean": "true or false", "object": "an object in JSON", "integer": "a whole number"}
    return " or ".join(names.get(kind, f"a {kind}") for kind in wanted)


def _no_number(name: str) -> NoReturn:
    raise ValueError(f"{name} is no number in JSON")


# --- the outcome


def _copied(given: Mapping[str, Any]) -> dict[str, Any]:
    return {name: _copied(value) if isinstance(value, dict) else value for name, value in given.items()}


def _put(arguments: dict[str, Any], path: Sequence[str], value: Any, *, again: bool) -> None:
    place = arguments
    for name in path[:-1]:
        place = place.setdefault(name, {})
        if not isinstance(place, dict):
            raise ArgumentError(f"{'.'.join(path)}: {name} is no object")
    last = path[-1]
    if not again:
        place[last] = value
    elif isinstance(place.get(last), list) and isinstance(value, list):
        place[last] = [*place[last], *value]
    else:
        raise ArgumentError(f"{'.'.join(path)} is given twice, and is no list")
