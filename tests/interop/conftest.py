"""One server of ours for all tests of this directory, with `plugins/witness.py` to look inside; and those of others."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.interop.others import Find, Other, others
from tests.interop.peers import Peers, install
from tests.interop.served import Served, serving

PLUGINS = Path(__file__).with_name("plugins")


def pytest_collection_finish(session: pytest.Session) -> None:
    """Install the clients and servers of others before the first test begins: within one there is no time for it."""
    if not session.config.option.collectonly and any(one.get_closest_marker("interop") for one in session.items):
        install()


@pytest.fixture(scope="session")
def peers() -> Peers:
    """The clients and servers of others."""
    return install()


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A running server."""
    log = tmp_path_factory.mktemp("server") / "server.log"
    with serving(log, "--plugins", str(PLUGINS)) as served:
        yield served


@pytest.fixture(scope="session")
def find(peers: Peers, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Find]:
    """What finds a server of others."""
    with others(peers, tmp_path_factory.mktemp("others")) as found:
        yield found


@pytest.fixture
def other(request: pytest.FixtureRequest, find: Find) -> Other:
    """The server of others that the test is parametrized with, with a witness that has told nothing yet."""
    found = find(request.param)
    found.witness.write_text("")
    return found
