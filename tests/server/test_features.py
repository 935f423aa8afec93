"""The features of plugins side by side, and what there is to tell when they are replaced."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from mcpserve import Directory, prompt, resource, tool
from mcpserve.features.discovery import collect
from mcpserve.protocol.notices import PROMPTS_CHANGED, RESOURCES_CHANGED, TOOLS_CHANGED
from tests.server.desk import Desk


def things(**names: str) -> Sequence[Any]:
    """A tool, a prompt, a resource and a template; their names may be others."""

    def constant() -> Any:
        def f() -> str:
            """Do."""
            return "x"

        return f

    def g(x: str) -> str:
        """Do."""
        return x

    return [
        tool(name=names.get("tool", "t"))(constant()),
        prompt(name=names.get("prompt", "p"))(constant()),
        resource("a://one", name=names.get("resource", "r"))(constant()),
        resource("b://{x}", name=names.get("template", "m"))(g),
    ]


def test_one_function_as_several_things() -> None:
    """It may be a tool and a prompt at once."""

    @tool
    @prompt
    def both() -> str:
        """Do."""
        return "x"

    assert Desk(both).features.catalogs.counted() == "1 tool, 1 prompt"


@pytest.mark.parametrize(
    ("names", "notices"),
    [
        ({}, []),
        ({"tool": "other"}, [TOOLS_CHANGED]),
        ({"prompt": "other"}, [PROMPTS_CHANGED]),
        ({"resource": "other"}, [RESOURCES_CHANGED]),
        ({"template": "other"}, [RESOURCES_CHANGED]),
        ({"tool": "other", "prompt": "other"}, [TOOLS_CHANGED, PROMPTS_CHANGED]),
    ],
)
def test_what_there_is_to_tell(names: dict[str, str], notices: list[Any]) -> None:
    """The lists that show something else than before, and no others."""
    desk = Desk(*things())
    assert desk.features.replace(collect(things(**names), "new.py")) == notices


def test_files_are_listed_too(tmp_path: Path) -> None:
    """Another directory is another list of resources."""
    desk = Desk(Directory("docs://d", tmp_path))
    assert desk.features.replace(collect([Directory("docs://d", tmp_path)], "new.py")) == []
    (tmp_path / "a").write_text("a")
    assert desk.features.replace(collect([Directory("docs://d", tmp_path)], "new.py")) == [RESOURCES_CHANGED]


def test_what_is_served_then() -> None:
    """All kinds at once; what was completed is not any more."""
    desk = Desk(*things())
    desk.features.replace(collect([], "new.py"))
    for method in ("prompts/list", "resources/list", "completion/complete"):
        assert desk.ask(method).error[0] == -32601
    assert desk.ask("tools/list").result["tools"] == []
    assert desk.features.catalogs.counted() == "0 tools"
