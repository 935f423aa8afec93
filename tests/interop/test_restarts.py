"""The clients of others live through closed streams and restarts of a server that has a store."""

from __future__ import annotations

import json
import signal
import subprocess
import textwrap
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import attrs
import pytest

from tests.interop.drivers import carry_out, npm_client, npm_sdk, official
from tests.interop.peers import Peers
from tests.interop.served import Served, eventually, free_port, running, twist_mcpserve

pytestmark = pytest.mark.interop

CLIENTS = pytest.mark.parametrize("client", [official, npm_client, npm_sdk], ids=lambda client: client.__name__)
Driver = Callable[[Peers], list[str]]

PLUGIN = """
from pathlib import Path

from mcpserve import Call, tool

@tool
async def steps(call: Call, number: int = 8, polled: bool = False) -> str:
    "Report progress each quarter of a second."
    for step in range(1, number + 1):
        if polled:
            await call.close_stream(retry_ms=200)
        await call.progress(step, number, f"step {step}")
        if step == 3:
            Path(__file__).with_name("third-step").touch()
        await call.sleep(0.25)
    return "all done"
"""


@attrs.define
class Place:
    """Where one server after the other runs, at one URL."""

    folder: Path
    port: int = attrs.field(factory=free_port)

    def server(self) -> AbstractContextManager[Served]:
        """A server, until the block ends."""
        listen = f"tcp:{self.port}:interface=127.0.0.1"
        options = ["--listen", listen, "--no-shipped", "--plugins", str(self.folder), "--drain", "4"]
        command = twist_mcpserve(*options, "--store", f"sqlite:{self.folder / 'store.db'}")
        return running(command, self.url, self.folder / "server.log")

    @property
    def url(self) -> str:
        """Where it is."""
        return f"http://127.0.0.1:{self.port}/mcp"

    def plan(self, **arguments: object) -> list[str]:
        """The arguments of a driver that makes one call."""
        return [self.url, "legacy", json.dumps([{"tool": "steps", "arguments": arguments}])]

    def restarted(self, command: list[str], number: int) -> subprocess.CompletedProcess[str]:
        """Run a driver, and put another server in the place of the first in the middle of its call."""
        with self.server() as first:
            process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
            eventually("the third step", lambda: (self.folder / "third-step").exists() or process.poll() is not None)
            first.stop(number)
        with self.server():
            output, errors = process.communicate(timeout=60)
        return subprocess.CompletedProcess(command, process.returncode, output, errors)


@pytest.fixture
def place(tmp_path: Path) -> Place:
    """A place with the plugin in it."""
    (tmp_path / "plugin.py").write_text(textwrap.dedent(PLUGIN))
    return Place(tmp_path)


@CLIENTS
def test_a_polled_call(place: Place, peers: Peers, client: Driver) -> None:
    """The server closes the connection before each step; the client comes back for it, and misses nothing."""
    with place.server():
        outcome = carry_out([*client(peers), *place.plan(polled=True)])
    call = outcome["calls"][0]
    assert call["text"] == ["all done"]
    assert [value for value, _, _ in call["progress"]] == list(range(1, 9))


@CLIENTS
def test_an_orderly_restart(place: Place, peers: Peers, client: Driver) -> None:
    """The client does not notice: the call ends while the server drains, and the next one delivers the rest."""
    done = place.restarted([*client(peers), *place.plan()], signal.SIGTERM)
    assert done.returncode == 0, done.stderr
    call = json.loads(done.stdout)["calls"][0]
    assert call["text"] == ["all done"]
    assert [value for value, _, _ in call["progress"]] == list(range(1, 9))


@CLIENTS
def test_a_server_that_is_killed(place: Place, peers: Peers, client: Driver) -> None:
    """The client is told what became of its call, and does not hang."""
    done = place.restarted([*client(peers), *place.plan()], signal.SIGKILL)
    assert done.returncode != 0
    assert "restarted before this call had ended" in done.stderr
