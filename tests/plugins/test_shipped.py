"""The shipped plugins as a whole: what is on by default, and that a model and an operator can read what they say."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from mcpserve.features.discovery import discover
from mcpserve.service.plugins import load
from mcpserve.service.settings import Settings

PLUGINS = Path(__file__).parents[2] / "plugins"
HARMLESS = [
    "add",
    "countdown",
    "echo",
    "get_market_news",
    "roll_dice",
    "stream_market_news",
    "system_stats",
    "watch_system_stats",
    "ticker",
]


def _found(**settings: Any) -> Any:
    found = discover([PLUGINS], settings, [])
    assert found.problems == []
    return found.tools


def test_the_harmless_ones_are_on() -> None:
    """Without any configuration everything is served but what reads files."""
    assert sorted(tool.name for tool in _found()) == sorted(HARMLESS)


def test_tail_is_on_with_a_root(tmp_path: Path) -> None:
    """An operator who names a directory gets the tool that reads it."""
    assert "tail" in [tool.name for tool in _found(tail={"root": str(tmp_path)})]


def test_documents_are_on_with_a_root(tmp_path: Path) -> None:
    """An operator who names a directory gets its files as resources; without, the page of the dice is the only one."""
    names = [
        [one.name for one in discover([PLUGINS], settings, []).resources] for settings in ({}, _documents(tmp_path))
    ]
    assert names == [["ui://mcpserve/dice"], ["ui://mcpserve/dice", "docs://documents/{+path}"]]


def _documents(root: Path) -> dict[str, Any]:
    return {"documents": {"root": str(root)}}


def test_interfaces_that_tools_name_are_there() -> None:
    """The page of a tool is served with it, also when the operator chooses the tool by its name."""
    for only in ((), ("roll_dice",)):
        catalogs = load(Settings(only=only))
        pages = [tool.definition.meta["ui"]["resourceUri"] for tool in catalogs.tools if tool.definition.meta]
        assert pages == ["ui://mcpserve/dice"]
        assert all(catalogs.library.find(page) is not None for page in pages)


@pytest.mark.parametrize(
    ("plugin", "settings"),
    [("tail", {"rot": "/"}), ("market_news", {"feeds": 3}), ("documents", {"root": "x"})],
)
def test_a_wrong_setting_names_the_plugin(plugin: str, settings: dict[str, Any]) -> None:
    """The problem that the operator reads begins with the table of the configuration file."""
    (problem,) = discover([PLUGINS], {plugin: settings}, []).problems
    assert problem.startswith(f"plugin.{plugin}: ")


def test_a_model_can_read_what_they_do(tmp_path: Path) -> None:
    """Each tool and each of its arguments is described, and each tool says that it changes nothing."""
    for tool in _found(tail={"root": str(tmp_path)}):
        definition = tool.definition
        assert definition.title
        assert len(definition.description) > 30
        assert definition.annotations.read_only
        assert definition.annotations.open_world is tool.name.endswith("market_news")
        for name, schema in definition.input_schema.get("properties", {}).items():
            assert schema.get("description"), f"{tool.name}: {name}"


def test_a_server_at_rest_does_not_pay_for_the_news() -> None:
    """feedparser is imported when the first feed is read, not when the server starts."""
    program = (
        "import sys, pathlib; from mcpserve.features.discovery import discover; "
        "found = discover([pathlib.Path(sys.argv[1])], {}, []); "
        "sys.exit(f'{found.problems}' if found.problems else 'feedparser' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", program, str(PLUGINS)], check=True, cwd=PLUGINS.parent, timeout=20)
