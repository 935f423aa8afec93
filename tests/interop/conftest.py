"""One server for all tests of this directory: the shipped plugins, and `plugins/witness.py` to look inside."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.interop.peers import Peers, install
from tests.interop.served import Served, serving

PLUGINS = Path(__file__).with_name("plugins")


@pytest.fixture(scope="session")
def peers() -> Peers:
    """The clients of others."""
    return install()


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A running server."""
    log = tmp_path_factory.mktemp("server") / "server.log"
    with serving(log, "--plugins", str(PLUGINS)) as served:
        yield served
