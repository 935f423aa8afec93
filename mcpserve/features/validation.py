"""JSON Schema validators, compiled once: what is wrong with a value, in sentences that a model can act on.

The network is never touched: a reference to another document is refused when the schema is compiled.
Dialects: 2020-12 (also without `$schema`), 2019-09, draft-07, draft-06 and draft-04.
Spec: Overview, JSON Schema Usage (2026-07-28).
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from typing import Any, NoReturn

import jsonschema_rs

from mcpserve.errors import PluginError
from mcpserve.features import fanning

_DIALECTS = (
    "https://json-schema.org/draft/2020-12/schema",
    "https://json-schema.org/draft/2019-09/schema",
    "http://json-schema.org/draft-07/schema",
    "http://json-schema.org/draft-06/schema",
    "http://json-schema.org/draft-04/schema",
)
_VALUE = "\0"
"""Stands in the validator's messages for the value, which we shorten."""
_VALUE_LENGTH, _MESSAGE_LENGTH = 60, 240
_MOST_WAYS = 500
"""Ways along which a value is explained; each takes some 50 microseconds."""
_WIDEST_FAN = 10_000
"""Alternatives for one value that a schema may have: even a flat value is compared with all of them."""
_NO_WAY = "the value does not fit the schema, and is nested too deeply among its alternatives to say where"


class Validator:
    """A compiled JSON Schema.

    Args:
        schema: The schema; it is not kept.
        what: What the schema belongs to, for errors: "the input schema of the tool 'add'".
        formats: True when `format` asserts (a date must be a date); else as the dialect has it.

    Raises:
        PluginError: The schema is not valid, names a dialect that is not supported, refers to another document, or has
            more alternatives than anybody can look at.
    """

    def __init__(self, schema: Any, what: str, *, formats: bool | None = None) -> None:
        _check_dialect(schema, what)
        try:
            self._compiled = jsonschema_rs.validator_for(
                schema, retriever=_refuse_retrieval, mask=_VALUE, validate_formats=formats
            )
        except (ValueError, TypeError, jsonschema_rs.ReferencingError) as error:
            raise PluginError(f"{what} is not a valid JSON Schema: {_reason(error, schema)}") from error
        self.is_valid = self._compiled.is_valid
        self._fan = fanning.fan(schema)
        if self._fan > _WIDEST_FAN:
            raise PluginError(
                f"{what} has more than {_WIDEST_FAN} alternatives, one within another, for a single value"
            )

    def problems(self, instance: Any, limit: int = 5) -> list[str]:
        """Say what is wrong with a value: path and remedy for each problem; empty when nothing is.

        Args:
            instance: A JSON value.
            limit: The most problems to tell of, at least 1.
        """
        if self.is_valid(instance):
            return []
        if self._fan > 1 and self._fan ** min(fanning.depth(instance) + 1, 30) > _MOST_WAYS:
            return [_NO_WAY]
        sentences = dict.fromkeys(map(_sentence, _leaves(self._compiled.iter_errors(instance))))
        return list(islice(sentences, limit))


def _check_dialect(schema: Any, what: str) -> None:
    """Refuse a schema of an unknown dialect, or that is no object."""
    if not isinstance(schema, Mapping):
        raise PluginError(f"{what} must be a JSON object, not {type(schema).__name__}")
    # "They MUST handle unsupported dialects gracefully by returning an appropriate error indicating the dialect is not
    # supported."
    dialect = schema.get("$schema", _DIALECTS[0])
    if not isinstance(dialect, str) or dialect.rstrip("#") not in _DIALECTS:
        raise PluginError(f"{what} has the dialect {dialect!r}, which is not supported; use {_DIALECTS[0]}")


def _refuse_retrieval(uri: str) -> NoReturn:
    # "Implementations MUST NOT automatically dereference $ref values that resolve to a network URI."
    raise ValueError(f"{uri} is another document")


def _reason(error: Exception, schema: Any) -> str:
    if not isinstance(error, jsonschema_rs.ValidationError):
        return str(error)
    if error.kind.name == "$ref":
        return f"a $ref can't be resolved, and other documents are never fetched: {error.message}; put it under $defs"
    return _sentence(error)


def _leaves(errors: Iterator[jsonschema_rs.ValidationError]) -> Iterator[jsonschema_rs.ValidationError]:
    """Replace "none of the alternatives fits" by the problems of the alternative that came closest."""
    for error in errors:
        closest = max(_branches(error), key=_closeness, default=())
        if closest and _closeness(closest) > (len(error.instance_path), 0):
            yield from _leaves(iter(closest))
        else:
            yield error


def _branches(error: jsonschema_rs.ValidationError) -> list[Sequence[jsonschema_rs.ValidationError]]:
    """Give what each alternative of `anyOf` or `oneOf` found wrong; empty for other keywords."""
    return [branch for branch in getattr(error.kind, "context", None) or () if branch]


def _closeness(branch: Sequence[jsonschema_rs.ValidationError]) -> tuple[int, int]:
    """Tell how far a branch of `anyOf` got: a wrong type of the value itself is the farthest from a fit."""
    depth = min(len(error.instance_path) for error in branch)
    return depth, int(all(error.kind.name != "type" for error in branch))


def _sentence(error: jsonschema_rs.ValidationError) -> str:
    message = _alternatives(error) or error.message
    if _VALUE in message:
        message = message.replace(_VALUE, _shortened(error.instance))
    path = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in error.instance_path).lstrip(".")
    sentence = f"{path}: {message}" if path else message
    return sentence if len(sentence) <= _MESSAGE_LENGTH else sentence[: _MESSAGE_LENGTH - 1] + "…"


def _alternatives(error: jsonschema_rs.ValidationError) -> str | None:
    """Name the types that would do when each alternative of `anyOf` fails by the value's type alone."""
    first = [branch[0] for branch in _branches(error)]
    if not first or not all(isinstance(e.kind, jsonschema_rs.ValidationErrorKind.Type) for e in first):
        return None
    names = dict.fromkeys(json.dumps(name) for e in first for name in getattr(e.kind, "types", ()))
    return f"{_VALUE} is not of type {' or '.join(names)}"


def _shortened(value: Any) -> str:
    """Spell a value for a message: never longer than a line, and without walking through a large one."""
    if isinstance(value, str):
        text = json.dumps(value[: _VALUE_LENGTH + 1], ensure_ascii=False)
        return text if len(value) <= _VALUE_LENGTH else text[:_VALUE_LENGTH] + '…"'
    if isinstance(value, Mapping):
        return "an object"
    return "an array" if isinstance(value, list) else json.dumps(value, default=str)
