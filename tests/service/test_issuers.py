"""JWTs and the keys of their issuers: what a signature proves, and what happens when keys change or can't be had."""

from __future__ import annotations

import hashlib
import hmac
import json
from base64 import urlsafe_b64encode
from collections.abc import Callable
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from mcpserve.errors import IssuerUnavailable, Unproven
from mcpserve.policy.callers import Caller
from mcpserve.policy.tokens import TokenRules
from mcpserve.service.issuers import FLOOR, Issuer, JwtTokens, read_key, read_unproven
from tests.service.authority import (
    EC_KEY,
    ED_KEY,
    OTHER_RSA_KEY,
    RESOURCE,
    RSA_KEY,
    Authority,
    FakeFetcher,
    jwk,
)

REFRESH, OUTAGE = 300.0, 3600.0


class World:
    """An authority, and tokens that are checked by its keys.

    Args:
        authority: The authority.
        remembered: How many tokens are remembered.
    """

    def __init__(self, authority: Authority | None = None, remembered: int = 100) -> None:
        self.authority = authority or Authority()
        self.clock = Clock()
        self.clock.advance(1_000_000.0)
        self.authority.now = self.clock.seconds()
        self.fetcher = FakeFetcher(self.authority)
        self.issuer = Issuer(self.authority.url, clock=self.clock, fetcher=self.fetcher, refresh=REFRESH, outage=OUTAGE)
        rules = TokenRules(audiences=frozenset({RESOURCE}))
        self.tokens = JwtTokens([self.issuer], rules, self.clock, remembered=remembered)

    def verify(self, token: str | bytes) -> Any:
        """The caller; an exception if it is refused; None if it waits."""
        given = token.encode("ascii") if isinstance(token, str) else token
        found = self.tokens.verify(given)
        if not isinstance(found, Deferred):
            return found
        outcome: list[Any] = []
        found.addBoth(outcome.append)
        if outcome and not isinstance(outcome[0], Caller):
            outcome[0].raiseException()
        return outcome[0] if outcome else None

    def advance(self, seconds: float) -> None:
        """Let time pass, for both sides."""
        self.clock.advance(seconds)
        self.authority.now = self.clock.seconds()

    @property
    def fetches(self) -> int:
        """How often the keys were fetched."""
        return sum(url.endswith("/jwks") for url in self.authority.asked)


@pytest.fixture
def world() -> World:
    """It has been asked for nothing yet."""
    return World()


ADA = Caller(name="http://127.0.0.1:9000|ada")


# --- signatures


@pytest.mark.parametrize(
    ("key", "algorithm"), [(RSA_KEY, "RS256"), (RSA_KEY, "PS512"), (EC_KEY, "ES256"), (ED_KEY, "EdDSA")]
)
def test_a_good_signature(world: World, key: Any, algorithm: str) -> None:
    """By each kind of key; the keys are fetched once for all tokens."""
    world.authority.keys = {"k": (key, algorithm)}
    assert world.verify(world.authority.token("k")) == ADA
    assert world.verify(world.authority.token("k", sub="bob")).name.endswith("|bob")
    assert world.fetches == 1


def test_a_signature_by_somebody_else(world: World) -> None:
    """The key id is the right one, the key is not."""
    with pytest.raises(Unproven, match="signature is not one of the issuer"):
        world.verify(world.authority.token("r1", key=OTHER_RSA_KEY))


def segment(value: Any) -> bytes:
    """A part of a token."""
    raw = value if isinstance(value, bytes) else json.dumps(value).encode("utf-8")
    return urlsafe_b64encode(raw).rstrip(b"=")


def test_a_public_key_is_no_shared_secret(world: World) -> None:
    """An HMAC with the published key as its secret; the classic confusion."""
    pem = RSA_KEY.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    _, payload, _ = world.authority.token().encode("ascii").split(b".")
    for algorithm in ("HS256", "hs256"):
        signed = segment({"alg": algorithm, "kid": "r1"}) + b"." + payload
        forged = signed + b"." + segment(hmac.new(pem, signed, hashlib.sha256).digest())
        with pytest.raises(Unproven, match="algorithm"):
            world.verify(forged)


@pytest.mark.parametrize("algorithm", ["none", "None", "", None, 5, ["RS256"], {}])
def test_no_signature(world: World, algorithm: Any) -> None:
    """An algorithm that is none."""
    _, payload, signature = world.authority.token().encode("ascii").split(b".")
    for end in (b"", signature):
        with pytest.raises(Unproven):
            world.verify(segment({"alg": algorithm, "kid": "r1"}) + b"." + payload + b"." + end)


def test_claims_that_were_changed(world: World) -> None:
    """The signature is that of others."""
    head, _, signature = world.authority.token().encode("ascii").split(b".")
    other = world.authority.token(sub="root").encode("ascii").split(b".")[1]
    with pytest.raises(Unproven, match="signature"):
        world.verify(b".".join([head, other, signature]))


def test_an_algorithm_of_another_family(world: World) -> None:
    """The key is bound to the algorithm under which it is published."""
    with pytest.raises(Unproven, match=r"the key 'r1' \(kid, PS256\)"):
        world.verify(world.authority.token("r1", alg="PS256"))


@pytest.mark.parametrize(
    "head",
    [
        {"crit": ["exp"]},
        {"typ": "dpop+jwt"},
        {"typ": 5},
        {"b64": False, "crit": ["b64"]},
        {"kid": 5},
    ],
)
def test_headers_that_change_what_a_token_is(world: World, head: dict[str, Any]) -> None:
    """Refused before any key is looked for."""
    _, payload, signature = world.authority.token().encode("ascii").split(b".")
    with pytest.raises(Unproven):
        world.verify(segment({"alg": "RS256", "kid": "r1", **head}) + b"." + payload + b"." + signature)
    assert world.fetches == 0


def test_keys_that_a_token_brings_itself(world: World) -> None:
    """They are not looked at, and nothing is fetched from where it says."""
    evil = {"jwk": jwk(OTHER_RSA_KEY, "RS256"), "jku": "https://evil.example/jwks", "x5u": "https://evil.example/x"}
    with pytest.raises(Unproven):
        world.verify(world.authority.token("r1", key=OTHER_RSA_KEY, head=evil))
    assert not any("evil" in url for url in world.authority.asked)


def test_the_issuer_is_chosen_by_its_exact_name(world: World) -> None:
    """A stranger's token makes us ask nobody; the message names what is trusted."""
    for issuer in ("https://evil.example", world.authority.url + "/", None, 5, ["x"]):
        with pytest.raises(Unproven, match=r"issuer \(iss\) is .*; trusted is 'http://127.0.0.1:9000' \(issuers\)"):
            world.verify(b".".join([segment({"alg": "RS256"}), segment({"iss": issuer}), segment(b"signature")]))
    assert world.authority.asked == []


def test_one_issuer_does_not_sign_for_another() -> None:
    """Each has keys of its own."""
    world = World()
    other = Authority(url="http://127.0.0.1:9000/other", keys={"r1": (OTHER_RSA_KEY, "RS256")}, now=1_000_000.0)
    issuers = [
        Issuer(a.url, clock=world.clock, fetcher=FakeFetcher(a), refresh=REFRESH, outage=OUTAGE)
        for a in (world.authority, other)
    ]
    world.tokens = JwtTokens(issuers, TokenRules(audiences=frozenset({RESOURCE})), world.clock)
    assert world.verify(other.token()).name == "http://127.0.0.1:9000/other|ada"
    with pytest.raises(Unproven, match="signature"):
        world.verify(other.token(iss=world.authority.url))


@given(st.binary(max_size=200) | st.lists(st.binary(max_size=30), min_size=3, max_size=3).map(b".".join))
def test_garbage(token: bytes) -> None:
    """Whatever is shown, it is refused in a sentence, and nobody is asked."""
    with pytest.raises(Unproven):
        read_unproven(token)


def test_a_deep_token(world: World) -> None:
    """Nesting costs no stack."""
    deep = segment(b'{"iss":' + b"[" * 5000 + b"]" * 5000 + b"}")
    with pytest.raises(Unproven):
        world.verify(segment({"alg": "RS256"}) + b"." + deep + b".AAAA")


def test_a_deep_header(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Older versions of PyJWT run out of stack where orjson does not."""
    token = world.authority.token()
    monkeypatch.setattr("jwt.api_jws.PyJWS.decode", lambda *_, **__: (lambda f: f(f))(lambda f: f(f)))
    with pytest.raises(Unproven, match="signature"):
        world.verify(token)


# --- keys


@pytest.mark.parametrize(
    "row",
    [
        None,
        {},
        {"kty": "oct", "k": "AAAA", "alg": "HS256"},
        jwk(RSA_KEY, "RS256", use="enc"),
        {**jwk(RSA_KEY, "RS256"), "key_ops": ["encrypt"]},
        {**jwk(RSA_KEY, "RS256"), "key_ops": None},
        {**jwk(RSA_KEY, "RS256"), "key_ops": 5},
        jwk(RSA_KEY, "RS256", alg="RSA-OAEP"),
        jwk(RSA_KEY, "RS256", alg="HS256"),
        jwk(RSA_KEY, "RS256", alg=["RS256"]),
        jwk(RSA_KEY, "RS256", kid=5),
        jwk(RSA_KEY, "RS256", n="AQAB"),
        jwk(RSA_KEY, "RS256", n=...),
        jwk(RSA_KEY, "RS256", n=5),
        jwk(EC_KEY, "ES256", crv="P-999"),
        jwk(EC_KEY, "ES256", alg="ES384"),
        jwk(EC_KEY, "ES256", x=jwk(EC_KEY, "ES256")["y"]),
        jwk(ec.generate_private_key(ec.SECP256K1()), "ES256K"),
        jwk(rsa.generate_private_key(65537, 1024), "RS256"),
    ],
)
def test_keys_that_are_for_something_else(row: Any) -> None:
    """Or are too weak, or broken."""
    assert read_key(row) is None


def test_one_bad_key_spoils_nothing(world: World) -> None:
    """The others are used."""
    world.authority.jwks = {"keys": [{"kty": "??"}, None, jwk(RSA_KEY, "RS256", kid="r1")]}
    assert world.verify(world.authority.token()) == ADA


def test_a_key_without_an_algorithm(world: World) -> None:
    """It is good for all of its kind."""
    world.authority.jwks = {"keys": [jwk(RSA_KEY, "RS256", kid="r1", alg=..., use=...)]}
    assert world.verify(world.authority.token("r1", key=RSA_KEY, alg="PS384")) == ADA
    with pytest.raises(Unproven, match="kid, ES256"):
        world.verify(world.authority.token("r1", key=EC_KEY, alg="ES256"))


def test_a_token_that_names_no_key(world: World) -> None:
    """The only one that fits is meant; if there are two, nobody guesses."""
    token = world.authority.token(None, key=RSA_KEY, alg="RS256")
    world.authority.keys = {"r1": (RSA_KEY, "RS256"), "e1": (EC_KEY, "ES256")}
    assert world.verify(token) == ADA
    other = World()
    other.authority.keys = {"r1": (RSA_KEY, "RS256"), "r2": (OTHER_RSA_KEY, "RS256")}
    with pytest.raises(Unproven, match="names no key, and more than one fits"):
        other.verify(token)


# --- fetching


def test_tokens_wait_for_the_first_keys(world: World) -> None:
    """All for the same fetch."""
    world.fetcher.waits = True
    found = [world.tokens.verify(world.authority.token(sub=name).encode()) for name in ("ada", "bob")]
    names: list[Any] = []
    for one in found:
        assert isinstance(one, Deferred)
        one.addCallback(lambda caller: names.append(caller.name.partition("|")[2]))
    assert names == []
    world.fetcher.answer()
    assert names == ["ada", "bob"]
    assert world.fetches == 1


def test_keys_are_fetched_again_meanwhile(world: World) -> None:
    """After `refresh` a token makes us fetch, and does not wait for it."""
    world.verify(world.authority.token())
    world.advance(REFRESH + 1)
    world.fetcher.waits = True
    assert world.verify(world.authority.token(sub="bob")).name.endswith("|bob")
    assert len(world.fetcher.waiting) == 1
    assert world.verify(world.authority.token(sub="eve")).name.endswith("|eve")
    assert len(world.fetcher.waiting) == 1
    world.fetcher.answer()
    assert world.fetches == 2


def test_old_keys_are_not_trusted_unseen(world: World) -> None:
    """After twice `refresh` a token waits: its key may have been withdrawn long ago."""
    token = world.authority.token(exp=2_000_000)
    world.verify(token)
    world.authority.keys = {"r2": (OTHER_RSA_KEY, "RS256")}
    world.advance(2 * REFRESH + 1)
    with pytest.raises(Unproven, match="does not publish it"):
        world.verify(token)


def test_a_key_that_was_withdrawn(world: World) -> None:
    """Tokens that were good are not, from the next fetch on: what is remembered holds for these keys only."""
    token = world.authority.token(exp=2_000_000)
    assert world.verify(token) == ADA
    world.authority.keys = {"r2": (OTHER_RSA_KEY, "RS256")}
    assert world.verify(token) == ADA
    world.advance(REFRESH + 1)
    with pytest.raises(Unproven, match="does not publish it"):
        world.verify(token)


def test_a_rotation(world: World) -> None:
    """A key id that is new makes us look at once, and the token is good."""
    world.verify(world.authority.token())
    world.authority.keys["r2"] = (OTHER_RSA_KEY, "RS256")
    assert world.verify(world.authority.token("r2")) == ADA
    assert world.fetches == 2


def test_made_up_key_ids(world: World) -> None:
    """They make us look once in a while, and not for each of them."""
    world.verify(world.authority.token())
    for number in range(50):
        with pytest.raises(Unproven, match="does not publish it"):
            world.verify(world.authority.token(f"made-up-{number}", key=OTHER_RSA_KEY))
    assert world.fetches == 2
    world.advance(FLOOR)
    with pytest.raises(Unproven):
        world.verify(world.authority.token("made-up", key=OTHER_RSA_KEY))
    assert world.fetches == 3


def test_an_issuer_that_is_away(world: World) -> None:
    """Its tokens are good for `outage`; then nobody can say, which is no 401."""
    world.verify(world.authority.token())
    world.authority.down = True
    world.advance(OUTAGE - 1)
    assert world.verify(world.authority.token(sub="bob")).name.endswith("|bob")
    world.advance(10)
    with pytest.raises(IssuerUnavailable, match="gave no answer") as caught:
        world.verify(world.authority.token(sub="eve"))
    assert caught.value.retry_after == 5
    world.authority.down = False
    world.advance(5)
    assert world.verify(world.authority.token(sub="eve")).name.endswith("|eve")


def test_an_issuer_that_was_never_there(world: World) -> None:
    """One try in five seconds, however many ask."""
    world.authority.down = True
    for _ in range(20):
        with pytest.raises(IssuerUnavailable):
            world.verify(world.authority.token())
    assert len(world.authority.asked) == 1
    world.advance(5)
    world.authority.down = False
    assert world.verify(world.authority.token()) == ADA


def test_a_known_token_in_an_outage(world: World) -> None:
    """What is remembered does not outlive the keys that proved it."""
    token = world.authority.token(exp=2_000_000)
    world.verify(token)
    world.authority.down = True
    world.advance(OUTAGE + 1)
    with pytest.raises(IssuerUnavailable):
        world.verify(token)


def test_closing_while_somebody_waits(world: World) -> None:
    """Who waits is refused; nothing stays behind."""
    world.fetcher.waits = True
    found = world.tokens.verify(world.authority.token().encode())
    assert isinstance(found, Deferred)
    refused: list[Any] = []
    found.addErrback(lambda failure: refused.append(failure.type))
    world.issuer.close()
    assert refused == [IssuerUnavailable]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda a: setattr(a, "metadata", {"issuer": "https://evil.example", "jwks_uri": a.url}), "for the issuer"),
        (lambda a: setattr(a, "metadata", {"issuer": a.url + "/", "jwks_uri": a.url}), "for the issuer"),
        (lambda a: setattr(a, "metadata", ["x"]), "answered 200 for the issuer missing"),
        (lambda a: setattr(a, "metadata", {"issuer": a.url}), "jwks_uri is missing"),
        (lambda a: setattr(a, "metadata", {"issuer": a.url, "jwks_uri": "http://evil.example/j"}), "no https URL"),
        (lambda a: setattr(a, "metadata", {"issuer": a.url, "jwks_uri": "file:///etc/passwd"}), "no https URL"),
        (lambda a: setattr(a, "metadata", {"issuer": a.url, "jwks_uri": a.url + "/no"}), "answered 404"),
        (lambda a: setattr(a, "jwks", {"keys": "none"}), "without a list of keys"),
        (lambda a: setattr(a, "jwks", {"keys": [{"kty": "oct"}]}), "none of its 1 keys"),
        (lambda a: a.keys.clear(), "none of its 0 keys"),
    ],
)
def test_what_an_issuer_publishes_is_not_believed(world: World, change: Callable[[Authority], Any], words: str) -> None:
    """Metadata of another issuer is not used; keys come over TLS; what has another form is none."""
    token = world.authority.token()
    change(world.authority)
    with pytest.raises(IssuerUnavailable, match=words):
        world.verify(token)


def test_a_public_issuer_does_not_lead_to_this_machine() -> None:
    """Its `jwks_uri` on loopback is not fetched: nobody outside says what we ask of our own machine."""
    authority = Authority(url="https://as.example", now=1_000_000.0)
    authority.metadata = {"issuer": authority.url, "jwks_uri": "http://127.0.0.1:9000/jwks"}
    world = World(authority)
    with pytest.raises(IssuerUnavailable, match="no https URL"):
        world.verify(authority.token())
    assert not any("jwks" in url for url in authority.asked)


def test_openid_configuration(world: World) -> None:
    """Metadata is found there, too, in the order of the specification."""
    world.authority.url = "http://127.0.0.1:9000/tenant"
    other = World(Authority(url="http://127.0.0.1:9000/tenant", now=1_000_000.0))
    document = other.authority.document
    found = other.authority.metadata = {"issuer": other.authority.url, "jwks_uri": other.authority.url + "/jwks"}

    class OnlyOpenId(FakeFetcher):
        async def get(self, url: str) -> tuple[int, Any]:
            self.authority.asked.append(url)
            if url.endswith("/tenant/.well-known/openid-configuration"):
                return 200, found
            return (200, document("/tenant/jwks")) if url.endswith("/jwks") else (404, None)

    issuer = Issuer(
        other.authority.url, clock=other.clock, fetcher=OnlyOpenId(other.authority), refresh=REFRESH, outage=OUTAGE
    )
    other.tokens = JwtTokens([issuer], TokenRules(audiences=frozenset({RESOURCE})), other.clock)
    assert other.verify(other.authority.token()).name.endswith("tenant|ada")
    assert [url.removeprefix("http://127.0.0.1:9000") for url in other.authority.asked] == [
        "/.well-known/oauth-authorization-server/tenant",
        "/.well-known/openid-configuration/tenant",
        "/tenant/.well-known/openid-configuration",
        "/tenant/jwks",
    ]
    assert issuer.metadata_url.endswith("/tenant/.well-known/openid-configuration")


# --- remembering


def test_a_known_token_is_not_checked_again(world: World) -> None:
    """It gives the very same caller, until it expires."""
    token = world.authority.token(exp=1_000_100)
    world.verify(token)
    assert world.verify(token) is world.verify(token)
    world.advance(131)
    with pytest.raises(Unproven, match="expired"):
        world.verify(token)


def test_how_much_is_remembered() -> None:
    """A bounded number of tokens, the newest, and none of them in clear."""
    world = World(remembered=3)
    given = [world.authority.token(sub=f"s{number}") for number in range(6)]
    for token in given:
        world.verify(token)
    kept = world.tokens._proven
    assert list(kept) == [hashlib.sha256(token.encode()).digest() for token in given[-3:]]


def test_one_that_is_refused_is_not_remembered(world: World) -> None:
    """Nor does it push good ones out."""
    world.verify(world.authority.token())
    for number in range(5):
        with pytest.raises(Unproven):
            world.verify(world.authority.token(aud="https://else.example", sub=str(number)))
    assert len(world.tokens._proven) == 1


def test_the_library_knows_no_other_algorithms(world: World) -> None:
    """Even where we would let one through."""
    with pytest.raises(jwt.InvalidAlgorithmError):
        world.tokens._jws.decode(jwt.encode({}, "x" * 64, algorithm="HS256"), "x" * 64, algorithms=["HS256"])
