"""`mcpserve new-plugin`: what it writes works as it is written."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from mcpserve.cli.entry import main
from mcpserve.service.plugins import load
from mcpserve.service.settings import Settings

WRITTEN = ["weather_report.py", "tests/test_weather_report.py", "tests/conftest.py"]


def new_plugin(*words: str) -> int | str | None:
    """The status with which the command ends."""
    with pytest.raises(SystemExit) as caught:
        main(["new-plugin", *words])
    return caught.value.code


def test_it_can_be_served(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The plugin is loaded, with its tool; what to do next is told."""
    assert new_plugin("weather-report", "--directory", str(tmp_path / "mine")) == 0
    assert all((tmp_path / "mine" / name).is_file() for name in WRITTEN)
    catalog = load(Settings(plugins=(str(tmp_path / "mine"),), shipped=False))
    assert [tool.name for tool in catalog.tools] == ["weather_report"]
    assert "twist" in capsys.readouterr().out


def test_its_test_passes(tmp_path: Path) -> None:
    """As it was written, from any directory, by pytest alone."""
    assert new_plugin("weather_report", "-d", str(tmp_path / "mine")) == 0
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--rootdir", str(tmp_path), "mine"]
    environment = {**os.environ, "PYTHONPATH": ""}
    run = subprocess.run(
        command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False, timeout=60
    )
    assert run.returncode == 0, run.stdout
    assert "3 passed" in run.stdout


def test_it_is_tidy(tmp_path: Path) -> None:
    """By the rules of this project, and those that ruff has by itself."""
    new_plugin("weather", "-d", str(tmp_path))
    for words in (
        ["check", "--select", "E,F,W,I,D100,D101,D103,UP", "--line-length", "120"],
        ["format", "--check", "--line-length", "120"],
    ):
        run = subprocess.run(
            [sys.executable, "-m", "ruff", *words, str(tmp_path)], capture_output=True, text=True, check=False
        )
        assert run.returncode == 0, run.stdout


def test_nothing_is_overwritten(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Neither the plugin nor its test; what all tests share stays as it is."""
    assert new_plugin("one", "-d", str(tmp_path)) == 0
    (tmp_path / "tests" / "conftest.py").write_text("# mine\n")
    (tmp_path / "one.py").write_text("# changed\n")
    assert new_plugin("one", "-d", str(tmp_path)) == 2
    assert "is there already" in capsys.readouterr().err
    assert (tmp_path / "one.py").read_text() == "# changed\n"
    assert new_plugin("two", "-d", str(tmp_path)) == 0
    assert (tmp_path / "tests" / "conftest.py").read_text() == "# mine\n"


@pytest.mark.parametrize(
    "name", ["2fast", "Weather", "a.b", "a/b", "class", "json", "mcpserve", "conftest", "", "ünder"]
)
def test_names_that_can_not_be(name: str, tmp_path: Path) -> None:
    """As no module could have them, or another one has."""
    assert new_plugin(name, "-d", str(tmp_path)) == 2
    assert list(tmp_path.iterdir()) == []


def test_a_directory_that_can_not_be(tmp_path: Path) -> None:
    """Is told in a sentence."""
    (tmp_path / "file").write_text("")
    assert new_plugin("weather", "-d", str(tmp_path / "file" / "inside")) == 2
