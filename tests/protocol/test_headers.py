"""Headers that mirror the body: each difference is a -32020 with 400 that shows both."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Callable

import pytest

from mcpserve.errors import HeaderMismatch
from mcpserve.protocol.headers import check_method, check_name, check_version


@pytest.mark.parametrize(
    ("check", "words"),
    [
        (lambda: check_version(None, "2026-07-28"), "MCP-Protocol-Version is missing; the body says '2026-07-28'"),
        (lambda: check_version("2025-11-25", "2026-07-28"), "says '2025-11-25', but the body says '2026-07-28'"),
        (lambda: check_method({}, "tools/list"), "Mcp-Method is missing; the body says 'tools/list'"),
        (lambda: check_method({"mcp-method": "tools/List"}, "tools/list"), "says 'tools/List', but"),
        (lambda: check_name({}, "add"), "Mcp-Name is missing; the body says 'add'"),
        (lambda: check_name({"mcp-name": "Add"}, "add"), "says 'Add', but the body says 'add'"),
        (lambda: check_name({"mcp-name": "=?base64?!!!?="}, "add"), "malformed"),
        (lambda: check_name({"mcp-name": "=?base64?YQ=?="}, "a"), "malformed"),
        (lambda: check_name({"mcp-name": "=?base64?YQ==?="}, "=?base64?YQ==?="), "says 'a', but the body says"),
        (lambda: check_name({"mcp-name": "caf\xe9"}, "café!"), "malformed"),
    ],
)
def test_differences(check: Callable[[], None], words: str) -> None:
    """Missing, other, other case, malformed."""
    with pytest.raises(HeaderMismatch) as caught:
        check()
    assert words in caught.value.message
    assert (caught.value.code, caught.value.status) == (-32020, 400)


def test_agreement() -> None:
    """Equal values agree; a name may be wrapped in base64, and need not be."""
    check_version("2026-07-28", "2026-07-28")
    check_method({"mcp-method": "tools/call"}, "tools/call")
    for name in ("add", "café", "=?base64?YQ==?=", " a "):
        encoded = b64encode(name.encode()).decode()
        check_name({"mcp-name": f"=?base64?{encoded}?="}, name)
    check_name({"mcp-name": "add"}, "add")
    check_name({"mcp-name": "=?utf-8?q?a?="}, "=?utf-8?q?a?=")


def test_what_is_shown_is_short() -> None:
    """A client can't make us repeat a whole book."""
    book = "x" * 100_000
    for check in (
        lambda: check_version(None, book),
        lambda: check_version(book, "y" + book),
        lambda: check_method({}, book),
        lambda: check_method({"mcp-method": book}, "y" + book),
        lambda: check_name({}, book),
        lambda: check_name({"mcp-name": book}, "y" + book),
    ):
        with pytest.raises(HeaderMismatch) as caught:
            check()
        assert len(caught.value.message) < 400
