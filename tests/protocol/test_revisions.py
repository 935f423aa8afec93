"""The revisions and the choice among them."""

from __future__ import annotations

import pytest

from mcpserve.protocol.revisions import LATEST_LEGACY, LEGACY, MODERN, V2025_11_25, negotiate


@pytest.mark.parametrize("name", ["2024-11-05", "2025-03-26", "2025-06-18", "2025-11-25"])
def test_a_known_revision_is_taken(name: str) -> None:
    """The server answers with the version that the client asked for."""
    assert negotiate(name).name == name


@pytest.mark.parametrize("name", ["2026-07-28", "2030-01-01", "1.0", ""])
def test_another_gets_the_latest_with_a_handshake(name: str) -> None:
    """An unknown version, and one without handshake, get a counter-offer."""
    assert negotiate(name) is LATEST_LEGACY is V2025_11_25


def test_traits() -> None:
    """What the specification says of each revision, where they differ."""
    assert [r.name for r in MODERN.values() if r.modern] == ["2026-07-28"]
    assert [r.name for r in LEGACY.values() if r.modern] == []
    assert [r.name for r in LEGACY.values() if r.batches] == ["2025-03-26"]
    assert [r.name for r in LEGACY.values() if r.priming_events] == ["2025-11-25"]
    assert [r.name for r in LEGACY.values() if not r.audio] == ["2024-11-05"]
    assert [r.name for r in LEGACY.values() if not r.structured_content] == ["2024-11-05", "2025-03-26"]
    assert [r.name for r in LEGACY.values() if not r.resource_links] == ["2024-11-05", "2025-03-26"]
