"""documents: a configured directory whose files are resources."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from mcpserve import PluginError
from mcpserve.testing import ToolRunner
from plugins import documents


@pytest.fixture(autouse=True)
def unconfigured() -> Iterator[None]:
    """Leave the plugin as it was."""
    yield
    documents.configure({})


def test_off_by_default() -> None:
    """Without a root there is no directory."""
    documents.configure({})
    assert documents.documents is None


def test_a_configured_directory(tmp_path: Path) -> None:
    """Its files are read by their paths."""
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "a.md").write_text("# A")
    documents.configure({"root": str(tmp_path), "uri": "docs://h", "limit": 3, "watch": 0})
    assert documents.documents is not None
    runner = ToolRunner(documents.documents)
    (part,) = runner.read("docs://h/sub/a.md").contents
    assert (part.contents, part.mime_type) == ("# A", "text/markdown")
    assert runner.complete("docs://h/{+path}", "path", "s").completion.values == ["sub/a.md"]
    (tmp_path / "b.md").write_text("long")
    error = runner.read("docs://h/b.md").error
    assert error is not None
    assert "no more than 3 are read" in error["message"]


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"rot": "/"}, "there is no setting 'rot'"),
        ({"root": "relative"}, "root must be the absolute path"),
        ({"root": "/nowhere/at/all"}, "root must be the absolute path"),
        ({"root": 5}, "root can't be 5"),
        ({"uri": 5}, "uri can't be 5"),
        ({"limit": "x"}, "limit can't be 'x'"),
        ({"limit": True}, "limit can't be True"),
        ({"watch": -1}, "watch can't be -1"),
    ],
)
def test_wrong_settings(settings: dict[str, Any], words: str) -> None:
    """The operator reads which one."""
    with pytest.raises(PluginError) as caught:
        documents.configure(settings)
    assert words in str(caught.value)
