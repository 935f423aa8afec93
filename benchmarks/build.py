"""Builds what the comparison needs, once, into the git-ignored folder `benchmarks/.cache`."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
CACHE = HERE / ".cache"
BUILD_SECONDS = 900
PACKAGES = {"wrk": "wrk", "gcc": "gcc", "node": "nodejs", "npm": "npm"}


class BuildError(Exception):
    """Something that the comparison needs is missing or does not build; the text says what to do."""


def find(program: str) -> str:
    """Find a program on the path.

    Raises:
        BuildError: If it is not installed; the text names the Debian package.
    """
    found = shutil.which(program)
    if found is None:
        package = PACKAGES.get(program, program)
        raise BuildError(f"{program} is not installed; on Debian: apt-get install {package}")
    return found


def build_interpreter() -> Path:
    """A Python that has mcpserve from this checkout: the running one, or one made in the cache."""
    if has_mcpserve(sys.executable):
        return Path(sys.executable)
    python = CACHE / "mcpserve" / "bin" / "python"
    if not (python.exists() and has_mcpserve(str(python))):
        make_environment(python.parent.parent, ["--editable", str(ROOT)])
    return python


def has_mcpserve(python: str) -> bool:
    """Whether an interpreter finds an installed mcpserve; what lies in the working directory does not count."""
    check = "import importlib.metadata as m; m.version('mcpserve')"
    return subprocess.run([python, "-I", "-c", check], capture_output=True, timeout=60).returncode == 0


def build_streams() -> Path:
    """Compile the load program for streams."""
    source, program = HERE / "load" / "streams.c", CACHE / "streams"
    if is_stale(program, source.read_text()):
        run([find("gcc"), "-O2", "-Wall", "-o", str(program), str(source)])
        stamp(program, source.read_text())
    return program


def build_python_peers() -> Path:
    """Install the pinned Python peers into an environment of their own; gives its interpreter."""
    pins = HERE / "peers" / "requirements.txt"
    environment = CACHE / "python"
    if is_stale(environment, pins.read_text()):
        make_environment(environment, ["--requirement", str(pins)])
        stamp(environment, pins.read_text())
    return environment / "bin" / "python"


def build_node_peers() -> Path:
    """Install the pinned Node peers; gives the folder where `typescript.mjs` runs.

    Node resolves packages from the place of the program, so the program is copied beside them.
    """
    pins = (HERE / "peers" / "package.json").read_text()
    folder = CACHE / "node"
    find("node")
    if is_stale(folder, pins):
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "package.json").write_text(pins)
        run([find("npm"), "install", "--no-package-lock", "--no-audit", "--no-fund"], folder)
        stamp(folder, pins)
    shutil.copy(HERE / "peers" / "typescript.mjs", folder)
    return folder


def make_environment(folder: Path, requirements: Sequence[str]) -> None:
    """Make a virtual environment and install into it."""
    run([sys.executable, "-m", "venv", "--clear", str(folder)])
    run([str(folder / "bin" / "python"), "-m", "pip", "install", "--quiet", *requirements])


def run(command: Sequence[str], folder: Path = HERE) -> None:
    """Run a step of the build, in bounded time.

    Raises:
        BuildError: If it fails; the text is the command and the end of what it said.
    """
    CACHE.mkdir(exist_ok=True)
    print("building:", " ".join(command), file=sys.stderr, flush=True)
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=BUILD_SECONDS)
    if done.returncode:
        raise BuildError(f"{' '.join(command)} failed:\n{(done.stdout + done.stderr)[-2000:]}")


def is_stale(product: Path, recipe: str) -> bool:
    """Whether a product is missing or was made from another recipe."""
    note = stamp_of(product)
    return not (product.exists() and note.exists() and note.read_text() == recipe)


def stamp(product: Path, recipe: str) -> None:
    """Note what a product was made from."""
    stamp_of(product).write_text(recipe)


def stamp_of(product: Path) -> Path:
    """The file beside a product that keeps its recipe."""
    return product.with_name(product.name + ".made-from")
