"""Who is calling, by the credential in the headers of a request.

    Authorization: Bearer CREDENTIAL        an API key, or an access token
    X-API-Key: CREDENTIAL                   an API key

Once callers have to say who they are, every request has to: there is no session that speaks for a request without a
credential. Two credentials are refused, as a proxy in front of us may have looked at the other one. What stands in the
query of the URL is never read.

Spec: 2026-07-28, Authorization, Access Token Usage: "authorization MUST be included in every HTTP request from client
to server", "Access tokens MUST NOT be included in the URI query string".
"""

from __future__ import annotations

from collections import Counter
from typing import Protocol

import attrs
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.python.failure import Failure

from mcpserve.errors import IssuerUnavailable, Refusal, ScopeMissing, Unproven
from mcpserve.policy.callers import Caller
from mcpserve.policy.challenges import Challenges
from mcpserve.policy.keys import KeyRing, looks_like_key
from mcpserve.policy.proxies import group
from mcpserve.web.request import McpRequest

AUTHORIZATION, API_KEY = b"authorization", b"x-api-key"
_SCHEMES = frozenset(("apikey", "basic", "digest", "dpop", "negotiate", "token"))
"""Schemes that may be named in a message; another word may be a secret without any."""


class Tokens(Protocol):
    """Knows about access tokens."""

    def verify(self, token: bytes, address: str) -> Caller | Deferred[Caller]:
        """Find out whom a token names.

        Args:
            token: The token.
            address: Where it comes from, as limits count it.

        Returns:
            Who it is; later, where its issuer has to be asked first.

        Raises:
            Unproven: It proves nothing; the Deferred fails with it as well.
        """


@attrs.define
class Doorkeeper:
    """Finds out who is calling. Implements `web.admission.Identity`.

    Args:
        clock: Tells the time, in seconds since the epoch.
        challenges: What those are told who are not let in.
        keys: The API keys that are good; None if there are to be none. May be replaced at any time.
        tokens: Knows about access tokens; None if they are not taken.
        failures: How often nobody was let in, by the reason.
    """

    clock: IReactorTime
    challenges: Challenges
    keys: KeyRing | None = None
    tokens: Tokens | None = None
    failures: Counter[str] = attrs.field(factory=Counter, init=False)

    def identify(self, request: McpRequest) -> Caller | Deferred[Caller]:
        """See `Identity.identify`."""
        fields = request.fields
        authorization, key = fields.get(AUTHORIZATION), fields.get(API_KEY)
        if request.repeated or (authorization is not None and key is not None):
            self._check_single(request)
        try:
            if key is not None:
                return self._by_key(key)
            if authorization is None or authorization[:7].lower() != b"bearer ":
                raise self._missing(request, authorization)
            return self._by_bearer(authorization[7:].strip(), request)
        except Unproven as problem:
            raise self._refusal(problem, request) from None

    def _by_bearer(self, shown: bytes, request: McpRequest) -> Caller | Deferred[Caller]:
        # a key is for us alone: an issuer that is asked about tokens must never see one
        if self.tokens is None or looks_like_key(shown):
            return self._by_key(shown)
        caller = self.tokens.verify(shown, group(request.seen.address))
        if isinstance(caller, Deferred):
            # the headers are read now: the request may forget them
            caller.addErrback(self._refused_later, request)
        return caller

    def _by_key(self, shown: bytes) -> Caller:
        if self.keys is None:
            raise Unproven("API keys are not taken here, only access tokens; keys would allow them")
        return self.keys.find(shown, self.clock.seconds())

    def _refused_later(self, failure: Failure, request: McpRequest) -> Caller:
        failure.trap(Unproven)
        problem = failure.value
        assert isinstance(problem, Unproven)
        raise self._refusal(problem, request)

    def _refusal(self, problem: Unproven, request: McpRequest) -> Refusal:
        path, sentence = _path(request), str(problem)
        if isinstance(problem, IssuerUnavailable):
            self.failures["issuer"] += 1
            return Refusal(503, sentence, {"Retry-After": str(problem.retry_after)})
        if isinstance(problem, ScopeMissing):
            self.failures["scope"] += 1
            version = (request.header(b"mcp-protocol-version") or b"").decode("latin-1")
            return self.challenges.insufficient(sentence, problem.needed, problem.granted, revision=version, path=path)
        self.failures["invalid"] += 1
        return self.challenges.invalid(sentence, path)

    def _missing(self, request: McpRequest, authorization: bytes | None) -> Refusal:
        wanted = " or ".join(
            way
            for way, taken in (
                ("an API key as X-API-Key or Authorization: Bearer", self.keys is not None),
                ("an access token as Authorization: Bearer", self.tokens is not None),
            )
            if taken
        )
        seen = "This request does not say who is calling"
        if authorization is not None:
            # the scheme alone: what follows it is a secret
            word, space, _ = authorization.partition(b" ")
            scheme = word.decode("latin-1")
            named = f" {scheme!r}" if scheme.lower() in _SCHEMES else ""
            seen = f"The Authorization scheme{named} is not taken" if space else "No scheme is named"
        elif b"access_token=" in request.query:
            seen = "A credential in the URL is not read: it would stand in logs"
        self.failures["missing"] += 1
        return self.challenges.missing(f"{seen}; send {wanted}", _path(request))

    def _check_single(self, request: McpRequest) -> None:
        shown = [value for name in (AUTHORIZATION, API_KEY) for value in request.header_values(name)]
        if len(shown) > 1:
            self.failures["malformed"] += 1
            raise self.challenges.malformed(
                "More than one credential came with this request; send one Authorization or one X-API-Key",
                _path(request),
            )


def _path(request: McpRequest) -> str:
    path: bytes = request.path
    return path.decode("latin-1").rstrip("/")
