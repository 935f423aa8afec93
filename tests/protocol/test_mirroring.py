"""Parameters mirrored into headers. Spec: Streamable HTTP, Custom Headers from Tool Parameters."""

from __future__ import annotations

import base64
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mcpserve.errors import HeaderMismatch
from mcpserve.protocol.mirroring import (
    MirroredParameter,
    check_mirrored,
    decode_value,
    encode_value,
    mirrored_parameters,
)

REGION = MirroredParameter(header="mcp-param-region", path=("region",), type="string")
COUNT = MirroredParameter(header="mcp-param-count", path=("paging", "count"), type="integer")
DEEP = MirroredParameter(header="mcp-param-deep", path=("deep",), type="boolean")
ALL = (REGION, COUNT, DEEP)


def schema(**properties: Any) -> dict[str, Any]:
    """Make an object schema."""
    return {"type": "object", "properties": properties}


def header(name: Any = "Region", kind: Any = "string") -> dict[str, Any]:
    """Make an annotated property."""
    return {"type": kind, "x-mcp-header": name}


def test_reads_annotations_at_any_depth_of_properties() -> None:
    """A chain of `properties` keys leads to the value; the header is told in lower case."""
    read = mirrored_parameters(
        schema(region=header(), paging=schema(count=header("Count", "integer")), deep=header("deep", "boolean"))
    )
    assert read == ALL


def test_a_schema_without_annotations_mirrors_nothing() -> None:
    """Data that only looks like an annotation (in `default`, `enum`) is no annotation."""
    assert mirrored_parameters(schema(a={"default": {"x-mcp-header": ""}, "enum": [{"x-mcp-header": ""}]})) == ()


def test_a_property_may_be_named_like_the_annotation() -> None:
    """`x-mcp-header` under `properties` is a parameter's name."""
    assert mirrored_parameters(schema(**{"x-mcp-header": {"type": "string"}})) == ()


@pytest.mark.parametrize(
    ("broken", "words"),
    [
        (schema(a=header("")), "not a header name"),
        (schema(a=header("two words")), "not a header name"),
        (schema(a=header("a:b")), "not a header name"),
        (schema(a=header("a\r\nb")), "not a header name"),
        (schema(a=header("a\n")), "not a header name"),
        (schema(a=header("Größe")), "not a header name"),
        (schema(a=header(3)), "not a header name"),
        (schema(a=header("A"), b=header("a")), "already"),
        (schema(a=header("A", "number")), "'number'"),
        (schema(a=header("A", "object")), "'object'"),
        (schema(a=header("A", ["string", "null"])), "needs the type"),
        (schema(a={"x-mcp-header": "A"}), "None"),
        ({**schema(), "x-mcp-header": "A"}, "whole input schema"),
        (schema(a={"type": "array", "items": header()}), "a/items"),
        (schema(a={"type": "array", "prefixItems": [header()]}), "chain"),
        (schema(a={"anyOf": [header(), {"type": "null"}]}), "chain"),
        ({"allOf": [schema(a=header())]}, "chain"),
        ({"if": schema(a=header())}, "chain"),
        ({"not": schema(a=header())}, "chain"),
        ({"additionalProperties": header()}, "chain"),
        ({"patternProperties": {"^a": header()}}, "chain"),
        ({"$defs": {"a": schema(b=header())}}, "chain"),
        ({"$defs": {"a": schema(b=schema(c={"items": header()}))}}, "chain"),
    ],
)
def test_refuses_a_broken_annotation(broken: dict[str, Any], words: str) -> None:
    """Each rule of the specification is a sentence that says where."""
    with pytest.raises(ValueError, match=words):
        mirrored_parameters(broken)


@pytest.mark.parametrize(
    ("value", "encoded"),
    [
        ("us-west1", "us-west1"),
        ("Hello, 世界", "=?base64?SGVsbG8sIOS4lueVjA==?="),
        (" padded ", "=?base64?IHBhZGRlZCA=?="),
        ("line1\nline2", "=?base64?bGluZTEKbGluZTI=?="),
        ("=?base64?literal?=", "=?base64?PT9iYXNlNjQ/bGl0ZXJhbD89?="),
        ("=?BASE64?aGk=?=", "=?BASE64?aGk=?="),
        ("", ""),
        ("a b\tc", "a b\tc"),
    ],
)
def test_encodes_as_the_specification_shows(value: str, encoded: str) -> None:
    """The examples of the specification, and their neighbours, in both directions."""
    assert encode_value(value) == encoded
    assert decode_value(encoded) == value


@pytest.mark.parametrize(("value", "encoded"), [(42, "42"), (-7, "-7"), (True, "true"), (False, "false"), (0, "0")])
def test_encodes_numbers_and_booleans(value: int, encoded: str) -> None:
    """Integers are decimal, booleans in lower case."""
    assert encode_value(value) == encoded


@pytest.mark.parametrize("value", [2**53, -(2**53), "\ud800"])
def test_refuses_what_no_header_can_say(value: int | str) -> None:
    """Integers that JavaScript would round, and text that is not Unicode."""
    with pytest.raises(ValueError, match=r"outside|surrogates"):
        encode_value(value)


@pytest.mark.parametrize("raw", ["=?base64?=", "=?base64?aGk=", "=?Base64?aGk=?=", "?=", "=?base64", "=?utf-8?Q?a?="])
def test_all_but_the_exact_sentinel_is_literal(raw: str) -> None:
    """Wrong case, a missing end, or markers that overlap make no sentinel."""
    assert decode_value(raw) == raw


@pytest.mark.parametrize(
    "raw",
    [
        "=?base64?aGk?=",  # padding is missing
        "=?base64?aGl=?=",  # stray bits
        "=?base64?aGk==?=",  # too much padding
        "=?base64?a Gk=?=",  # a space in it
        "=?base64?_-8=?=",  # the URL alphabet
        "=?base64?/w==?=",  # not UTF-8
        "Größe",
        "a\x00b",
        "a\x7fb",
        "a\nb",
    ],
)
def test_refuses_malformed_values(raw: str) -> None:
    """Strict alphabet and padding, valid UTF-8, and only characters that a header may have."""
    with pytest.raises(ValueError, match=r"base64"):
        decode_value(raw)


@given(st.text())
def test_any_text_survives(value: str) -> None:
    """What is encoded is decoded to the same text, and is fit for a header."""
    encoded = encode_value(value)
    assert decode_value(encoded) == value
    assert encoded == encoded.strip()
    assert encoded.isascii()


@given(st.binary())
def test_one_value_has_one_base64(data: bytes) -> None:
    """Whatever is accepted between the markers is the one spelling that encoding gives."""
    raw = "=?base64?" + data.decode("latin-1").replace("?", "") + "?="
    try:
        text = decode_value(raw)
    except ValueError:
        return
    assert base64.b64encode(text.encode()).decode() == raw[9:-2]


@pytest.mark.parametrize(
    ("arguments", "headers"),
    [
        ({}, {}),
        ({"region": None, "paging": None}, {}),
        ({"paging": {"count": None}}, {"mcp-param-unknown": "x"}),
        ({"region": "eu"}, {"mcp-param-region": "eu"}),
        ({"region": "eu"}, {"mcp-param-region": " eu\t"}),
        ({"region": "hi"}, {"mcp-param-region": "=?base64?aGk=?="}),
        ({"region": ""}, {"mcp-param-region": ""}),
        ({"paging": {"count": 42}}, {"mcp-param-count": "42"}),
        ({"paging": {"count": 42}}, {"mcp-param-count": "42.0"}),
        ({"paging": {"count": 42.0}}, {"mcp-param-count": "42"}),
        ({"paging": {"count": 42}}, {"mcp-param-count": "4.2e1"}),
        ({"paging": {"count": 2**60 + 1}}, {"mcp-param-count": str(2**60 + 1)}),
        ({"deep": True}, {"mcp-param-deep": "true"}),
        ({"deep": False}, {"mcp-param-deep": "false"}),
        ({"region": ["not", "a", "header"], "paging": 3}, {}),
    ],
)
def test_headers_that_agree(arguments: dict[str, Any], headers: dict[str, str]) -> None:
    """Same values pass; null and absent arguments want no header; unknown headers don't matter."""
    check_mirrored(ALL, arguments, headers)


@pytest.mark.parametrize(
    ("arguments", "headers", "words"),
    [
        ({"region": "eu"}, {}, r"Mcp-Param-region is missing: the body says 'eu'"),
        ({"region": "eu"}, {"mcp-param-region": "us"}, r"says 'us', but the body says 'eu'"),
        ({"region": "eu"}, {"mcp-param-region": "EU"}, "says 'EU'"),
        ({"region": "eu"}, {"mcp-param-region": "=?base64?ZXU?="}, "malformed"),
        ({}, {"mcp-param-region": "us"}, "'us', but the body has no value"),
        ({"region": None}, {"mcp-param-region": ""}, "no value"),
        ({"paging": {"count": 42}}, {"mcp-param-count": "43"}, "'43'.*42"),
        ({"paging": {"count": 42}}, {"mcp-param-count": "0x2a"}, "0x2a"),
        ({"paging": {"count": 42}}, {"mcp-param-count": "1" * 5000}, "…"),
        ({"paging": {"count": 42}}, {"mcp-param-count": "1e999999999"}, "1e9"),
        ({"paging": {"count": 42}}, {"mcp-param-count": "٤٢"}, "malformed"),
        ({"paging": {"count": 2**60 + 1}}, {"mcp-param-count": str(2**60)}, "says"),
        ({"paging": {"count": 0}}, {}, "missing"),
        ({"deep": True}, {"mcp-param-deep": "True"}, "'True'"),
        ({"deep": False}, {"mcp-param-deep": "0"}, "'0'"),
        ({"deep": True}, {"mcp-param-deep": "1"}, "'1'"),
    ],
)
def test_headers_that_differ(arguments: dict[str, Any], headers: dict[str, str], words: str) -> None:
    """A difference is refused with the header's name and both values."""
    with pytest.raises(HeaderMismatch, match=words):
        check_mirrored(ALL, arguments, headers)
