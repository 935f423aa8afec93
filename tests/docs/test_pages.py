"""The pages of the documentation: links lead somewhere, and the reference has what there is."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import attrs
import pytest

import mcpserve
from mcpserve import Directory
from mcpserve.features.prompt import PromptOptions
from mcpserve.features.resource import ResourceOptions
from mcpserve.features.tool import ToolOptions
from mcpserve.service.commands import StdioOptions
from mcpserve.service.settings import Settings
from mcpserve.service.tap import Options
from tests.packaging.readme import command

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
PAGES = sorted([*ROOT.glob("*.md"), *DOCS.rglob("*.md")])

LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
ROW = re.compile(r"^\|(.*)\|$", re.MULTILINE)
CODE = re.compile(r"`([^`]+)`")


def links() -> Iterator[Any]:
    """Every link to a place in this repository."""
    for page in PAGES:
        for target in LINK.findall(page.read_text(encoding="utf-8")):
            if "://" not in target:
                yield pytest.param(page, target, id=f"{page.relative_to(ROOT)}-{target}")


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings."""
    headings = re.findall(r"^#+ (.*)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading).strip().lower().replace(" ", "-") for heading in headings}


@pytest.mark.parametrize(("page", "target"), list(links()))
def test_links_lead_somewhere(page: Path, target: str) -> None:
    """The file is there, and so is the heading."""
    name, _, anchor = target.partition("#")
    path = (page.parent / name).resolve() if name else page
    assert path.exists()
    assert not anchor or anchor in anchors(path)


def test_every_page_is_reached_from_the_readme() -> None:
    """Whoever follows links from the README finds every page."""
    reached, waiting = set(), [ROOT / "README.md"]
    while waiting:
        page = waiting.pop()
        page = page / "README.md" if page.is_dir() else page
        if page.suffix == ".md" and page not in reached:
            reached.add(page)
            targets = [target.partition("#")[0] for target in LINK.findall(page.read_text(encoding="utf-8"))]
            waiting += [(page.parent / target).resolve() for target in targets if target and "://" not in target]
    assert {page for page in PAGES if page.is_relative_to(DOCS)} <= reached


def rows(page: str, heading: str) -> list[list[str]]:
    """The cells of the table under a heading, without its head."""
    text = (DOCS / "reference" / page).read_text(encoding="utf-8")
    section = text.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    _, _, *body = ROW.findall(section)
    return [[cell.strip() for cell in row.split("|")] for row in body]


def shown(default: Any) -> str:
    """A default, as the reference shows it."""
    if isinstance(default, tuple | str):
        text = ", ".join(default) if isinstance(default, tuple) else default
        return f"`{text}`" if text else "none"
    return f"`{str(default).lower()}`"


def test_the_settings_are_those_that_there_are() -> None:
    """The page lists exactly the fields of Settings, in their order, with their defaults."""
    listed = [(CODE.findall(key)[0], default) for _, key, default, _ in rows("command-line.md", "Settings")]
    tables = ("access", "plugin")
    fields = [(field.name, shown(field.default)) for field in attrs.fields(Settings) if field.name not in tables]
    assert listed == [*fields, *((name, "none") for name in tables)]


def test_the_options_are_those_that_there_are() -> None:
    """The two tables together list exactly what the command line takes."""
    settings = [CODE.findall(option)[0] for option, *_ in rows("command-line.md", "Settings") if option]
    others = [
        CODE.findall(option)[0].split()[0] for option, _ in rows("command-line.md", "Options that are no settings")
    ]
    taken = {f"--{option.rstrip('=')}" for option in Options().longOpt}
    assert {*settings, *others} == taken
    assert len(settings) + len(others) == len(taken)


def another(option: str, default: str) -> list[str]:
    """A value that differs from a default, as the command line takes it; none for what is on or off."""
    if default in ("`true`", "`false`"):
        return []
    if option == "--state-key":
        return ["A" * 43 + "="]
    if option in ("--rate-per-address", "--rate-per-caller"):
        return ["10/minute"]
    if option == "--tool-rate":
        return ["echo=10/minute"]
    if option == "--trusted-proxy":
        return ["10.0.0.0/8"]
    if option == "--log-format":
        return ["json"]
    if option == "--store":
        return ["sqlite:store.db"]
    number = default.strip("`").partition(".")[0]
    return [str(int(number) + 1)] if number.isdecimal() else ["another"]


def test_each_option_sets_its_setting() -> None:
    """The option and the key that stand in one row mean the same."""
    for option, key, default, _ in (row for row in rows("command-line.md", "Settings") if row[0]):
        options = Options()
        name = CODE.findall(option)[0]
        options.parseOptions([name, *another(name, default)])
        given, usual = attrs.asdict(options.settings), attrs.asdict(Settings())
        assert [name for name in usual if given[name] != usual[name]] == CODE.findall(key)


def test_the_options_of_stdio() -> None:
    """The page names those that it does not take; its own default for one counts."""
    text = (DOCS / "reference" / "command-line.md").read_text(encoding="utf-8")
    section = text.partition("\n## stdio\n")[2].partition("\n## ")[0]
    settings = {CODE.findall(option)[0] for option, *_ in rows("command-line.md", "Settings") if option}
    options = StdioOptions()
    taken = {f"--{option.rstrip('=')}" for option in options.longOpt}
    assert settings & set(CODE.findall(section)) == settings - taken
    options.parseOptions([])
    assert options.settings == Settings(drain=1.0)
    assert "`drain` is 1.0 by default" in section


def test_the_options_of_tool_are_those_that_there_are() -> None:
    """The page lists exactly what `@tool` takes, in its order."""
    listed = [CODE.findall(option)[0] for option, *_ in rows("plugin-api.md", "`@tool`")]
    assert listed == [field.name for field in attrs.fields(ToolOptions)]


@pytest.mark.parametrize(
    ("heading", "options"), [("`@prompt`", PromptOptions), ("`@resource`", ResourceOptions), ("`Directory`", Directory)]
)
def test_options_of_the_others_are_listed(heading: str, options: Any) -> None:
    """Each in the order of its definition."""
    listed = [CODE.findall(cells[0])[0] for cells in rows("plugin-api.md", heading)]
    assert listed == [field.name for field in attrs.fields(options) if field.init]


def test_the_front_door_is_listed() -> None:
    """The page names everything that `mcpserve` exports."""
    text = (DOCS / "reference" / "plugin-api.md").read_text(encoding="utf-8")
    assert set(mcpserve.__all__) <= set(CODE.findall(text.partition("\n## ")[0]))


def test_the_commands_for_ci_are_single_lines() -> None:
    """CI runs them as they stand; a person copies one line."""
    for name in ("start", "test"):
        assert "\n" not in command(name)
        assert command(name).startswith("python3 -m venv .venv && ")
