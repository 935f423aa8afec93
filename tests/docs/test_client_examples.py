"""What the documentation says of the client and the command line, done against a running server."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.interop.served import Served, serving

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = ROOT / "docs" / "examples"
URL = "http://127.0.0.1:8000/mcp"
PAGES = ["README.md", "docs/tutorial/first-plugin.md", "docs/how-to/call-a-server.md"]
PAGES += ["docs/reference/client-command-line.md"]
LINE = re.compile(r"^(?:\.venv/bin/)?mcpserve (.*)$")
SHELL = re.compile(r"^```sh\n(.*?)^```$", re.MULTILINE | re.DOTALL)

PRINTED = {
    "in_twisted.py": ["{'sum': 3.0}", "3 to go", "2 to go", "1 to go", "Lift-off", "Counted down from 3."],
    "in_asyncio.py": [
        *["{'sum': 3.0} {'sum': 7.0}", "3 to go", "2 to go", "1 to go", "Lift-off", "Counted down from 3."],
        "cancelled on the server, too",
    ],
    "in_a_script.py": [
        *["...", "{'sum': 3.0}", "3 to go", "2 to go", "1 to go", "Lift-off", "Counted down from 3."],
    ],
    "leaving.py": ["tick 3 of 100", "total - No result of tools/call came within 0.3 s"],
    "answering.py": [
        "For whom is the table? ['name', 'persons', 'seat']",
        "Booked for Ada on 2030-05-01, 2 persons, indoors.",
        "It is 37 characters.",
    ],
}


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A server with the shipped plugins and those of the documentation."""
    with serving(tmp_path_factory.mktemp("examples") / "log", "--plugins", str(EXAMPLES)) as found:
        yield found


def ran(*words: str) -> list[str]:
    """The lines that a program prints, which ends well and complains of nothing."""
    done = subprocess.run(words, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=30, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.splitlines()


@pytest.mark.parametrize("name", PRINTED)
def test_the_programs(served: Served, name: str) -> None:
    """Each prints what it says."""
    lines = ran(sys.executable, "-W", "error", str(EXAMPLES / "clients" / name), served.url)
    assert len(lines) == len(PRINTED[name])
    assert [line for line, said in zip(lines, PRINTED[name], strict=True) if said not in ("...", line)] == []


def test_named_servers(served: Served, tmp_path: Path) -> None:
    """One of a file, by its name; and one that is not there."""
    path = tmp_path / "servers.json"
    path.write_text(json.dumps({"mcpServers": {"home": {"url": served.url}}}))
    there, gone = ran(sys.executable, str(EXAMPLES / "clients" / "known_servers.py"), str(path), "home")
    assert there == '{"sum":3.0}'
    assert gone.startswith("it is not there: http://127.0.0.1:9")


def commands() -> Iterator[Any]:
    """The lines of the pages that call the program, and need no more than a server."""
    for page in PAGES:
        blocks = SHELL.findall((ROOT / page).read_text(encoding="utf-8"))
        for number, line in enumerate(line for block in blocks for line in block.splitlines()):
            found = LINE.match(line)
            if found is not None:
                yield pytest.param(found[1], id=f"{Path(page).stem}-{number}")


@pytest.mark.packaging
@pytest.mark.parametrize("line", list(commands()))
def test_the_commands(served: Served, line: str) -> None:
    """Each does what it says."""
    words = shlex.split(line.replace(URL, served.url).replace("-- python", f"-- {sys.executable}"))
    assert ran(sys.executable, "-m", "mcpserve", *words)
