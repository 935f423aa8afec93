"""Claims of access tokens: who is named, and what is held against a token."""

from __future__ import annotations

from math import inf, nan
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mcpserve.errors import ScopeMissing, Unproven
from mcpserve.policy.callers import Caller
from mcpserve.policy.scopes import read_inclusion
from mcpserve.policy.tokens import TokenRules, canonical, is_safe_url, metadata_urls, read_claims

ISSUER, US = "https://as.example/t1", "https://mcp.example.org/mcp"
NOW = 10_000.0
GOOD: dict[str, Any] = {"iss": ISSUER, "aud": US, "sub": "ada", "exp": NOW + 60, "iat": NOW - 5}
RULES = TokenRules(audiences=frozenset({US}))


def claims(**changes: Any) -> dict[str, Any]:
    """Good claims but for what is changed in them; `...` takes one out."""
    return {name: value for name, value in {**GOOD, **changes}.items() if value is not ...}


def caller(rules: TokenRules = RULES, **changes: Any) -> Caller:
    """Who is named."""
    return read_claims(claims(**changes), ISSUER, rules, NOW).caller


def test_a_good_token() -> None:
    """It names its subject at its issuer, and holds until it expires and the leeway is over."""
    proof = read_claims(GOOD, ISSUER, RULES, NOW)
    assert proof.caller == Caller(name="https://as.example/t1|ada")
    assert proof.until == NOW + 60 + 30


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"iss": ...}, r"issuer \(iss\) is missing"),
        ({"iss": ISSUER + "/"}, r"issuer \(iss\) is 'https://as.example/t1/', not 'https://as.example/t1'"),
        ({"iss": ISSUER.upper()}, r"\(iss\)"),
        ({"iss": [ISSUER]}, r"\(iss\) is no text"),
        ({"aud": ...}, r"does not say whom it is made for \(aud\)"),
        ({"aud": []}, r"\(aud\)"),
        ({"aud": {US: 1}}, r"\(aud\)"),
        ({"aud": [US, 5]}, r"\(aud\)"),
        ({"aud": "https://mcp.example.org"}, r"'https://mcp.example.org' \(aud\), not .*public_url, audiences"),
        ({"aud": US + "/other"}, r"\(aud\)"),
        ({"aud": US.replace("https", "http")}, r"\(aud\)"),
        ({"aud": "https://mcp.example.org/MCP"}, r"\(aud\)"),
        ({"exp": ...}, r"when it expires \(exp\)"),
        ({"exp": None}, "exp"),
        ({"exp": NOW - 30}, r"has expired \(exp\)"),
        ({"exp": str(int(NOW + 60))}, "exp is no number"),
        ({"exp": True}, "exp is no number"),
        ({"exp": nan}, "exp is no number"),
        ({"exp": inf}, "exp is no number"),
        ({"exp": 10**40}, "exp is no number"),
        ({"nbf": NOW + 31}, r"not good yet \(nbf\)"),
        ({"iat": NOW + 31}, r"not good yet \(iat\)"),
        ({"nbf": "now"}, "nbf is no number"),
        ({"sub": ...}, "names nobody"),
        ({"sub": ""}, "names nobody"),
        ({"sub": 5}, "names nobody"),
        ({"sub": "x" * 256}, "names nobody"),
        ({"cnf": {"jkt": "abc"}}, r"bound to a key of its client \(cnf\)"),
        ({"cnf": None}, r"\(cnf\)"),
    ],
)
def test_what_is_held_against_a_token(changes: dict[str, Any], words: str) -> None:
    """The sentence names the claim."""
    with pytest.raises(Unproven, match=words):
        caller(**changes)


@pytest.mark.parametrize(
    "audience",
    [US, US + "/", [US], ["https://else.example", US], "HTTPS://MCP.Example.ORG/mcp", "api://mcp"],
)
def test_audiences_that_are_ours(audience: Any) -> None:
    """One of several is enough; scheme and host in any case, and a slash at the end, are the same URL."""
    rules = TokenRules(audiences=frozenset({US, "api://mcp"}))
    assert caller(rules, aud=audience).name == f"{ISSUER}|ada"


def test_clocks_may_differ() -> None:
    """By the leeway, in both directions."""
    assert caller(exp=NOW - 29.9)
    assert caller(nbf=NOW + 30, iat=NOW + 30)
    with pytest.raises(Unproven):
        caller(TokenRules(audiences=frozenset({US}), leeway=0.0), exp=NOW)


def test_an_answer_that_does_not_say_when_it_ends() -> None:
    """RFC 7662 allows that; but it is not allowed to have ended."""
    assert read_claims(claims(exp=...), ISSUER, RULES, NOW, ends=False).until == inf
    with pytest.raises(Unproven, match="expired"):
        read_claims(claims(exp=1), ISSUER, RULES, NOW, ends=False)


@pytest.mark.parametrize(
    ("changes", "scopes"),
    [
        ({}, set()),
        ({"scope": "read write"}, {"read", "write"}),
        ({"scope": ["read", "write"]}, {"read", "write"}),
        ({"scp": ["read"]}, {"read"}),
        ({"scp": "read write"}, {"read", "write"}),
        ({"scope": "read", "scp": ["write"]}, {"read"}),
        ({"scope": {"read": True}}, set()),
        ({"scope": ["read", 5]}, set()),
        ({"scope": 5}, set()),
        ({"scope": ["a b", 'c"', "d\r\nX: y", "good"]}, {"good"}),
        ({"scope": ["s"] * 1001}, set()),
    ],
)
def test_scopes(changes: dict[str, Any], scopes: set[str]) -> None:
    """In the forms that issuers have; in any other there are none."""
    assert caller(**changes).scopes == scopes


def test_scopes_that_are_needed() -> None:
    """All of them; a broader one will do; what is missing is named, with all that are needed at once."""
    rules = TokenRules(
        audiences=frozenset({US}), scopes=("mcp", "read"), inclusion=read_inclusion(["admin=read write"])
    )
    assert caller(rules, scope="mcp admin").scopes == {"mcp", "admin", "read", "write"}
    with pytest.raises(ScopeMissing, match=r"lacks the scope read \(scopes\)") as caught:
        caller(rules, scope="mcp write")
    assert caught.value.needed == ("mcp", "read")
    assert caught.value.granted == ("mcp", "write")


@pytest.mark.parametrize(
    ("name", "changes", "groups"),
    [
        ("groups", {"groups": ["ops", "dev team"]}, {"ops", "dev team"}),
        ("groups", {"groups": "dev team"}, {"dev team"}),
        ("groups", {"groups": ["ops", 5]}, set()),
        ("groups", {"groups": {"ops": True}}, set()),
        ("groups", {}, set()),
        ("realm_access.roles", {"realm_access": {"roles": ["ops"]}}, {"ops"}),
        ("realm_access.roles", {"realm_access": ["ops"]}, set()),
        ("https://example.org/groups", {"https://example.org/groups": ["ops"]}, {"ops"}),
    ],
)
def test_groups(name: str, changes: dict[str, Any], groups: set[str]) -> None:
    """From the claim that the operator names; a strange type is no group."""
    assert caller(TokenRules(audiences=frozenset({US}), groups_claim=name), **changes).groups == groups


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


@given(st.dictionaries(st.sampled_from([*GOOD, "nbf", "scope", "scp", "groups", "cnf"]), VALUES))
def test_claims_of_any_type(changes: dict[str, Any]) -> None:
    """They are good or refused, and nothing else happens; whoever is named is named by this issuer."""
    try:
        found = read_claims({**GOOD, **changes}, ISSUER, RULES, NOW).caller
    except Unproven:
        return
    assert found.name is not None
    assert found.name.startswith(f"{ISSUER}|")


@pytest.mark.parametrize(
    ("url", "safe"),
    [
        ("https://as.example", True),
        ("https://as.example:8443/t/1", True),
        ("http://127.0.0.1:9000", True),
        ("http://[::1]:9000", True),
        ("http://localhost", True),
        ("http://as.example", False),
        ("http://localhost.as.example", False),
        ("http://127.0.0.1.nip.io", False),
        ("https://", False),
        ("https:///x", False),
        ("https://user:pass@as.example", False),
        ("http://localhost@as.example", False),
        ("https://as.example/a b", False),
        ("https://as.example/a|b", False),
        ("https://as.exämple", False),
        ("https://as.example:99999", False),
        ("https://[::1", False),
        ("ftp://localhost", False),
        ("file:///etc/passwd", False),
        ("", False),
    ],
)
def test_where_keys_may_come_from(url: str, safe: bool) -> None:
    """Over TLS, or from this very machine."""
    assert is_safe_url(url) is safe


def test_where_metadata_is() -> None:
    """Spec: Authorization Server Metadata Discovery; its two lists, word by word."""
    assert metadata_urls("https://auth.example.com/tenant1") == [
        "https://auth.example.com/.well-known/oauth-authorization-server/tenant1",
        "https://auth.example.com/.well-known/openid-configuration/tenant1",
        "https://auth.example.com/tenant1/.well-known/openid-configuration",
    ]
    for issuer in ("https://auth.example.com", "https://auth.example.com/"):
        assert metadata_urls(issuer) == [
            "https://auth.example.com/.well-known/oauth-authorization-server",
            "https://auth.example.com/.well-known/openid-configuration",
        ]


def test_the_canonical_form() -> None:
    """What is no URL stays as it is."""
    assert canonical("HTTPS://Host.Example/Path/") == "https://host.example/Path"
    assert canonical("My-API/") == "My-API/"
