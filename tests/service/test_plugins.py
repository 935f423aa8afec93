"""Loading what is served, and saying what it is."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pytest

from mcpserve.errors import ConfigurationError, PluginError
from mcpserve.service.plugins import load, report, shipped_directory
from mcpserve.service.settings import Settings

TOOL = "from mcpserve import tool\n\n@tool{options}\ndef {name}() -> str:\n    'Say it.'\n    return 'x'\n"


def put(folder: Path, name: str, options: str = "", file: str | None = None) -> None:
    """Write a plugin with one tool."""
    (folder / (file or f"{name}.py")).write_text(TOOL.format(name=name, options=options))


def settings(*folders: Path, **more: Any) -> Settings:
    """Settings without the shipped plugins."""
    return Settings(**{"plugins": tuple(map(str, folders)), "shipped": False, **more})


def test_the_shipped_ones() -> None:
    """They are there by default, before the operator's."""
    assert {"echo", "add", "countdown", "ticker"} <= {tool.name for tool in load(Settings()).tools}
    assert (shipped_directory() / "echo.py").is_file()
    assert load(settings()).counted() == "0 tools"


def test_the_operators_choice(tmp_path: Path) -> None:
    """Names to serve and names not to; the size of a page."""
    put(tmp_path, "a")
    put(tmp_path, "b", "(enabled=False)")
    assert [tool.name for tool in load(settings(tmp_path)).tools] == ["a"]
    assert [tool.name for tool in load(settings(tmp_path, only=("b",))).tools] == ["b"]
    assert [tool.name for tool in load(settings(tmp_path, without=("a",))).tools] == []
    assert len(load(settings(tmp_path, only=("a", "b"), page_size=1)).tools.page().items) == 1
    with pytest.raises(ConfigurationError, match="only: nothing is named 'c'"):
        load(settings(tmp_path, only=("c",)))


def test_a_name_twice_can_be_chosen_away(tmp_path: Path) -> None:
    """A tool of the operator's may take the name of a shipped one only when neither is served."""
    put(tmp_path, "echo")
    with pytest.raises(PluginError, match=r"'echo' exists already, from .*plugins/echo\.py"):
        load(settings(tmp_path, shipped=True))
    assert load(settings(tmp_path, shipped=True, without=("echo",))).tools.get("echo") is None


def test_all_that_is_wrong_at_once(tmp_path: Path) -> None:
    """Broken files, unknown tables, names twice: a line each. Names that may be those of broken plugins wait."""
    (tmp_path / "broken.py").write_text("1 / 0")
    (tmp_path / "empty.py").write_text("")
    put(tmp_path, "twice")
    put(tmp_path, "twice", file="zzz.py")
    with pytest.raises(PluginError) as caught:
        load(settings(tmp_path, only=("unknown",), plugin={"ghost": {}}))
    lines = str(caught.value).splitlines()
    assert len(lines) == 4
    for words in ("ZeroDivisionError", "defines no tool, prompt or resource", "plugin.ghost", "'twice' exists already"):
        assert sum(words in line for line in lines) == 1


def test_a_report(tmp_path: Path) -> None:
    """What would be served and where it comes from."""
    put(tmp_path, "a")
    out = io.StringIO()
    assert report(settings(tmp_path, listen=("tcp:8000:interface=127.0.0.1",)), out) == 0
    lines = out.getvalue().splitlines()
    assert lines[0] == "listen    tcp:8000:interface=127.0.0.1"
    assert lines[1].split() == ["tool", "a", str(tmp_path / "a.py")]
    assert lines[-1] == "Ready: 1 tool."


def test_a_report_of_what_is_wrong(tmp_path: Path) -> None:
    """All of it, and a status that a script sees."""
    (tmp_path / "a.py").write_text("1 / 0")
    (tmp_path / "b.py").write_text("(")
    out = io.StringIO()
    assert report(settings(tmp_path, tmp_path / "nowhere"), out) == 1
    assert out.getvalue().startswith("Not ready:\n")
    assert len(out.getvalue().splitlines()) == 4


PROMPT = (
    "from mcpserve import prompt, resource\n\n@prompt{options}\ndef {name}() -> str:\n    'Say it.'\n    return 'x'\n"
)
RESOURCE = (
    "from mcpserve import resource\n\n@resource('a://{name}')\ndef {name}() -> str:\n    'Be it.'\n    return 'x'\n"
)


def test_all_kinds(tmp_path: Path) -> None:
    """Tools, prompts, resources and templates are loaded, chosen by name, and reported."""
    put(tmp_path, "a")
    (tmp_path / "b.py").write_text(PROMPT.format(name="b", options=""))
    (tmp_path / "c.py").write_text(RESOURCE.format(name="c"))
    out = io.StringIO()
    assert report(settings(tmp_path), out) == 0
    assert [line.split()[:2] for line in out.getvalue().splitlines()[1:-1]] == [
        ["tool", "a"],
        ["prompt", "b"],
        ["resource", "a://c"],
    ]
    assert out.getvalue().splitlines()[-1] == "Ready: 1 tool, 1 prompt, 1 resource."
    assert load(settings(tmp_path, only=("b", "c"))).counted() == "0 tools, 1 prompt, 1 resource"
    assert load(settings(tmp_path, without=("b",))).counted() == "1 tool, 1 resource"
    with pytest.raises(ConfigurationError, match="nothing is named 'd'; there are: a, b, c"):
        load(settings(tmp_path, without=("d",)))


def test_names_twice_of_all_kinds(tmp_path: Path) -> None:
    """A tool and a prompt may share a name; two prompts or two resources may not."""
    put(tmp_path, "x")
    for file, text in (("p", PROMPT), ("q", PROMPT), ("r", RESOURCE), ("s", RESOURCE)):
        (tmp_path / f"{file}.py").write_text(text.format(name="x", options=""))
    with pytest.raises(PluginError) as caught:
        load(settings(tmp_path))
    lines = str(caught.value).splitlines()
    assert len(lines) == 2
    assert "resource 'a://x' exists already" in lines[0]
    assert "prompt 'x' exists already" in lines[1]


def test_a_page_that_is_not_served(tmp_path: Path) -> None:
    """A tool that names an interface which does not exist is refused; one that names anything else is not."""
    for name, meta in (("a", {"ui": {"resourceUri": "ui://no"}}), ("b", {"ui": {}}), ("c", {"ui": 5}), ("d", {"k": 1})):
        put(tmp_path, name, f"(meta={meta!r})")
    with pytest.raises(PluginError) as caught:
        load(settings(tmp_path))
    (line,) = str(caught.value).splitlines()
    assert line.endswith("a.py: tool 'a': its `_meta` names the resource ui://no, which is not served")
