"""Issuers of access tokens: where their public keys are, which of them are good now, and what a JWT proves by them.

    age of the keys             what happens
    up to `refresh`             they are used
    up to twice that            they are used, and fetched anew meanwhile
    up to `outage`              the token waits for new ones; if there are none, the old ones are used
    above, or never fetched     the token waits for new ones; if there are none, 503

A token that names a key that is not among them makes us fetch, at most once in `FLOOR` seconds: issuers change their
keys, and strangers make tokens up. After a fetch that failed the next one waits for `RETRY_AFTER` seconds.

A token whose signature was found good is remembered by its hash, until it expires or the keys of its issuer change.
"""

from __future__ import annotations

from base64 import urlsafe_b64decode
from collections.abc import Mapping, Sequence
from hashlib import sha256
from math import inf
from typing import Any

import attrs
import jwt
import orjson
from jwt.api_jws import PyJWS
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from mcpserve.errors import IssuerUnavailable, Unproven
from mcpserve.policy.callers import Caller
from mcpserve.policy.tokens import Proof, TokenRules, is_local_url, is_safe_url, metadata_urls, read_claims, shown
from mcpserve.service.fetching import RETRY_AFTER, Fetcher

FLOOR = 30.0
"""Seconds between two fetches that an unknown key is the reason for."""

_MOST_KEYS = 100
_RSA = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512")
_CURVES: Mapping[str, Sequence[str]] = {
    "P-256": ("ES256",),
    "P-384": ("ES384",),
    "P-521": ("ES512",),
    "Ed25519": ("EdDSA",),
}
ALGORITHMS = frozenset([*_RSA, *(name for names in _CURVES.values() for name in names)])
"""Signatures by public keys only: with a shared secret each who can check a token could make one."""

_TYPES = frozenset(("jwt", "at+jwt", "application/at+jwt"))
_log = Logger()


@attrs.frozen
class PublicKey:
    """A key of an issuer: its id, what it may be used with, and the key."""

    id: str | None
    algorithms: Sequence[str]
    key: Any


@attrs.frozen(eq=False)
class KeySet:
    """What an issuer published at one time."""

    keys: Sequence[PublicKey]
    source: bytes

    def find(self, id: str | None, algorithm: str) -> PublicKey | None:
        """The key of this id; without an id the only one that fits, if there is only one."""
        fitting = [key for key in self.keys if algorithm in key.algorithms and id in (None, key.id)]
        return fitting[0] if fitting and (id is not None or len(fitting) == 1) else None


class Issuer:
    """One authorization server, and its keys.

    Args:
        url: Its issuer identifier, exactly as it stands in its tokens.
        clock: Tells the time.
        fetcher: Asks it.
        refresh: Seconds after which its keys are fetched again.
        outage: Seconds for which they hold while they can't be fetched.

    Attributes:
        metadata_url: Where its metadata is, as far as is known.
    """

    def __init__(self, url: str, *, clock: IReactorTime, fetcher: Fetcher, refresh: float, outage: float) -> None:
        self.url = url
        self.metadata_url = metadata_urls(url)[0]
        self._clock = clock
        self._fetcher = fetcher
        self._refresh = refresh
        self._outage = outage
        self._keys: KeySet | None = None
        self._fetched = -inf
        self._failed = -inf
        self._looked_for_unknown = -inf
        self._problem: IssuerUnavailable | None = None
        self._fetching: Deferred[KeySet] | None = None
        self._waiting: list[Deferred[KeySet]] = []
        self._closed = False

    def current(self) -> KeySet | None:
        """The keys, if they may be used without a second thought."""
        return self._keys if self._clock.seconds() - self._fetched <= self._refresh else None

    def keys(self, id: str | None, algorithm: str) -> KeySet | Deferred[KeySet]:
        """The keys to look for one in.

        Args:
            id: The key that is wanted, if it has a name.
            algorithm: What it is wanted for.

        Returns:
            The keys; later, if they have to be fetched first.

        Raises:
            IssuerUnavailable: There are none that could be used; the Deferred fails with it as well.
        """
        now = self._clock.seconds()
        age = now - self._fetched
        if self._keys is None or age > 2 * self._refresh:
            return self._fetch() if self._may_fetch(now) else self._held(now)
        if self._keys.find(id, algorithm) is None and now - self._looked_for_unknown >= FLOOR and self._may_fetch(now):
            self._looked_for_unknown = now
            return self._fetch()
        if age > self._refresh and self._may_fetch(now):
            self.refresh()
        return self._keys

    @property
    def problem(self) -> str | None:
        """Why no token of this issuer can be looked at now; None if they can."""
        try:
            self._held(self._clock.seconds())
        except IssuerUnavailable as error:
            return str(error)
        return None

    def refresh(self) -> None:
        """Fetch the keys without anybody waiting for them; failures are logged."""
        self._fetch().addErrback(lambda failure: failure.trap(IssuerUnavailable) and None)

    def close(self) -> None:
        """Stop to fetch; who waits is refused."""
        self._closed = True
        if self._fetching is not None:
            self._fetching.cancel()

    def _may_fetch(self, now: float) -> bool:
        """One that is under way may be waited for; one that failed is not begun again at once."""
        return self._fetching is not None or now - self._failed >= RETRY_AFTER

    def _held(self, now: float) -> KeySet:
        """The last keys that we had, for as long as they hold."""
        if self._keys is not None and now - self._fetched <= self._outage:
            return self._keys
        problem = str(self._problem or "it was never asked")
        raise IssuerUnavailable(f"The keys of the issuer {self.url!r} can't be had now: {problem}", RETRY_AFTER)

    def _fetch(self) -> Deferred[KeySet]:
        waiting: Deferred[KeySet] = Deferred(self._waiting_cancelled)
        self._waiting.append(waiting)
        if self._fetching is None:
            fetching = Deferred.fromCoroutine(self._get())
            self._fetching = fetching
            fetching.addCallbacks(self._got, self._got_nothing).addBoth(self._tell)
        return waiting

    def _waiting_cancelled(self, waiting: Deferred[KeySet]) -> None:
        self._waiting.remove(waiting)

    async def _get(self) -> KeySet:
        metadata = await self._metadata()
        url = metadata.get("jwks_uri")
        if not isinstance(url, str) or not is_safe_url(url) or (is_local_url(url) and not is_local_url(self.url)):
            raise self._bad(f"its jwks_uri is {shown(url)}, no https URL")
        status, document = await self._fetcher.get(url)
        keys = document.get("keys") if isinstance(document, dict) else None
        if status != 200 or not isinstance(keys, list):
            raise self._bad(f"{url} answered {status}, without a list of keys")
        good = [key for key in map(read_key, keys[:_MOST_KEYS]) if key is not None]
        if not good:
            raise self._bad(f"none of its {len(keys)} keys can check signatures of tokens here")
        return KeySet(good, orjson.dumps(document, option=orjson.OPT_SORT_KEYS))

    async def _metadata(self) -> Mapping[str, Any]:
        seen = []
        for url in metadata_urls(self.url):
            status, document = await self._fetcher.get(url)
            named = document.get("issuer") if isinstance(document, dict) else None
            if named == self.url:
                self.metadata_url = url
                return dict(document)
            # "the issuer value in the document MUST be identical to the issuer identifier used to construct the
            # well-known URL. If they differ, the client MUST NOT use the metadata."
            seen.append(f"{url} answered {status}" + (f" for the issuer {shown(named)}" if status == 200 else ""))
        raise self._bad(f"it has no metadata: {'; '.join(seen)}")

    def _bad(self, what: str) -> IssuerUnavailable:
        return IssuerUnavailable(f"The issuer {self.url!r}: {what}", RETRY_AFTER)

    def _got(self, keys: KeySet) -> None:
        self._fetched = self._clock.seconds()
        self._problem = None
        if self._keys is None or self._keys.source != keys.source:
            _log.info("The issuer {issuer} has {count} keys", issuer=self.url, count=len(keys.keys))
            self._keys = keys

    def _got_nothing(self, failure: Failure) -> None:
        self._failed = self._clock.seconds()
        problem = failure.value
        if self._closed:
            self._problem = IssuerUnavailable("this server stops", RETRY_AFTER)
            return
        if not isinstance(problem, IssuerUnavailable):
            _log.failure("The keys of the issuer {issuer} could not be read", failure, issuer=self.url)
            problem = IssuerUnavailable("what it publishes could not be read", RETRY_AFTER)
        self._problem = problem
        _log.warn("The keys of the issuer {issuer} were not fetched: {problem}", issuer=self.url, problem=str(problem))

    def _tell(self, _: None) -> None:
        self._fetching = None
        waiting, self._waiting = self._waiting, []
        for one in waiting:
            try:
                keys = self._held(self._clock.seconds())
            except IssuerUnavailable as problem:
                one.errback(problem)
            else:
                one.callback(keys)


def read_key(row: Any) -> PublicKey | None:
    """Read a key as an issuer publishes it (RFC 7517); None if it is for something else, or too weak."""
    if not isinstance(row, dict) or row.get("use", "sig") != "sig":
        return None
    uses = row.get("key_ops", ["verify"])
    if not isinstance(uses, list) or "verify" not in uses:
        return None
    kind, id = row.get("kty"), row.get("kid")
    algorithms: Sequence[str] = (
        _RSA if kind == "RSA" else _CURVES.get(str(row.get("crv")), ()) if kind in ("EC", "OKP") else ()
    )
    if row.get("alg") is not None:
        algorithms = tuple(name for name in algorithms if name == row["alg"])
    if not algorithms or (id is not None and not isinstance(id, str)):
        return None
    # the private members of a key that should never have been published are none of our business
    public = {name: value for name, value in row.items() if name in ("kty", "crv", "x", "y", "n", "e")}
    try:
        key = jwt.PyJWK(public, algorithms[0]).key
    except (jwt.PyJWTError, ValueError, TypeError):
        return None
    return PublicKey(id, algorithms, key) if kind != "RSA" or key.key_size >= 2048 else None


@attrs.frozen
class _Claimed:
    """What a token says of itself, before anything of it is believed."""

    issuer: object
    key_id: str | None
    algorithm: str


class JwtTokens:
    """Access tokens that are JWTs. Implements `web.identity.Tokens`.

    Args:
        issuers: Whose tokens are taken.
        rules: What tokens have to say.
        clock: Tells the time, in seconds since the epoch.
        remembered: How many good tokens are remembered.
    """

    def __init__(
        self, issuers: Sequence[Issuer], rules: TokenRules, clock: IReactorTime, remembered: int = 4096
    ) -> None:
        self._issuers = {issuer.url: issuer for issuer in issuers}
        self._rules = rules
        self._clock = clock
        self._remembered = remembered
        self._jws = PyJWS(algorithms=sorted(ALGORITHMS), options={"enforce_minimum_key_length": True})
        self._proven: dict[bytes, tuple[Proof, Issuer, KeySet]] = {}

    def verify(self, token: bytes, address: str = "") -> Caller | Deferred[Caller]:
        """See `Tokens.verify`."""
        digest = sha256(token).digest()
        known = self._proven.get(digest)
        if known is not None:
            proof, issuer, keys = known
            if self._clock.seconds() < proof.until and issuer.current() is keys:
                return proof.caller
            del self._proven[digest]
        claimed = read_unproven(token)
        found = self._issuers.get(claimed.issuer) if isinstance(claimed.issuer, str) else None
        if found is None:
            wanted = ", ".join(map(repr, self._issuers))
            raise Unproven(f"The token's issuer (iss) is {shown(claimed.issuer)}; trusted is {wanted} (issuers)")
        keys_of_issuer = found.keys(claimed.key_id, claimed.algorithm)
        if isinstance(keys_of_issuer, Deferred):
            return keys_of_issuer.addCallback(lambda keys: self._prove(token, digest, claimed, found, keys))
        return self._prove(token, digest, claimed, found, keys_of_issuer)

    def _prove(self, token: bytes, digest: bytes, claimed: _Claimed, issuer: Issuer, keys: KeySet) -> Caller:
        key = keys.find(claimed.key_id, claimed.algorithm)
        if key is None:
            named = "no key, and more than one fits" if claimed.key_id is None else f"the key {shown(claimed.key_id)}"
            raise Unproven(
                f"The token names {named} (kid, {claimed.algorithm}); the issuer {issuer.url!r} does not publish it"
            )
        try:
            payload = self._jws.decode(token, key.key, algorithms=[claimed.algorithm])
            claims = orjson.loads(payload)
        except (jwt.PyJWTError, ValueError, RecursionError) as error:
            # PyJWT reads the header once more, and its JSON may be nested more deeply than older ones can read
            raise Unproven(f"The token's signature is not one of the issuer {issuer.url!r}") from error
        proof = read_claims(claims, issuer.url, self._rules, self._clock.seconds())
        while len(self._proven) >= self._remembered:
            del self._proven[next(iter(self._proven))]
        self._proven[digest] = (proof, issuer, keys)
        return proof.caller


def read_unproven(token: bytes) -> _Claimed:
    """Read who is said to have signed a token, and how.

    Raises:
        Unproven: It is no JWT, or signed in a way that is not taken.
    """
    try:
        header, payload, _ = token.split(b".")
        head, claims = orjson.loads(_decoded(header)), orjson.loads(_decoded(payload))
    except ValueError:
        head = claims = None
    if not isinstance(head, dict) or not isinstance(claims, dict):
        raise Unproven("The token is no JWT; where it need not be one, introspection says what it means")
    algorithm, key_id, kind = head.get("alg"), head.get("kid"), head.get("typ")
    if not isinstance(algorithm, str) or algorithm not in ALGORITHMS:
        raise Unproven(f"The token's algorithm (alg) is {shown(algorithm)}; one with a public key is wanted")
    if "crit" in head or (kind is not None and (not isinstance(kind, str) or kind.lower() not in _TYPES)):
        raise Unproven(f"The token is not of a kind that is taken here (typ {shown(kind)}, crit)")
    if key_id is not None and not isinstance(key_id, str):
        raise Unproven("The token's key id (kid) is no text")
    return _Claimed(claims.get("iss"), key_id, algorithm)


def _decoded(segment: bytes) -> bytes:
    return urlsafe_b64decode(segment + b"=" * (-len(segment) % 4))
