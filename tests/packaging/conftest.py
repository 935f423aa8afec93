"""A fresh clone of this repository, the wheel built from it, and fresh environments to install it into."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def run(*command: str | Path, cwd: Path) -> str:
    """Run a command that must succeed, and return what it printed."""
    done = subprocess.run(
        command, cwd=cwd, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, f"{command} ended with {done.returncode}:\n{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.fixture(scope="session")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What somebody has who clones the repository now: all that is committed."""
    home = tmp_path_factory.mktemp("clone")
    run("git", "clone", "--quiet", ROOT, home / "mcpserve", cwd=home)
    return home / "mcpserve"


@pytest.fixture(scope="session")
def wheel(clone: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built in the clone."""
    home = tmp_path_factory.mktemp("wheel")
    run(sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", home, clone, cwd=home)
    [built] = home.glob("*.whl")
    return built


@pytest.fixture(scope="session")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Makes an environment with these pip arguments installed, and returns the directory of its commands."""

    def make(*requirements: str | Path) -> Path:
        home = tmp_path_factory.mktemp("environment")
        run(sys.executable, "-m", "venv", home, cwd=home)
        run(home / "bin" / "python", "-m", "pip", "install", "--quiet", *requirements, cwd=home)
        return home / "bin"

    return make


@pytest.fixture(scope="session")
def installed(wheel: Path, environment: Callable[..., Path]) -> Path:
    """The commands of an environment that has the wheel."""
    return environment(wheel)
