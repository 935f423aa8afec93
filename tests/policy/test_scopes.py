"""Scopes that include others."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mcpserve.errors import ConfigurationError
from mcpserve.policy.scopes import FLAT, Inclusion, read_inclusion

NAMES = st.sampled_from("abcdef")


def test_a_broader_scope_has_the_narrower_ones() -> None:
    """Over several steps, too."""
    inclusion = read_inclusion(["admin=write audit", "write=read"])
    assert inclusion.expand(["admin"]) == {"admin", "write", "audit", "read"}
    assert inclusion.expand(["write", "other"]) == {"write", "read", "other"}
    assert FLAT.expand(["admin"]) == {"admin"}


def test_lines_of_one_scope_add_up() -> None:
    """They may stand on several lines."""
    assert read_inclusion(["a=b", "a=c"]).expand(["a"]) == {"a", "b", "c"}


@pytest.mark.parametrize("line", ["", "admin", "admin=", "=read", 'a"=b', "a=b\\", "a b=c", "ä=b"])
def test_a_line_that_is_none(line: str) -> None:
    """The setting is named, and so is the line."""
    with pytest.raises(ConfigurationError, match="scope_includes: "):
        read_inclusion([line])


@given(st.dictionaries(NAMES, st.frozensets(NAMES)), st.frozensets(NAMES))
def test_expanding(narrower: dict[str, frozenset[str]], scopes: frozenset[str]) -> None:
    """It ends even in a circle, loses nothing, and a second time adds nothing."""
    inclusion = Inclusion(narrower)
    found = inclusion.expand(scopes)
    assert scopes <= found
    assert inclusion.expand(found) == found
    assert all(narrower.get(scope, frozenset()) <= found for scope in found)
