"""API keys: how one looks, what is kept of it, and whose it is.

    mcps_k3v9x0q2ma_9S2f...      a prefix that scanners for leaked secrets can know, a public id, 256 random bits

1. A key is shown to its owner once. What is kept is its SHA-256: it is as good as random, so that nothing slower is
   needed, and nobody finds the key from it.
2. The id finds the entry, the hash proves the key, in constant time. Both cost the same however many keys there are.
3. Keys of one name are one party, so that a key can be changed while the other still works: what belongs to the name
   belongs to both.
"""

from __future__ import annotations

import hmac
import re
import secrets
from collections.abc import Callable, Iterable, Sequence
from hashlib import sha256

import attrs

from mcpserve.errors import Unproven
from mcpserve.policy.callers import Caller
from mcpserve.policy.scopes import FLAT, Inclusion

PREFIX = b"mcps_"
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@+-]{0,63}")
"""What a key may be called; it stands in logs and on command lines."""

ID = re.compile(r"[0-9a-z]{10}")
"""The public part of a key."""

_ID_SIZE = 10
_SECRET_SIZE = 43
_ID = slice(len(PREFIX), len(PREFIX) + _ID_SIZE)
_DIGITS = "0123456789abcdefghijklmnopqrstuvwxyz"
_LETTERS = _DIGITS + "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
_NOBODY = bytes(32)


@attrs.frozen(kw_only=True)
class ApiKey:
    """What is kept of a key.

    Args:
        id: The public part of the key.
        name: Names its party.
        digest: The SHA-256 of the whole key.
        groups: The groups of its party.
        scopes: What it allows.
        created: When it was made; seconds since the epoch.
        expires: When it stops to be good. None for never.
    """

    id: str
    name: str
    digest: bytes = attrs.field(repr=False)
    groups: Sequence[str] = ()
    scopes: Sequence[str] = ()
    created: float
    expires: float | None = None

    def expired(self, now: float) -> bool:
        """Whether it was good once."""
        return self.expires is not None and now >= self.expires


def make_key(
    name: str,
    *,
    now: float,
    groups: Sequence[str] = (),
    scopes: Sequence[str] = (),
    expires: float | None = None,
    choose: Callable[[str], str] = secrets.choice,
) -> tuple[ApiKey, str]:
    """Make a key.

    Args:
        name: Names its party.
        now: Seconds since the epoch.
        groups: The groups of its party.
        scopes: What it allows.
        expires: When it stops to be good; seconds since the epoch.
        choose: Chooses a letter; as random as a secret has to be.

    Returns:
        What to keep of it, and the key itself.
    """
    id, secret = ("".join(choose(letters) for _ in range(size)) for letters, size in _PARTS)
    shown = f"{PREFIX.decode('ascii')}{id}_{secret}"
    digest = sha256(shown.encode("ascii")).digest()
    kept = ApiKey(
        id=id, name=name, digest=digest, groups=tuple(groups), scopes=tuple(scopes), created=now, expires=expires
    )
    return kept, shown


_PARTS = ((_DIGITS, _ID_SIZE), (_LETTERS, _SECRET_SIZE))


def looks_like_key(shown: bytes) -> bool:
    """Whether a credential has the form of our keys, so that it is nobody else's business."""
    return shown.startswith(PREFIX)


class KeyRing:
    """The keys that are good, by id.

    Args:
        keys: What is kept of them.
        inclusion: Which scopes include which.

    Attributes:
        used: When a key was last good for something, by id; whoever writes it down may empty it.
    """

    def __init__(self, keys: Iterable[ApiKey], inclusion: Inclusion = FLAT) -> None:
        self._keys = {key.id.encode("ascii"): (key, _caller(key, inclusion)) for key in keys}
        self.used: dict[str, float] = {}

    def __len__(self) -> int:
        return len(self._keys)

    def find(self, shown: bytes, now: float) -> Caller:
        """Find out whose key this is.

        Args:
            shown: What the caller sent.
            now: Seconds since the epoch.

        Raises:
            Unproven: It is nobody's, or has expired.
        """
        found = self._keys.get(shown[_ID])
        # compared in any case, so that the time says nothing either
        kept = _NOBODY if found is None else found[0].digest
        if not hmac.compare_digest(sha256(shown).digest(), kept) or found is None:
            raise Unproven("This API key is not known here: it was mistyped or revoked (mcpserve keys list)")
        key, caller = found
        if key.expires is not None and now >= key.expires:
            raise Unproven(f"The API key {key.id} of {key.name} has expired; make another (mcpserve keys add)")
        self.used[key.id] = now
        return caller

    def ids(self) -> Iterable[str]:
        """The ids of all keys."""
        return [key.id for key, _ in self._keys.values()]

    def parties(self) -> set[str]:
        """The names of all callers that are let in."""
        return {str(caller.name) for _, caller in self._keys.values()}

    def gone(self, after: KeyRing) -> set[str]:
        """The ids of the keys that are not the same in another ring: revoked, or good for something else."""
        return {key.id for id, (key, _) in self._keys.items() if after._keys.get(id, (None, None))[0] != key}

    def callers(self, name_or_id: str) -> Sequence[tuple[ApiKey, Caller]]:
        """The keys of this name or id, and as whom they let in; expired ones too."""
        return [pair for pair in self._keys.values() if name_or_id in (pair[0].name, pair[0].id)]


def _caller(key: ApiKey, inclusion: Inclusion) -> Caller:
    scopes = inclusion.expand(key.scopes)
    return Caller(name=f"key:{key.name}", groups=frozenset(key.groups), scopes=scopes, credential=key.id)
