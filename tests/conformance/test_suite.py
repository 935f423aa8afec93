"""The official conformance suite, run against the fixtures in processes of their own."""

from __future__ import annotations

import pytest

from tests.conformance.run import FLOORS, LEGS, main


@pytest.mark.conformance
@pytest.mark.parametrize("revision", sorted(FLOORS))
@pytest.mark.parametrize("leg", sorted(LEGS))
def test_all_is_as_expected(leg: str, revision: str) -> None:
    """Each requirement set fails exactly where `expected_failures.txt` and `client_expected.toml` say so."""
    assert main(["--leg", leg, "--revision", revision]) == 0
