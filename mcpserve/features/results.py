"""From what a tool returns to the result that the protocol carries.

| returned | content | structured |
|---|---|---|
| None | none | - |
| str | its text | - |
| bytes | picture, sound or blob, by its first bytes | - |
| content blocks; a list of blocks, bytes and texts | the blocks | - |
| Result | as it is | as it is, made plain JSON |
| anything else | its JSON as text | its JSON; in `{"result": ...}` when it is no object |

A tool with an output schema has structured content also for None and str.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import attrs
import orjson

from mcpserve.features.arguments import Signature
from mcpserve.features.plain import json_text, plain
from mcpserve.protocol.types import ABSENT, CONTENT_TYPES, Audio, Content, EmbeddedResource, Image, Result, Text

_PICTURES = ((b"\x89PNG\r\n\x1a\n", "image/png"), (b"\xff\xd8\xff", "image/jpeg"), (b"GIF8", "image/gif"))
_SOUNDS = (
    (b"ID3", "audio/mpeg"),
    (b"\xff\xfb", "audio/mpeg"),
    (b"\xff\xf3", "audio/mpeg"),
    (b"\xff\xf2", "audio/mpeg"),
    (b"OggS", "audio/ogg"),
    (b"fLaC", "audio/flac"),
)
_RIFF = {b"WEBP": "image/webp", b"WAVE": "audio/wav"}
_BLOCKS = (*CONTENT_TYPES, bytes, bytearray, memoryview)


def to_result(value: Any, signature: Signature | None = None) -> Result:
    """Make the result of a call from what its tool returned.

    Args:
        value: What the tool returned, or said it finished with.
        signature: What is known of the tool; None for one without output schema.

    Raises:
        TypeError: Something in the value has no JSON form; the sentence says where.
        ValueError: A number is not finite, or a text is not Unicode.

    Spec: Tools, Tool Result.
    """
    schema = None if signature is None else signature.output_schema
    if isinstance(value, Result):
        return value if value.structured is ABSENT else attrs.evolve(value, structured=plain(value.structured))
    if schema is None and (value is None or type(value) is str):
        return Result(content=() if value is None else (Text(_unicode(value)),))
    if isinstance(value, _BLOCKS) or _is_mixed(value):
        return Result(content=tuple(_blocks(value if isinstance(value, list | tuple) else [value])))
    text, wraps = json_text(value), signature is not None and signature.wraps_result
    return _structured(orjson.loads(text), text.decode("utf-8"), schema, wraps)


def _structured(value: Any, text: str, schema: dict[str, Any] | None, wraps: bool) -> Result:
    """Put JSON into a result: for the machine in the shape that the schema wants, for the model as text."""
    # "a tool that returns structured content SHOULD also return the serialized JSON in a TextContent block": what the
    # author returned, without our wrapping, and text without quotes.
    content = (Text(value if isinstance(value, str) else text),)
    wants_object = schema is None or schema.get("type") == "object"
    if wraps or (wants_object and not isinstance(value, dict)):
        value = {"result": value}
    return Result(content=content, structured=value)


def _is_mixed(value: Any) -> bool:
    """Tell whether a list has blocks among its texts; texts alone are a list in JSON."""
    return (
        type(value) in (list, tuple)
        and any(isinstance(item, _BLOCKS) for item in value)
        and all(isinstance(item, (str, *_BLOCKS)) for item in value)
    )


def _blocks(values: Sequence[Any]) -> Iterator[Content]:
    for number, value in enumerate(values, 1):
        if isinstance(value, str):
            yield Text(_unicode(value))
        else:
            yield value if isinstance(value, CONTENT_TYPES) else _recognized(bytes(value), number)


def _recognized(data: bytes, number: int) -> Content:
    """Make the block that fits some bytes by how they begin."""
    riff = _RIFF.get(data[8:12], "") if data[:4] == b"RIFF" else ""
    picture = next((kind for magic, kind in _PICTURES if data.startswith(magic)), riff)
    sound = next((kind for magic, kind in _SOUNDS if data.startswith(magic)), riff)
    if picture.startswith("image/"):
        return Image(data, picture)
    if sound.startswith("audio/"):
        return Audio(data, sound)
    return EmbeddedResource(f"urn:mcpserve:result:{number}", data, mime_type="application/octet-stream")


def _unicode(text: str) -> str:
    """Refuse text that UTF-8 can't carry while the tool that returned it can still be named."""
    try:
        if not text.isascii():
            text.encode("utf-8")
    except UnicodeEncodeError as error:
        raise ValueError(f"the text has a lone surrogate at {error.start}, which JSON can't carry") from error
    return text
