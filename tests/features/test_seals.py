"""Seals: what a client carries comes back as it was, or not at all."""

from __future__ import annotations

import base64
from typing import Any

import pytest
from cryptography.fernet import Fernet
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.task import Clock

from mcpserve.features.seals import BrokenSeal, Seals

KEY = Fernet.generate_key().decode()
SEALED = Seals(Clock(), KEY).seal({"answers": {"name": "Ada"}}, "this")
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)


@given(JSON, st.text())
def test_what_was_sealed_comes_back(value: Any, purpose: str) -> None:
    """Any JSON, for any purpose, and nobody can read it on its way."""
    seals = Seals(Clock())
    assert seals.open(seals.seal(value, purpose), purpose) == value


@given(st.integers(0, len(SEALED) - 1), st.characters())
def test_any_changed_character_is_refused(place: int, character: str) -> None:
    """Also the last ones, of which base64 does not use all bits, and those outside of its alphabet."""
    changed = SEALED[:place] + character + SEALED[place + 1 :]
    if changed != SEALED:
        with pytest.raises(BrokenSeal, match="changed"):
            Seals(Clock(), KEY).open(changed, "this")


@given(st.integers(0, len(base64.urlsafe_b64decode(SEALED)) - 1), st.integers(1, 255))
def test_any_changed_byte_is_refused(place: int, difference: int) -> None:
    """Version, time, initial vector, text and authentication alike."""
    token = bytearray(base64.urlsafe_b64decode(SEALED))
    token[place] ^= difference
    with pytest.raises(BrokenSeal, match="changed"):
        Seals(Clock(), KEY).open(base64.urlsafe_b64encode(token).decode(), "this")


@given(st.integers(0, len(SEALED)), st.text(min_size=1))
def test_anything_more_or_less_is_refused(place: int, text: str) -> None:
    """Something put in between or at the end, or cut off."""
    for changed in (SEALED[:place] + text + SEALED[place:], SEALED[:place] * (place < len(SEALED))):
        with pytest.raises(BrokenSeal):
            Seals(Clock(), KEY).open(changed, "this")


@given(st.text())
def test_what_was_never_sealed_is_refused(text: str) -> None:
    """Whatever a client thinks of."""
    with pytest.raises(BrokenSeal):
        Seals(Clock(), KEY).open(text, "this")


def test_it_can_not_be_read() -> None:
    """The client sees that something is there, and how much, but not what."""
    assert b"Ada" not in base64.urlsafe_b64decode(SEALED)
    assert Seals(Clock(), KEY).seal(1, "this") != Seals(Clock(), KEY).seal(1, "this")


def test_it_is_good_for_one_purpose() -> None:
    """For another request or another caller it is refused."""
    with pytest.raises(BrokenSeal, match="another request"):
        Seals(Clock(), KEY).open(SEALED, "that")


def test_it_expires() -> None:
    """It is good to the last moment of its time, and not after it."""
    clock = Clock()
    seals = Seals(clock, ttl=10)
    sealed = seals.seal(1, "this")
    clock.advance(10)
    assert seals.open(sealed, "this") == 1
    clock.advance(0.001)
    with pytest.raises(BrokenSeal, match="expired"):
        seals.open(sealed, "this")


def test_another_key_opens_nothing() -> None:
    """Two servers open each other's only if they share a key."""
    assert Seals(Clock(), KEY).open(SEALED, "this")
    with pytest.raises(BrokenSeal):
        Seals(Clock()).open(SEALED, "this")
    with pytest.raises(ValueError, match="32"):
        Seals(Clock(), "short")
