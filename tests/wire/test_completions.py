"""Completions on the wire, in both eras."""

from __future__ import annotations

from typing import Any, Literal

import pytest

from mcpserve import prompt, resource
from tests.wire.http import Peer
from tests.wire.server import LATEST_LEGACY, LEGACY, Server

VERSIONS = [*LEGACY, "2026-07-28"]


@prompt
def paint(colour: Literal["red", "rose", "green"], size: str = "") -> str:
    """Paint."""
    return colour


@resource("shop://{kind}")
def shop(kind: Literal["bread", "rolls"]) -> str:
    """A shelf."""
    return kind


def complete(server: Server, version: str, params: Any) -> Peer:
    """Ask for suggestions in this revision."""
    if version in LEGACY:
        return server.session(version).ask("completion/complete", params)
    return server.modern("completion/complete", params)


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize(
    ("ref", "argument", "values"),
    [
        ({"type": "ref/prompt", "name": "paint"}, {"name": "colour", "value": "r"}, ["red", "rose", "green"]),
        ({"type": "ref/prompt", "name": "paint"}, {"name": "colour", "value": "ro"}, ["rose"]),
        ({"type": "ref/prompt", "name": "paint"}, {"name": "size", "value": ""}, []),
        ({"type": "ref/resource", "uri": "shop://{kind}"}, {"name": "kind", "value": "b"}, ["bread"]),
    ],
)
def test_suggestions(version: str, ref: Any, argument: Any, values: list[str]) -> None:
    """Those that fit best come first, in every revision."""
    found = complete(Server(paint, shop), version, {"ref": ref, "argument": argument}).result["completion"]
    assert found == {"values": values, "total": len(values), "hasMore": False}


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize(
    "params",
    [
        {},
        {"ref": {"type": "ref/prompt", "name": "nope"}, "argument": {"name": "colour", "value": ""}},
        {"ref": {"type": "ref/prompt", "name": "paint"}, "argument": {"name": "nope", "value": ""}},
        {"ref": {"type": "ref/prompt", "name": "paint"}, "argument": {"name": "colour"}},
        {"ref": {"type": "ref/tool", "name": "paint"}, "argument": {"name": "colour", "value": ""}},
    ],
)
def test_D16_F17_what_does_not_fit(version: str, params: Any) -> None:
    """-32602, and 200 on the line."""
    peer = complete(Server(paint, shop), version, params)
    assert (peer.status, peer.json["error"]["code"]) == (200, -32602)


def test_what_is_declared() -> None:
    """Completions exactly where there is something to suggest, in both eras."""

    @prompt
    def plain(text: str) -> str:
        """Say it."""
        return text

    for server, there in ((Server(paint), True), (Server(shop), True), (Server(plain), False)):
        modern = server.modern("server/discover").result["capabilities"]
        legacy = server.initialize(LATEST_LEGACY).result["capabilities"]
        assert ("completions" in modern, "completions" in legacy) == (there, there)
    assert complete(Server(plain), VERSIONS[-1], {}).status == 404
