"""Blocks of content as lines: text as it is, anything else by what it is and how large; and what of it can be saved."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import attrs

from mcpserve.cli.things import Parts, Thing
from mcpserve.cli.visible import one_line
from mcpserve.client.values import PromptResult
from mcpserve.protocol import wire
from mcpserve.protocol.revisions import V2026_07_28
from mcpserve.protocol.types import (
    ABSENT,
    Audio,
    Content,
    Contents,
    EmbeddedResource,
    Image,
    ResourceLink,
    Result,
    Text,
)

Spell = Callable[[str], str]
"""What a text of the server becomes before it is written."""


@attrs.frozen
class Blob:
    """Something that can be saved: its bytes and their MIME type."""

    data: bytes
    mime_type: str | None


def block_lines(block: Content | str, spell: Spell) -> Iterator[str]:
    """The lines that stand for one block."""
    if isinstance(block, str | Text):
        yield spell(block if isinstance(block, str) else block.text)
    elif isinstance(block, Image | Audio):
        yield _bytes("image" if isinstance(block, Image) else "audio", block.mime_type, block.data)
    elif isinstance(block, EmbeddedResource):
        yield from _embedded(block, spell)
    elif isinstance(block, ResourceLink):
        named = one_line(block.title or block.name)
        yield f"[link to {named}: {one_line(block.uri)}]"
    else:
        shape = wire.content(block, V2026_07_28)
        kind = one_line(str(shape.get("type")))
        yield f"[content of a type that is not known here, {kind}: {one_line(json.dumps(shape, ensure_ascii=False))}]"


def result_lines(result: Result, spell: Spell) -> Iterator[str]:
    """The lines of a result; its structured content only where no text says the same."""
    for block in result.content:
        yield from block_lines(block, spell)
    if result.structured is not ABSENT and not _said(result):
        yield spell(json.dumps(result.structured, ensure_ascii=False, indent=2))


def contents_lines(part: Contents, spell: Spell) -> Iterator[str]:
    """The lines of a part of a resource."""
    if isinstance(part.contents, str):
        yield spell(part.contents)
    else:
        yield _bytes(one_line(part.uri or "resource"), part.mime_type, part.contents)


def blobs_of(thing: Thing) -> list[Blob]:
    """What of a thing can be saved: its bytes; if it has none, its text."""
    blocks = list(_blocks(thing))
    return [blob for blob, binary in blocks if binary] or _joined([blob for blob, _ in blocks])


def size(number: int) -> str:
    """A number of bytes."""
    return f"{number:,} byte{'' if number == 1 else 's'}"


def _blocks(thing: Thing) -> Iterator[tuple[Blob, bool]]:
    if isinstance(thing, Parts):
        yield from (_data(part.contents, part.mime_type) for part in thing.parts)
    elif isinstance(thing, PromptResult):
        yield from _saved([message.content for message in thing.messages])
    elif isinstance(thing, Result):
        yield from _saved(thing.content)
        if thing.structured is not ABSENT and not _said(thing):
            yield _data(json.dumps(thing.structured, ensure_ascii=False, indent=2), "application/json")


def _saved(blocks: Sequence[Content | str]) -> Iterator[tuple[Blob, bool]]:
    for block in blocks:
        if isinstance(block, str | Text):
            yield _data(block if isinstance(block, str) else block.text, "text/plain")
        elif isinstance(block, Image | Audio):
            yield _data(block.data, block.mime_type)
        elif isinstance(block, EmbeddedResource):
            yield _data(block.contents, block.mime_type)


def _data(contents: str | bytes, mime_type: str | None) -> tuple[Blob, bool]:
    if isinstance(contents, bytes):
        return Blob(contents, mime_type), True
    return Blob(contents.encode("utf-8", "surrogatepass"), mime_type), False


def _joined(texts: Sequence[Blob]) -> list[Blob]:
    if len(texts) < 2:
        return list(texts)
    return [Blob(b"\n".join(blob.data for blob in texts), "text/plain")]


def _embedded(block: EmbeddedResource, spell: Spell) -> Iterator[str]:
    if isinstance(block.contents, str):
        yield f"[{one_line(block.uri)}]"
        yield spell(block.contents)
    else:
        yield _bytes(one_line(block.uri), block.mime_type, block.contents)


def _bytes(what: str, mime_type: str | None, data: bytes) -> str:
    return f"[{what}: {one_line(mime_type or 'bytes of an unknown type')}, {size(len(data))}; --output FILE saves it]"


def _said(result: Result) -> bool:
    """Whether a text says what the structured content says: servers send both, for older clients.

    Some wrap what is no object: `{"result": 3}`, beside the text `3`.
    """
    wrapped = result.structured
    inner = wrapped["result"] if isinstance(wrapped, dict) and wrapped.keys() == {"result"} else wrapped
    texts = [block for block in result.content if isinstance(block, Text)]
    return any(block.text == inner or _is_json_of(block, inner) or _is_json_of(block, wrapped) for block in texts)


def _is_json_of(block: Text, value: Any) -> bool:
    try:
        return bool(json.loads(block.text) == value)
    except (ValueError, RecursionError):
        return False
