"""Where a server listens, as far as that can be told without listening."""

from __future__ import annotations

import pytest

from mcpserve.service.listening import on_loopback


@pytest.mark.parametrize(
    ("description", "local"),
    [
        ("tcp:8000:interface=127.0.0.1", True),
        ("tcp:8000:interface=127.0.0.2:backlog=5", True),
        ("tcp:8000:interface=localhost", True),
        ("tcp6:8000:interface=\\:\\:1", True),
        ("unix:/run/mcp.sock", True),
        ("tcp:8000", False),
        ("tcp:8000:interface=0.0.0.0", False),
        ("tcp:8000:interface=myhost", False),
        ("ssl:443:privateKey=/etc/ssl/localhost.pem:interface=0.0.0.0", False),
        ("systemd:domain=INET:index=0", False),
    ],
)
def test_what_only_this_machine_reaches(description: str, local: bool) -> None:
    """The interface tells, and no other part of the description."""
    assert on_loopback(description) is local
