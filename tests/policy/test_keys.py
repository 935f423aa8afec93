"""API keys: their form, what is kept of them, and who gets in with what."""

from __future__ import annotations

import re
from typing import Any

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mcpserve.errors import Unproven
from mcpserve.policy.callers import Caller
from mcpserve.policy.keys import ApiKey, KeyRing, looks_like_key, make_key
from mcpserve.policy.scopes import read_inclusion


def made(name: str = "alice", **more: Any) -> tuple[ApiKey, bytes]:
    """A key, and what its owner shows."""
    key, shown = make_key(name, now=1000.0, **more)
    return key, shown.encode("ascii")


KEY, SHOWN = made(groups=["ops"], scopes=["write"])


def test_the_form_of_a_key() -> None:
    """A prefix, a public id, and more than 250 random bits, of which nothing is kept but a hash."""
    assert re.fullmatch(rb"mcps_[a-z0-9]{10}_[A-Za-z0-9]{43}", SHOWN)
    assert SHOWN[5:15] == KEY.id.encode("ascii")
    secret = SHOWN[16:].decode("ascii")
    assert secret not in repr(KEY)
    assert repr(KEY.digest) not in repr(KEY)
    assert looks_like_key(SHOWN)
    assert not looks_like_key(b"eyJhbGciOiJFUzI1NiJ9.e30.AAAA")


def test_no_two_keys_are_alike() -> None:
    """Neither in the id nor in the secret."""
    keys = [made() for _ in range(100)]
    assert len({key.id for key, _ in keys}) == len({shown[16:] for _, shown in keys}) == 100


def test_the_right_key() -> None:
    """It names its party, with its groups and all that its scopes include."""
    ring = KeyRing([made("bob")[0], KEY], read_inclusion(["write=read"]))
    caller = ring.find(SHOWN, 1000.0)
    assert caller == Caller(name="key:alice", groups=frozenset({"ops"}), scopes=frozenset({"write", "read"}))


def test_two_keys_of_one_name() -> None:
    """They are one party, so that one can take the other's place."""
    other, shown = made(groups=["ops"], scopes=["write"])
    ring = KeyRing([KEY, other])
    assert ring.find(SHOWN, 1.0) == ring.find(shown, 1.0)


@pytest.mark.parametrize(
    "shown",
    [
        b"",
        b"mcps_",
        SHOWN[:15],
        SHOWN[:-1],
        SHOWN + b"x",
        SHOWN[:-1] + b"\xff",
        SHOWN.upper(),
        SHOWN[:16] + made()[1][16:],
        made()[1],
        b" " + SHOWN,
        SHOWN + b"\n",
        KEY.digest,
        KEY.digest.hex().encode("ascii"),
    ],
)
def test_what_is_not_quite_the_key(shown: bytes) -> None:
    """Nobody gets in with it, its use is not noted, and nothing of it is said again."""
    ring = KeyRing([KEY])
    with pytest.raises(Unproven) as caught:
        ring.find(shown, 1000.0)
    assert ring.used == {}
    assert len(shown) < 8 or shown.decode("latin-1") not in str(caught.value)


@given(st.binary(max_size=100))
def test_garbage(shown: bytes) -> None:
    """Whatever is shown, it is refused in a sentence."""
    with pytest.raises(Unproven):
        KeyRing([KEY]).find(shown, 0.0)


def test_a_key_that_has_expired() -> None:
    """It is good until the second in which it expires; then its owner is told so."""
    key, shown = made(expires=2000.0)
    ring = KeyRing([key])
    assert ring.find(shown, 1999.9).name == "key:alice"
    with pytest.raises(Unproven, match=rf"The API key {key.id} of alice has expired"):
        ring.find(shown, 2000.0)
    assert key.expired(2000.0)


def test_whether_it_has_expired_is_for_its_owner() -> None:
    """Who only knows the id is told the same as of an id that there is not."""
    key, shown = made(expires=2000.0)
    with pytest.raises(Unproven, match="is not known here"):
        KeyRing([key]).find(shown[:-1] + (b"a" if shown[-1:] != b"a" else b"b"), 3000.0)


def test_the_last_use() -> None:
    """It is noted by id."""
    ring = KeyRing([KEY])
    ring.find(SHOWN, 1000.0)
    ring.find(SHOWN, 1500.0)
    assert ring.used == {KEY.id: 1500.0}


def test_looking_a_caller_up() -> None:
    """By name or by id, for who explains decisions; expired ones too."""
    old, _ = made(expires=1.0)
    ring = KeyRing([KEY, old, made("bob")[0]])
    assert [key.id for key, _ in ring.callers("alice")] == [KEY.id, old.id]
    assert [caller.name for _, caller in ring.callers(old.id)] == ["key:alice"]
    assert ring.callers("nobody") == []
    assert len(ring) == len(list(ring.ids())) == 3


def test_the_keys_that_are_gone() -> None:
    """Those that are not there any more, and those that are good for something else now."""
    same, other, revoked = (made()[0] for _ in range(3))
    before = KeyRing([same, other, revoked])
    after = KeyRing([same, attrs.evolve(other, groups=("guests",)), KEY])
    assert before.gone(after) == {other.id, revoked.id}
    assert after.find(SHOWN, 0.0).credential == KEY.id
