"""The way from nothing to a server that faces the internet, gone as the page describes it."""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import attrs
import pytest

DOCS = Path(__file__).resolve().parents[2] / "docs"
PAGE = (DOCS / "how-to" / "face-the-internet.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```sh\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
WAKING = (DOCS / "how-to" / "operate.md").read_text(encoding="utf-8")
WAKING = WAKING.partition("\n## What to be woken for\n")[2].partition("\n## ")[0]
START = "twist mcpserve --config mcp.toml\n"
DEADLINE = 60.0

pytestmark = [
    pytest.mark.packaging,
    pytest.mark.skipif(shutil.which("openssl") is None, reason="the page makes its certificate with openssl"),
    pytest.mark.skipif(shutil.which("curl") is None, reason="the page looks with curl"),
]


@attrs.frozen
class Said:
    """What one command of the page wrote, and its status."""

    command: str
    text: str
    status: int


@attrs.define
class Reader:
    """Somebody who follows the page, on ports that are free here."""

    folder: Path
    ports: dict[str, str]
    started: list[subprocess.Popen[bytes]] = attrs.Factory(list)

    def local(self, text: str) -> str:
        """A part of the page with our ports."""
        for port, ours in self.ports.items():
            text = text.replace(port, ours)
        return text

    def run(self, command: str) -> Said:
        """Type a line."""
        kept = 'cd "$(cat cwd 2>/dev/null || echo .)"'
        script = f"{kept}\n{self.local(command)}\nstatus=$?; pwd > '{self.folder}/cwd'; exit $status"
        environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
        environment["SSL_CERT_FILE"] = str(self.folder / "kitchen" / "cert.pem")
        done = subprocess.run(
            ["bash", "-c", script],
            cwd=self.folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=DEADLINE,
            check=False,
        )
        return Said(command, done.stdout.decode(), done.returncode)

    def start(self) -> None:
        """Start the server, and wait until it says that it is ready."""
        words = [Path(sys.executable).parent / "twist", *START.split()[1:]]
        with (self.folder / "log").open("wb") as log:
            process = subprocess.Popen(words, cwd=self.folder / "kitchen", stdout=log, stderr=log)
        self.started.append(process)
        self.wait_for("mcpserve is ready with 2 tools")

    def wait_for(self, words: str) -> None:
        """Read the log until it has these words."""
        end = time.monotonic() + DEADLINE
        while words not in (text := (self.folder / "log").read_text()):
            assert time.monotonic() < end, text
            with suppress(subprocess.TimeoutExpired):
                self.started[-1].wait(0.05)


@pytest.fixture
def reader(tmp_path: Path) -> Iterator[Reader]:
    """With ports that nobody has."""
    with socket.socket() as one, socket.socket() as other:
        one.bind(("127.0.0.1", 0))
        other.bind(("127.0.0.1", 0))
        ports = {"8443": str(one.getsockname()[1]), "9464": str(other.getsockname()[1])}
    reader = Reader(tmp_path, ports)
    yield reader
    for process in reader.started:
        process.kill()
        process.wait()


def commands(block: str) -> list[str]:
    """The lines of a block, each with those that continue it."""
    return block.replace("\\\n", " ").strip().splitlines()


@pytest.mark.deadline(120)
def test_the_page(reader: Reader) -> None:
    """Each command does what the page says of it."""
    directory, keys, look, start, call, watch, change = BLOCKS
    assert all(reader.run(command).status == 0 for command in commands(directory))
    kitchen = reader.folder / "kitchen"
    (kitchen / "mcp.toml").write_text(reader.local((DOCS / "examples" / "public.toml").read_text(encoding="utf-8")))
    for name in ("greeting.py", "bakery.py"):
        shutil.copy(DOCS / "examples" / name, kitchen)

    *_, listed = [reader.run(command) for command in commands(keys)]
    assert re.search(r"^\w{10}  ada +staff .*\n\w{10}  shop +partners ", listed.text, re.MULTILINE), listed
    check, ada, shop = [reader.run(command) for command in commands(look)]
    assert (check.status, check.text.splitlines()[-1]) == (0, "Ready: 2 tools.")
    assert (ada.status, shop.status) == (0, 1)

    assert start == START
    reader.start()
    _, tools, greet, bake, stranger = [reader.run(command) for command in commands(call)]
    assert re.findall(r"^\w+", tools.text, re.MULTILINE) == ["bake", "greet"]
    assert (greet.status, greet.text) == (0, "Hello, Ada!\n")
    assert (bake.status, stranger.status) == (3, 5)
    health, metrics = [reader.run(command) for command in commands(watch)]
    assert '"status":"ok"' in health.text
    named = set(re.findall(r"\b(?:mcpserve|process)_[a-z_]+", WAKING))
    assert len(named) == 8
    assert all(f"# TYPE {name.removesuffix('_bucket')} " in metrics.text for name in named), metrics.text

    for command in commands(change):
        assert reader.run(command).status == 0
    (server,) = reader.started
    server.send_signal(signal.SIGHUP)
    reader.wait_for("callers that have none any more: 1")
    assert reader.run(commands(call)[2]).status == 5
    server.send_signal(signal.SIGTERM)
    assert server.wait(DEADLINE) == 0
