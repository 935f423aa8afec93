"""dice: what is rolled, and the page that shows it."""

from __future__ import annotations

import re
from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mcpserve.testing import ToolRunner
from plugins.dice import PAGE, page, roll_dice


@given(st.integers(1, 20), st.integers(2, 100))
def test_a_roll(number: int, sides: int) -> None:
    """So many dice, each within its sides, and their total."""
    roll = ToolRunner(roll_dice).call("roll_dice", number=number, sides=sides).structured
    assert len(roll["dice"]) == number
    assert all(1 <= shown <= sides for shown in roll["dice"])
    assert roll["total"] == sum(roll["dice"])
    assert roll["sides"] == sides


def test_a_host_without_interfaces() -> None:
    """The model reads the same as text."""
    assert '"total":' in ToolRunner(roll_dice).call("roll_dice").text


@pytest.mark.parametrize("arguments", [{"number": 0}, {"number": 21}, {"sides": 1}, {"sides": "six"}])
def test_what_can_not_be_rolled(arguments: dict[str, object]) -> None:
    """It is a result that the model can mend."""
    assert ToolRunner(roll_dice).call("roll_dice", arguments).result.is_error


def test_the_page() -> None:
    """HTML for MCP Apps, which asks for nothing from anywhere else."""
    (part,) = ToolRunner(page).read(PAGE).contents
    assert part.mime_type == "text/html;profile=mcp-app"
    assert part.meta == {"ui": {"prefersBorder": True}}
    assert isinstance(part.contents, str)
    assert part.contents.startswith("<!doctype html>")
    assert not re.search(r"https?:|<link|<img|src=|@import|fetch\(|innerHTML", part.contents)


def test_the_page_is_well_formed() -> None:
    """What is opened is closed, and what the script looks for is there."""
    open_tags: list[str] = []
    ids: list[str | None] = []

    class Reader(HTMLParser):
        """Notes tags."""

        def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
            if tag != "meta":
                open_tags.append(tag)
            ids.extend(value for name, value in attrs if name == "id")

        def handle_endtag(self, tag: str) -> None:
            assert open_tags.pop() == tag

    text = ToolRunner(page).read(PAGE).text
    Reader().feed(text)
    assert open_tags == []
    assert set(re.findall(r'byId\("(\w+)"\)', text)) == set(ids)
