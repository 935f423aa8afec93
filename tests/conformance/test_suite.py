"""The official conformance suite, run against the fixture in a process of its own."""

from __future__ import annotations

import pytest

from tests.conformance.run import FLOORS, main


@pytest.mark.conformance
@pytest.mark.parametrize("revision", sorted(FLOORS))
def test_every_failure_is_expected(revision: str) -> None:
    """Each requirement set fails exactly where `expected_failures.txt` says that something is not served yet."""
    assert main(["--revision", revision]) == 0
