"""The catalogue: order, names, pages, and the operator's choice."""

from __future__ import annotations

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mcpserve import tool
from mcpserve.errors import ConfigurationError, InvalidParams, PluginError
from mcpserve.features.catalog import Catalog, check_choice, select
from mcpserve.features.tool import Tool, build


def a_tool(name: str, origin: str = "here.py", *, enabled: bool = True) -> Tool:
    """A tool of that name."""

    def f() -> None:
        """Do nothing."""

    return build(tool(name=name, enabled=enabled)(f), origin)


TOOLS = [a_tool(name) for name in ("b", "a", "c", "d", "e", "é".encode().hex())]


def test_order_and_names() -> None:
    """The order is that of the list, and a tool is found by its exact name."""
    catalog = Catalog(TOOLS)
    assert list(catalog) == TOOLS
    assert len(catalog) == len(TOOLS)
    assert catalog.get("a") is TOOLS[1]
    assert catalog.get("A") is None


def test_duplicates_name_both_origins() -> None:
    """All of them at once; the same tool twice is none."""
    tools = [a_tool("x", "one.py"), a_tool("y", "one.py"), a_tool("x", "two.py"), a_tool("y", "three.py")]
    with pytest.raises(PluginError) as caught:
        Catalog(tools)
    assert str(caught.value).splitlines() == [
        "two.py: tool 'x' exists already, from one.py",
        "three.py: tool 'y' exists already, from one.py",
    ]
    assert len(Catalog([TOOLS[0], TOOLS[0]])) == 1


@given(st.integers(1, 8), st.integers(0, len(TOOLS)))
def test_pages(page_size: int, count: int) -> None:
    """Page by page each tool comes once, in order; no page but the only one is empty."""
    catalog = Catalog(TOOLS[:count], page_size=page_size)
    page = catalog.page()
    seen = [*page.items]
    while page.next_cursor is not None:
        page = catalog.page(page.next_cursor)
        assert 0 < len(page.items) <= page_size
        seen += page.items
    assert seen == TOOLS[:count]


def test_a_cursor_stays_good() -> None:
    """It names the last tool that was seen, so that others may come and go in between."""
    cursor = Catalog(TOOLS[:4], page_size=2).page().next_cursor
    assert [t.name for t in Catalog([TOOLS[4], *TOOLS[1:4]]).page(cursor).items] == ["c", "d"]


@pytest.mark.parametrize(
    "cursor", ["", "?", "é", "Yg==", "Yh", "YQ=", "_w", base64.urlsafe_b64encode(b"gone").decode()]
)
def test_cursors_that_are_none_of_ours(cursor: str) -> None:
    """Also other spellings of one of ours: a tool has exactly one cursor."""
    with pytest.raises(InvalidParams, match="Unknown cursor"):
        Catalog(TOOLS, page_size=1).page(cursor)


def test_cursors_of_all_names() -> None:
    """Any name a tool may have can be in a cursor."""
    names = ["x" * 128, "a.b-c_d", "-", "0"]
    catalog = Catalog([a_tool(name) for name in names], page_size=1)
    cursor = None
    for name in names:
        page = catalog.page(cursor)
        assert [t.name for t in page.items] == [name]
        cursor = page.next_cursor


def test_the_choice() -> None:
    """`only` names all that is served, also what is off by default; `without` takes away."""
    tools = [a_tool("a"), a_tool("b"), a_tool("off", enabled=False)]
    chosen = [
        [t.name for t in select(tools, only, without)]
        for only, without in [([], []), (["off"], []), (["b", "off"], ["b"]), ([], ["a"]), ([], ["off"])]
    ]
    assert chosen == [["a", "b"], ["off"], ["off"], ["b"], ["a", "b"]]


@pytest.mark.parametrize("option", ["only", "without"])
def test_unknown_names(option: str) -> None:
    """The sentence names the option, all that is unknown, and what there is."""
    with pytest.raises(ConfigurationError) as caught:
        check_choice([a_tool("b"), a_tool("a")], **{option: ["x", "a", "w"]})
    assert str(caught.value) == f"{option}: nothing is named 'w', 'x'; there are: a, b"
