"""From what a tool returns to the result that the protocol carries."""

import dataclasses
import json
from collections.abc import Mapping
from datetime import UTC, date, datetime
from decimal import Decimal
from enum import Enum
from pathlib import PurePosixPath
from typing import Any, NamedTuple
from uuid import UUID

import attrs
import pytest

from mcpserve.features.arguments import Signature
from mcpserve.features.results import to_result
from mcpserve.protocol.types import ABSENT, Audio, EmbeddedResource, Image, ResourceLink, Result, Text


@attrs.frozen
class Sum:
    """A sum."""

    total: float
    _parts: tuple[int, ...] = ()


@dataclasses.dataclass
class Span:
    """A span."""

    start: int
    _stop: int = 2


class Point(NamedTuple):
    """A point."""

    x: int
    y: int


class Color(Enum):
    """Colours."""

    RED = "red"


def signature(output_schema: dict[str, Any] | None, *, wraps: bool = False) -> Signature:
    """Make a signature with an output schema."""
    return Signature(input_schema={}, output_schema=output_schema, wraps_result=wraps, injected={}, description=None)


WRAPPED = signature({"type": "object", "properties": {"result": {}}, "required": ["result"]}, wraps=True)
OBJECT = signature({"type": "object"})
ARRAY = signature({"type": "array"})


@pytest.mark.parametrize(
    ("value", "content"),
    [
        (None, ()),
        ("", (Text(""),)),
        ("hello", (Text("hello"),)),
        (Text("a"), (Text("a"),)),
        ([Text("a"), "b"], (Text("a"), Text("b"))),
        (("b", ResourceLink("file:///a", "a")), (Text("b"), ResourceLink("file:///a", "a"))),
        (["b", b"\x89PNG\r\n\x1a\n"], (Text("b"), Image(b"\x89PNG\r\n\x1a\n"))),
    ],
)
def test_content_is_content(value: Any, content: tuple[Any, ...]) -> None:
    """Text and blocks reach the model as they are, and there is nothing structured."""
    result = to_result(value)
    assert tuple(result.content) == content
    assert result.structured is ABSENT
    assert not result.is_error


def test_a_result_stays_as_it_is() -> None:
    """The author's own Result is not touched."""
    result = Result(content=[Text("no")], is_error=True)
    assert to_result(result, WRAPPED) is result


def test_the_structured_part_of_a_result_becomes_plain() -> None:
    """An attrs class in it is written as elsewhere, and nothing is wrapped."""
    result = to_result(Result(content=[Text("3")], structured=[Sum(3)], meta={"a": 1}), WRAPPED)
    assert result == Result(content=[Text("3")], structured=[{"total": 3, "parts": []}], meta={"a": 1})


@pytest.mark.parametrize(
    ("data", "block"),
    [
        (b"\x89PNG\r\n\x1a\n..", Image(b"\x89PNG\r\n\x1a\n..", "image/png")),
        (b"\xff\xd8\xff\xe0", Image(b"\xff\xd8\xff\xe0", "image/jpeg")),
        (b"GIF89a", Image(b"GIF89a", "image/gif")),
        (b"RIFF....WEBPVP8 ", Image(b"RIFF....WEBPVP8 ", "image/webp")),
        (b"RIFF....WAVEfmt ", Audio(b"RIFF....WAVEfmt ", "audio/wav")),
        (b"ID3\x04", Audio(b"ID3\x04", "audio/mpeg")),
        (b"\xff\xfb\x90", Audio(b"\xff\xfb\x90", "audio/mpeg")),
        (b"OggS\x00", Audio(b"OggS\x00", "audio/ogg")),
        (b"fLaC\x00", Audio(b"fLaC\x00", "audio/flac")),
    ],
)
def test_recognizes_pictures_and_sounds(data: bytes, block: Image | Audio) -> None:
    """The first bytes tell what it is; bytearray and memoryview are bytes too."""
    for value in (data, bytearray(data), memoryview(data)):
        assert tuple(to_result(value).content) == (block,)


@pytest.mark.parametrize("data", [b"", b"\x00\x01", b"RIFF....AVI ", b"PNG"])
def test_other_bytes_are_a_blob(data: bytes) -> None:
    """What is not recognized is embedded as it is."""
    (block,) = to_result(data).content
    assert isinstance(block, EmbeddedResource)
    assert (block.contents, block.mime_type) == (data, "application/octet-stream")


@pytest.mark.parametrize(
    ("value", "structured"),
    [
        ({}, {}),
        ({"a": 1}, {"a": 1}),
        ({1: "a"}, {"1": "a"}),
        ([], {"result": []}),
        (["a", "b"], {"result": ["a", "b"]}),
        (7, {"result": 7}),
        (True, {"result": True}),
        (1.5, {"result": 1.5}),
        (Sum(1.5, (1, 2)), {"total": 1.5, "parts": [1, 2]}),
        (Span(1), {"start": 1, "_stop": 2}),
        (Point(1, 2), {"x": 1, "y": 2}),
        ([Sum(1)], {"result": [{"total": 1, "parts": []}]}),
        ({"a": {"b": Color.RED, "c": {3, 1, 2}}}, {"a": {"b": "red", "c": [1, 2, 3]}}),
        (
            {
                "moment": datetime(2026, 1, 31, 12, tzinfo=UTC),
                "day": date(2026, 1, 31),
                "id": UUID(int=1),
                "path": PurePosixPath("a/b"),
                "price": Decimal("1.10"),
                "blob": b"hi",
            },
            {
                "moment": "2026-01-31T12:00:00+00:00",
                "day": "2026-01-31",
                "id": "00000000-0000-0000-0000-000000000001",
                "path": "a/b",
                "price": "1.10",
                "blob": "aGk=",
            },
        ),
    ],
)
def test_everything_else_is_json(value: Any, structured: Any) -> None:
    """The machine gets an object, the model the same JSON without our wrapping."""
    result = to_result(value)
    assert result.structured == structured
    (text,) = result.content
    assert isinstance(text, Text)
    assert json.loads(text.text) == (structured if not is_wrapped(structured) else structured["result"])


def is_wrapped(structured: Mapping[str, Any]) -> bool:
    """Tell whether a structured value is one that we wrapped."""
    return set(structured) == {"result"}


def test_a_moment_without_zone_is_local_time() -> None:
    """RFC 3339 wants an offset; Python takes naive moments as local time, and so do we."""
    moment = datetime(2026, 1, 31, 12)
    written = to_result({"moment": moment}).structured["moment"]
    assert datetime.fromisoformat(written) == moment.astimezone()


@pytest.mark.parametrize(
    ("value", "kind", "structured", "texts"),
    [
        ("hi", WRAPPED, {"result": "hi"}, ["hi"]),
        ("hi", OBJECT, {"result": "hi"}, ["hi"]),
        (None, WRAPPED, {"result": None}, ["null"]),
        ([1], WRAPPED, {"result": [1]}, ["[1]"]),
        ([1], ARRAY, [1], ["[1]"]),
        ({"a": 1}, OBJECT, {"a": 1}, ['{"a":1}']),
        ({"result": 1}, WRAPPED, {"result": {"result": 1}}, ['{"result":1}']),
        (Color.RED, WRAPPED, {"result": "red"}, ["red"]),
        (date(2026, 1, 31), None, {"result": "2026-01-31"}, ["2026-01-31"]),
    ],
)
def test_follows_the_output_schema(value: Any, kind: Signature | None, structured: Any, texts: list[str]) -> None:
    """A tool that promised structured content gives it, also for text and None; text is not quoted."""
    result = to_result(value, kind)
    assert result.structured == structured
    assert result.content == tuple(map(Text, texts))


@pytest.mark.parametrize(
    ("value", "error", "words"),
    [
        (float("nan"), ValueError, r"the value \(float\) is not a finite number"),
        ({"a": [None, float("inf")]}, ValueError, r"the value\.a\[1\] \(float\) is not a finite"),
        ([Sum(float("-inf"))], ValueError, r"the value\[0\]\.total \(float\)"),
        (object(), TypeError, r"the value \(object\) has no JSON form"),
        ({"a": [(1, {2j})]}, TypeError, r"the value\.a\[0\]\[1\]\[0\] \(complex\) has no JSON form"),
        ({"a": Sum}, TypeError, r"the value\.a \(type\)"),
        (2**70, ValueError, "64-bit"),
        ({"a": "\ud800"}, ValueError, "surrogates"),
        ("\ud800", ValueError, "lone surrogate at 0"),
        ([Text("a"), "\udfff"], ValueError, "lone surrogate"),
        ({(1, 2): 3}, ValueError, "written as JSON"),
    ],
)
def test_says_what_json_can_not(value: Any, error: type[Exception], words: str) -> None:
    """The sentence, which goes to the log, says where in the value it is."""
    with pytest.raises(error, match=words):
        to_result(value)


def test_a_value_that_contains_itself_is_refused() -> None:
    """A loop ends with an error, not with the process."""
    loop: list[Any] = []
    loop.append(loop)
    with pytest.raises((TypeError, ValueError), match="JSON"):
        to_result(loop)
