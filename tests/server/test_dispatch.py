"""From a method's name to what it does."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import attrs
import pytest
from twisted.python.failure import Failure

from mcpserve import tool
from mcpserve.errors import InvalidParams
from mcpserve.protocol.exchange import Exchange
from mcpserve.protocol.revisions import LEGACY, V2025_11_25
from mcpserve.server.dispatch import Method
from tests.server.desk import Desk


@tool
def shout(text: str = "hey") -> str:
    """Shout."""
    return text.upper()


def test_discovery() -> None:
    """It names the modern revisions, what is served, how to use it, and how long that may be kept."""
    result = Desk().ask("server/discover").result
    assert result["supportedVersions"] == ["2026-07-28"]
    assert set(result["capabilities"]) == {"tools", "logging", "extensions"}
    assert result["instructions"] == "Read on."
    assert result["resultType"] == "complete"
    assert result["ttlMs"] > 0


@pytest.mark.parametrize("revision", LEGACY.values())
def test_legacy_revisions_do_not_know_discovery(revision: Any) -> None:
    """They have a handshake instead."""
    assert Desk().ask("server/discover", revision=revision).error == (-32601, "Method not found: server/discover")


@pytest.mark.parametrize("method", ["", "initialize", "ping", "logging/setLevel", "tools/Call", "no/such", "x" * 5000])
def test_unknown_methods(method: str) -> None:
    """404 in the modern revision, an ordinary answer before; the method is not repeated at length."""
    asked = Desk().ask(method)
    assert asked.error == (-32601, f"Method not found: {method[:128]}")
    assert asked.carrier.statuses == [404]
    assert Desk().ask(method, revision=V2025_11_25).carrier.statuses == [200]


@pytest.mark.parametrize(
    ("mirrored", "code"),
    [
        ({"mcp-name": "shout"}, None),
        ({"mcp-name": "=?base64?c2hvdXQ=?="}, None),
        ({}, -32020),
        ({"mcp-name": "add"}, -32020),
        (None, None),
    ],
)
def test_the_mirrored_name(mirrored: dict[str, str] | None, code: int | None) -> None:
    """A method that is about something named wants the name in its header, where there are headers."""
    asked = Desk(shout).ask("tools/call", {"name": "shout"}, mirrored=mirrored)
    if code is None:
        assert asked.text == "HEY"
    else:
        assert asked.error[0] == code
        assert asked.carrier.statuses == [400]


def test_the_name_comes_before_its_header() -> None:
    """A missing name is the params' fault, whatever the header says."""
    assert Desk().ask("tools/call", {}, mirrored={}).error == (-32602, "params.name must be a string")


def test_other_methods_need_no_name() -> None:
    """A header for a name that is none is not looked at."""
    assert "tools" in Desk().ask("tools/list", mirrored={"mcp-name": "x"}).result


@attrs.define
class Broken:
    """A feature that answers as it is told."""

    answer: Callable[[Exchange], None]

    @property
    def methods(self) -> dict[str, Method]:
        """See `Feature`."""
        return {"broken": Method(run=lambda exchange, metadata, caller: self.answer(exchange))}


def _ask_broken(answer: Callable[[Exchange], None]) -> Any:
    desk = Desk()
    desk.dispatcher.methods = {**desk.dispatcher.methods, **Broken(answer).methods}
    return desk.ask("broken")


def test_a_protocol_error_is_the_answer() -> None:
    """With its code and data."""

    def refuse(exchange: Exchange) -> None:
        raise InvalidParams("no", 1)

    assert _ask_broken(refuse).error == (-32602, "no")


def test_any_other_exception_is_ours(flush_logged_errors: Callable[..., list[Failure]]) -> None:
    """It is logged under an id, and the client learns only that."""

    def crash(exchange: Exchange) -> None:
        raise ValueError("secret")

    code, message = _ask_broken(crash).error
    assert code == -32603
    assert message.startswith("Internal error; the server's log has the reason under id ")
    assert "secret" not in message
    assert len(flush_logged_errors(ValueError)) == 1


def test_a_failure_after_the_reply(flush_logged_errors: Callable[..., list[Failure]]) -> None:
    """The reply stands."""

    def crash(exchange: Exchange) -> None:
        exchange.succeed({})
        raise ValueError

    assert _ask_broken(crash).result == {}
    assert len(flush_logged_errors(ValueError)) == 1
