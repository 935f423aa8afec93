"""Parameters mirrored into `Mcp-Param-*` headers, on paper: reading the annotations, encoding values, comparing.

Only strings go in and out, so that the endpoint, the gateway and the client share these rules.
Spec: Streamable HTTP, Custom Headers from Tool Parameters (2026-07-28).
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from typing import Any, Literal, cast

import attrs

from mcpserve.errors import HeaderMismatch

ANNOTATION = "x-mcp-header"
PREFIX = "mcp-param-"
SAFE_INTEGER = 2**53 - 1
"""The largest magnitude of an integer that may be mirrored: "−2^53+1 to 2^53−1"."""

_TOKEN = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_VISIBLE = re.compile(r"[\x20-\x7e\t]*")
_NUMBER = re.compile(r"-?[0-9]{1,40}(\.[0-9]{1,40})?([eE][+-]?[0-9]{1,3})?")
_SENTINEL_START, _SENTINEL_END = "=?base64?", "?="
_SHOWN = 64

_TYPES = ("string", "integer", "boolean")
_SUBSCHEMAS = (
    "items",
    "additionalItems",
    "contains",
    "additionalProperties",
    "unevaluatedItems",
    "unevaluatedProperties",
    "propertyNames",
    "contentSchema",
    "not",
    "if",
    "then",
    "else",
)
_LISTS_OF_SUBSCHEMAS = ("prefixItems", "items", "allOf", "anyOf", "oneOf")
_MAPS_OF_SUBSCHEMAS = ("$defs", "definitions", "patternProperties", "dependentSchemas", "dependencies")


@attrs.frozen(kw_only=True)
class MirroredParameter:
    """A tool parameter whose value also travels in a header.

    Args:
        header: The header's full name in lower case, such as `mcp-param-region`.
        path: The chain of property names from the root of the arguments to the value.
        type: The JSON type that the schema gives the value.
    """

    header: str
    path: tuple[str, ...]
    type: Literal["string", "integer", "boolean"]


def mirrored_parameters(input_schema: Any) -> tuple[MirroredParameter, ...]:
    """Read the `x-mcp-header` annotations of a tool's input schema, in the order of the schema.

    Raises:
        ValueError: An annotation breaks a rule; the sentence says where and which.

    Spec: Tools, x-mcp-header: "Clients using the Streamable HTTP transport MUST reject tool definitions where any
    `x-mcp-header` value violates these constraints."
    """
    found: dict[str, MirroredParameter] = {}
    for path, schema in _annotated(input_schema, ()):
        parameter = _parameter(path, schema)
        # "MUST be case-insensitively unique among all x-mcp-header values in the inputSchema"
        if parameter.header in found:
            raise ValueError(f"{_place(path)}: another parameter has the {ANNOTATION} {schema[ANNOTATION]!r} already")
        found[parameter.header] = parameter
    return tuple(found.values())


def _annotated(schema: Any, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Mapping[str, Any]]]:
    """Yield the annotated properties under a schema that is reached through `properties` alone."""
    if not isinstance(schema, Mapping):
        return
    if ANNOTATION in schema:
        yield path, schema
    for keyword, child in _elsewhere(schema):
        _refuse_annotations(child, f"{_place(path)}/{keyword}")
    properties = schema.get("properties")
    if isinstance(properties, Mapping):
        for name, child in properties.items():
            yield from _annotated(child, (*path, name))


def _elsewhere(schema: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Yield each subschema that is not under `properties`, with its keyword."""
    for keyword in _SUBSCHEMAS:
        if keyword in schema:
            yield keyword, schema[keyword]
    for keyword in _LISTS_OF_SUBSCHEMAS:
        if isinstance(children := schema.get(keyword), list):
            yield from ((keyword, child) for child in children)
    for keyword in _MAPS_OF_SUBSCHEMAS:
        if isinstance(named := schema.get(keyword), Mapping):
            yield from ((keyword, child) for child in named.values())


def _refuse_annotations(schema: Any, place: str) -> None:
    """Raise ValueError for an annotation anywhere in a schema that no chain of `properties` reaches."""
    if not isinstance(schema, Mapping):
        return
    # "An x-mcp-header annotation anywhere else makes the annotation — and thus the tool definition — invalid."
    if ANNOTATION in schema:
        raise ValueError(f"{place}: {ANNOTATION} may stand only where a chain of `properties` alone leads")
    children = list(_elsewhere(schema))
    if isinstance(properties := schema.get("properties"), Mapping):
        children += properties.items()
    for keyword, child in children:
        _refuse_annotations(child, f"{place}/{keyword}")


def _parameter(path: tuple[str, ...], schema: Mapping[str, Any]) -> MirroredParameter:
    name, kind, place = schema[ANNOTATION], schema.get("type"), _place(path)
    if not path:
        raise ValueError(f"{ANNOTATION} may stand on a parameter, not on the whole input schema")
    # "MUST NOT be empty", "MUST match HTTP field-name token syntax (1*tchar, RFC 9110 Section 5.1)"
    if not isinstance(name, str) or not _TOKEN.fullmatch(name):
        raise ValueError(f"{place}: {ANNOTATION} {name!r} is not a header name (letters, digits and !#$%&'*+-.^_`|~)")
    # "MUST only be applied to parameters with primitive types (integer, string, boolean)."
    if kind not in _TYPES:
        raise ValueError(f"{place}: {ANNOTATION} needs the type string, integer or boolean, not {kind!r}")
    # The check above lets only these three through, which mypy does not follow into a tuple.
    return MirroredParameter(header=PREFIX + name.lower(), path=path, type=cast(Any, kind))


def _place(path: Sequence[str]) -> str:
    return ".".join(path) or "the schema's root"


def decode_value(raw: str) -> str:
    """Give the text that a header value stands for; a value without the sentinel stands for itself.

    Args:
        raw: The header value, without the whitespace around it.

    Raises:
        ValueError: The value has characters that no header may carry, or its sentinel is malformed.

    Spec: Streamable HTTP, Value Encoding.
    """
    # "HTTP header field values must consist of visible ASCII characters (0x21-0x7E), space (0x20), and horizontal tab"
    if not _VISIBLE.fullmatch(raw):
        raise ValueError("a header value may hold visible ASCII characters, spaces and tabs; encode others as base64")
    if not _is_sentinel(raw) or len(raw) < len(_SENTINEL_START) + len(_SENTINEL_END):
        return raw
    encoded = raw[len(_SENTINEL_START) : -len(_SENTINEL_END)]
    try:
        decoded = base64.b64decode(encoded, validate=True)
        text = decoded.decode("utf-8")
    except (binascii.Error, UnicodeDecodeError) as error:
        raise ValueError("the part between =?base64? and ?= is not base64 of UTF-8") from error
    # b64decode forgives stray bits and padding; of two spellings of a value a proxy might read one otherwise than we.
    if base64.b64encode(decoded).decode("ascii") != encoded:
        raise ValueError("the part between =?base64? and ?= is not canonical base64")
    return text


def encode_value(value: str | int | bool) -> str:
    """Spell a parameter's value as a header value.

    Raises:
        ValueError: An integer beyond ±(2^53 - 1), or text that UTF-8 can't carry (a lone surrogate).

    Spec: Streamable HTTP, Value Encoding.
    """
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        if abs(value) > SAFE_INTEGER:
            raise ValueError(f"{value} is outside the integers that a header may mirror (±{SAFE_INTEGER})")
        return str(value)
    # "clients MUST also Base64-encode any plain-ASCII value that matches the sentinel pattern"
    if _VISIBLE.fullmatch(value) and value == value.strip(" \t") and not _is_sentinel(value):
        return value
    return _SENTINEL_START + base64.b64encode(value.encode("utf-8")).decode("ascii") + _SENTINEL_END


def mirrored_headers(parameters: Sequence[MirroredParameter], arguments: Any) -> dict[str, str]:
    """The headers that a call with these arguments carries, by name.

    A value that no header can say is left out: the server refuses the call, and says why.

    Spec: Streamable HTTP, Client Behavior: "extract the value at each annotated property's exact property path,
    omitting the header when no value is present".
    """
    headers: dict[str, str] = {}
    for parameter in parameters:
        value = _value_at(parameter.path, arguments)
        if isinstance(value, float):
            # 3.0 is an integer to JSON Schema; another fraction does not fit, and the server may say so.
            headers[parameter.header] = str(int(value)) if value.is_integer() else repr(value)
        elif isinstance(value, str) or (value is not None and abs(value) <= SAFE_INTEGER):
            headers[parameter.header] = encode_value(value)
    return headers


def _is_sentinel(value: str) -> bool:
    return value.startswith(_SENTINEL_START) and value.endswith(_SENTINEL_END)


def check_mirrored(
    parameters: Sequence[MirroredParameter], arguments: Mapping[str, Any], headers: Mapping[str, str]
) -> None:
    """Compare the mirrored parameters of a call with its headers; parameters that are not mirrored don't matter.

    Args:
        parameters: What `mirrored_parameters` read from the tool's schema.
        arguments: The call's arguments as they came.
        headers: The request's headers by name in lower case.

    Raises:
        HeaderMismatch: A header is missing, not expected, malformed, or says something else than the body.

    Spec: Streamable HTTP, Server Behavior for Custom Headers.
    """
    for parameter in parameters:
        value = _value_at(parameter.path, arguments)
        raw = headers.get(parameter.header)
        if value is None and raw is None:
            continue
        name = _spelled(parameter.header)
        # "Client omits header but value is in body: Server MUST reject the request"
        if raw is None:
            raise HeaderMismatch(f"The header {name} is missing: the body says {_shown(value)}")
        if value is None:
            raise HeaderMismatch(f"The header {name} says {_shown(raw)}, but the body has no value for it")
        _compare(name, raw.strip(" \t"), value)


def _compare(name: str, raw: str, value: str | int | float | bool) -> None:
    try:
        text = decode_value(raw)
    except ValueError as error:
        raise HeaderMismatch(f"The header {name} is malformed: {error}") from error
    if not _agree(text, value):
        raise HeaderMismatch(f"The header {name} says {_shown(text)}, but the body says {_shown(value)}")


def _agree(text: str, value: str | int | float | bool) -> bool:
    """Tell whether a decoded header says the same as the body; by the value's own type, the schema is checked later."""
    if isinstance(value, str):
        return text == value
    if isinstance(value, bool):
        return text == ("true" if value else "false")
    return bool(_NUMBER.fullmatch(text)) and Decimal(text) == Decimal(value)


def _value_at(path: Sequence[str], arguments: Any) -> str | int | float | bool | None:
    """Read the value at a path; None when there is none that a header could say (null, absent, an object, a list)."""
    for name in path:
        if not isinstance(arguments, Mapping):
            return None
        arguments = arguments.get(name)
    return arguments if isinstance(arguments, str | int | float) else None


def _spelled(header: str) -> str:
    """Spell a header's name as the specification does: `Mcp-Param-region`, whose own part we know in lower case."""
    return "Mcp-Param-" + header.removeprefix(PREFIX)


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= _SHOWN else text[: _SHOWN - 1] + "…"
