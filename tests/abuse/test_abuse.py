"""Each attack in its short form: nothing crashes, nothing grows, and a well-behaved client hardly notices."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.abuse.attacks import ATTACKS
from tests.abuse.limits import FLOOD, SERVED, broken
from tests.abuse.siege import besiege, fortress, table

pytestmark = pytest.mark.abuse

SCALE = 0.05


@pytest.mark.deadline(120)
@pytest.mark.parametrize("name", ATTACKS)
def test_the_server_stays_calm(name: str, tmp_path: Path) -> None:
    """The good client is served, the server comes to rest as it was, and says no traceback of its own."""
    with fortress(tmp_path / "server.log", *(FLOOD if name == "flood" else SERVED)) as server:
        report = besiege(server, name, SCALE, tmp_path)
        print(table([report]))
        assert list(broken(report)) == []
        assert server.process.poll() is None
    assert "Traceback" not in server.log.read_text()
