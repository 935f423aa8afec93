"""Access tokens: whom their claims name, and whether they were made for us.

The claims are those of a JWT whose signature was found good (RFC 9068), or the answer of an introspection endpoint (RFC
7662). Nothing in them is believed before that. Whatever is missing or has a strange type is against the token.

Spec: 2026-07-28, Authorization, Token Handling: "MCP servers MUST validate that access tokens were issued specifically
for them as the intended audience", "Invalid or expired tokens MUST receive a HTTP 401 response".
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from math import inf, isfinite
from typing import Any
from urllib.parse import urlsplit

import attrs

from mcpserve.errors import ScopeMissing, Unproven
from mcpserve.policy.callers import Caller
from mcpserve.policy.scopes import FLAT, SCOPE, Inclusion

_MOST = 1000
"""Groups or scopes of a token; one that has more has none."""
_SHOWN = 128


def _canonical_all(audiences: Iterable[str]) -> frozenset[str]:
    return frozenset(map(canonical, audiences))


@attrs.frozen(kw_only=True)
class TokenRules:
    """What a token has to say.

    Args:
        audiences: Whom it may be made for: one of these.
        scopes: What it has to allow: all of these.
        inclusion: Which scopes include which.
        groups_claim: The claim that names groups. If there is none of this name, dots lead into objects.
        leeway: Seconds by which the clock of an issuer may be wrong.
    """

    audiences: frozenset[str] = attrs.field(converter=_canonical_all)
    scopes: Sequence[str] = ()
    inclusion: Inclusion = FLAT
    groups_claim: str = "groups"
    leeway: float = 30.0


@attrs.frozen
class Proof:
    """What a good token proves, and until when; seconds since the epoch."""

    caller: Caller
    until: float


def read_claims(claims: Mapping[str, Any], issuer: str, rules: TokenRules, now: float, *, ends: bool = True) -> Proof:
    """Find out whom a token names.

    Args:
        claims: Its claims.
        issuer: Who answers for them.
        rules: What they have to say.
        now: Seconds since the epoch.
        ends: Whether they have to say when the token expires.

    Raises:
        Unproven: They do not fit; says which of them.
        ScopeMissing: All is well but that the token allows too little.
    """
    if claims.get("iss") != issuer:
        raise Unproven(f"The token's issuer (iss) is {shown(claims.get('iss'))}, not {issuer!r}")
    _check_audience(claims.get("aud"), rules)
    until = _check_times(claims, rules, now, ends)
    if "cnf" in claims:
        # presented as a bearer token by whoever got hold of it, it would be worth more than its issuer wants
        raise Unproven("The token is bound to a key of its client (cnf), which is not supported here")
    subject = claims.get("sub")
    if not isinstance(subject, str) or not 0 < len(subject) <= 255:
        raise Unproven("The token names nobody: its subject (sub) must be a text of at most 255 characters")
    granted = rules.inclusion.expand(_scopes(claims))
    caller = Caller(name=f"{issuer}|{subject}", groups=_groups(claims, rules.groups_claim), scopes=granted)
    missing = [scope for scope in rules.scopes if scope not in granted]
    if missing:
        raise ScopeMissing(f"The token lacks the scope {' '.join(missing)} (scopes)", rules.scopes, sorted(granted))
    return Proof(caller, until)


def canonical(audience: str) -> str:
    """A URL in the form in which it is compared: scheme and host in lower case, no slash at the end.

    Spec: Authorization, Canonical Server URI: "implementations SHOULD accept uppercase scheme and host components".
    """
    scheme, found, rest = audience.partition("://")
    if not found:
        return audience
    host, slash, path = rest.partition("/")
    return f"{scheme.lower()}://{host.lower()}{slash}{path}".removesuffix("/")


def is_safe_url(url: str) -> bool:
    """Whether secrets and keys may travel to and from there: over TLS, or on this very machine.

    Spec: Security Considerations: "All authorization server endpoints MUST be served over HTTPS".
    """
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return False
    if not url.isascii() or any(c <= " " or c in '"\\<>|^`{}' for c in url) or parts.username is not None or port == 0:
        return False
    return bool(parts.hostname) and (parts.scheme == "https" or (parts.scheme == "http" and is_local_url(url)))


def is_local_url(url: str) -> bool:
    """Whether a URL leads to this very machine."""
    return urlsplit(url).hostname in ("localhost", "127.0.0.1", "::1")


def metadata_urls(issuer: str) -> Sequence[str]:
    """Where an authorization server may have its metadata, in the order in which to look.

    Spec: Authorization Server Discovery, Authorization Server Metadata Discovery.
    """
    scheme, host, path, _, _ = urlsplit(issuer)
    root, path = f"{scheme}://{host}", path.rstrip("/")
    inserted = [f"{root}/.well-known/{name}{path}" for name in ("oauth-authorization-server", "openid-configuration")]
    return [*inserted, f"{root}{path}/.well-known/openid-configuration"] if path else inserted


def shown(value: object) -> str:
    """A part of a token in a message: what it says of itself, no more of it than fits."""
    return repr(value[:_SHOWN]) if isinstance(value, str) else "missing" if value is None else "no text"


def _check_audience(audience: object, rules: TokenRules) -> None:
    named = [audience] if isinstance(audience, str) else audience
    if not isinstance(named, list) or not all(isinstance(one, str) for one in named):
        raise Unproven("The token does not say whom it is made for (aud)")
    if not any(canonical(one) in rules.audiences for one in named[:_MOST]):
        seen = ", ".join(shown(one) for one in named[:3])
        wanted = ", ".join(map(repr, sorted(rules.audiences)))
        raise Unproven(f"The token is made for {seen} (aud), not for {wanted} (public_url, audiences)")


def _check_times(claims: Mapping[str, Any], rules: TokenRules, now: float, ends: bool) -> float:
    expires = _time(claims, "exp")
    if expires is None and ends:
        raise Unproven("The token does not say when it expires (exp)")
    if expires is not None and now >= expires + rules.leeway:
        raise Unproven("The token has expired (exp)")
    for name in ("nbf", "iat"):
        begins = _time(claims, name)
        if begins is not None and now < begins - rules.leeway:
            raise Unproven(f"The token is not good yet ({name}); if clocks differ, see token_leeway")
    return inf if expires is None else expires + rules.leeway


def _time(claims: Mapping[str, Any], name: str) -> float | None:
    value = claims.get(name)
    if value is None and name not in claims:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or abs(value) > 1e15 or not isfinite(value):
        raise Unproven(f"The token's time {name} is no number of seconds")
    return float(value)


def _scopes(claims: Mapping[str, Any]) -> Sequence[str]:
    """RFC 9068: `scope`, a text; some issuers have `scp` instead, a list or a text."""
    return [scope for scope in _texts(claims.get("scope", claims.get("scp"))) if SCOPE.fullmatch(scope)]


def _groups(claims: Mapping[str, Any], name: str) -> frozenset[str]:
    value: Any = claims
    for part in [name] if name in claims else name.split("."):
        value = value.get(part) if isinstance(value, Mapping) else None
    # a text is one group, whose name may have spaces in it
    return frozenset([value] if isinstance(value, str) and value else _texts(value))


def _texts(value: object) -> Sequence[str]:
    if isinstance(value, str):
        value = value.split()
    if not isinstance(value, list) or len(value) > _MOST or not all(isinstance(one, str) for one in value):
        return ()
    return value
