"""The Inspector's command line."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from pathlib import Path

import attrs

from tests.interop.peers import Peers


@attrs.frozen
class Inspector:
    """The Inspector, pointed at a server.

    Args:
        peers: Where it is installed.
        home: A directory for the settings that it keeps in the home directory.
        target: Its arguments that name the server.
    """

    peers: Peers
    home: Path
    target: Sequence[str]

    def __call__(self, *arguments: str) -> str:
        """Run it, and return what it printed."""
        node = self.peers.node
        done = subprocess.run(
            [str(node), str(self.peers.npm_bin("mcp-inspector")), "--cli", *self.target, *QUIET, *arguments],
            env={"HOME": str(self.home), "PATH": f"{node.parent}:/usr/bin:/bin"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout


QUIET = ("--format", "json", "--quiet")
