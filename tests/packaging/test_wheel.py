"""The built wheel, installed in a fresh environment elsewhere."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.interop.served import answers, eventually, free_port, running
from tests.packaging.conftest import run

pytestmark = pytest.mark.packaging


def test_the_wheel_adds_one_file_to_twisted(wheel: Path) -> None:
    """Under `twisted/` there is the plugin and nothing else: an `__init__.py` there would replace Twisted's own."""
    names = zipfile.ZipFile(wheel).namelist()
    assert [name for name in names if name.startswith("twisted/")] == ["twisted/plugins/mcpserve_plugin.py"]


def test_the_wheel_is_complete(clone: Path, wheel: Path) -> None:
    """Every module of the package and every shipped plugin is in it; tests and benchmarks are not."""
    names = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    modules = set(run("git", "ls-files", "mcpserve", "plugins", "twisted", cwd=clone).split())
    assert names == {re.sub("^plugins/", "mcpserve/plugins/", module) for module in modules}


def test_check_works_from_anywhere(installed: Path, tmp_path: Path) -> None:
    """`twist mcpserve --check` finds the shipped plugins from any working directory."""
    printed = run(installed / "twist", "mcpserve", "--check", cwd=tmp_path)
    assert "echo" in printed
    assert "ticker" in printed


def test_twist_serves_from_anywhere(installed: Path, tmp_path: Path) -> None:
    """`twist mcpserve` serves from any working directory, and SIGTERM ends it with status 0."""
    port = free_port()
    command = [str(installed / "twist"), "mcpserve", "--listen", f"tcp:{port}:interface=127.0.0.1"]
    with running(command, f"http://127.0.0.1:{port}/mcp", tmp_path / "log", cwd=tmp_path) as server:
        assert server.stop(signal.SIGTERM) == 0


def test_stdio_serves_from_anywhere(installed: Path, tmp_path: Path) -> None:
    """`python -m mcpserve stdio` answers from any working directory, and ends with its input with status 0."""
    assert "ticker" in run(installed / "python", "-m", "mcpserve", "stdio", "--check", cwd=tmp_path)
    done = subprocess.run(
        [installed / "python", "-m", "mcpserve", "stdio"],
        cwd=tmp_path,
        input=b'{"jsonrpc": "2.0", "id": 1, "method": "ping"}',
        capture_output=True,
        timeout=60,
        check=True,
    )
    assert done.stdout == b'{"jsonrpc":"2.0","id":1,"result":{}}\n'


def test_twistd_is_a_daemon(installed: Path, tmp_path: Path) -> None:
    """`twistd mcpserve` goes to the background with a pid file, serves, and SIGTERM takes both away."""
    port = free_port()
    pid_file = tmp_path / "mcpserve.pid"
    files = [f"--pidfile={pid_file}", f"--logfile={tmp_path / 'mcpserve.log'}"]
    run(installed / "twistd", *files, "mcpserve", "--listen", f"tcp:{port}:interface=127.0.0.1", cwd=tmp_path)
    eventually("the pid file appears", pid_file.exists)
    pid = int(pid_file.read_text())
    try:
        eventually("the daemon answers", lambda: answers(f"http://127.0.0.1:{port}/mcp"))
    finally:
        os.kill(pid, signal.SIGTERM)
    eventually("the pid file goes", lambda: not pid_file.exists())
    eventually("the daemon ends", lambda: not Path(f"/proc/{pid}").exists())


def test_an_editable_checkout_serves(clone: Path, environment: Callable[..., Path], tmp_path: Path) -> None:
    """`pip install -e .` makes the command known too, with the shipped plugins."""
    commands = environment("--editable", clone)
    assert "echo" in run(commands / "twist", "mcpserve", "--check", cwd=tmp_path)


def test_uninstalling_leaves_nothing(wheel: Path, environment: Callable[..., Path], tmp_path: Path) -> None:
    """After `pip uninstall` nothing of ours is left, and Twisted works."""
    commands = environment(wheel)
    run(commands / "twist", "mcpserve", "--check", cwd=tmp_path)
    run(commands / "python", "-m", "pip", "uninstall", "--quiet", "--yes", "mcpserve", cwd=tmp_path)
    where = "import sysconfig; print(sysconfig.get_path('purelib'))"
    packages = Path(run(commands / "python", "-c", where, cwd=tmp_path).strip())
    assert [path.name for path in packages.rglob("*mcpserve*")] == []
    shown = subprocess.run([commands / "twist", "--help"], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert "mcpserve" not in shown.stdout
