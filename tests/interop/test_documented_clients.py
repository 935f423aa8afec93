"""What the documentation tells a reader to type against a running server, typed."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.interop.peers import Peers
from tests.interop.served import ROOT, Served, serving

pytestmark = pytest.mark.interop

ADDRESS = "http://127.0.0.1:8000/mcp"
ON_ITS_OWN = "face-the-internet"
"""A page that is run as a whole, against a server that it makes: tests/docs/test_internet_page.py."""
BLOCK = re.compile(r"^```sh\n((?:curl|npx) .*?)^```$", re.MULTILINE | re.DOTALL)


def commands(program: str) -> list[Any]:
    """The commands of the pages that call this program."""
    found = []
    pages = (ROOT / "docs").rglob("*.md")
    for page in sorted(page for page in pages if page.stem != ON_ITS_OWN):
        blocks = BLOCK.findall(page.read_text(encoding="utf-8"))
        texts = [text for text in blocks if text.startswith(program)]
        found += [pytest.param(text, id=f"{page.stem}-{number}") for number, text in enumerate(texts, 1)]
    return found


@pytest.fixture(scope="module")
def examples(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A server with the plugins of the documentation."""
    log = tmp_path_factory.mktemp("examples") / "server.log"
    with serving(log, "--plugins", str(ROOT / "docs" / "examples")) as served:
        yield served


def typed(command: str, url: str, **more: Any) -> str:
    """Run a command in a shell, against this server, and return what it printed."""
    assert ADDRESS in command
    done = subprocess.run(
        ["bash", "-c", command.replace(ADDRESS, url)],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        **more,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("command", commands("curl"))
def test_the_curl_lines_work(examples: Served, command: str) -> None:
    """Each curl line of the documentation gets a result that is no error."""
    printed = typed(command, examples.url)
    assert '"result":' in printed
    assert '"isError"' not in printed


@pytest.mark.parametrize("command", commands("npx"))
def test_the_inspector_line_works(examples: Served, peers: Peers, tmp_path: Path, command: str) -> None:
    """The Inspector's line lists the tools; npx is left out, as the package is installed already."""
    installed = f"{peers.node} {peers.npm_bin('mcp-inspector')}"
    command = command.replace("npx @modelcontextprotocol/inspector", installed)
    environment = {"HOME": str(tmp_path), "PATH": f"{peers.node.parent}:/usr/bin:/bin"}
    assert "ticker" in typed(command, examples.url, env=environment)


def test_the_python_client_works(examples: Served, peers: Peers) -> None:
    """The program prints the tools, three steps of progress, and the result."""
    program = f"{peers.python} {ROOT / 'docs' / 'examples' / 'clients' / 'client.py'} {ADDRESS}"
    tools, *steps, result = typed(program, examples.url).splitlines()
    assert "ticker" in tools
    assert steps == ["1 of 3: tick 1 of 3", "2 of 3: tick 2 of 3", "3 of 3: tick 3 of 3"]
    assert result == "Sent 3 ticks."
