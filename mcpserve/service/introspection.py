"""Token introspection (RFC 7662): the issuer is asked about each access token, as only it knows what one means.

Answers are remembered for a short time, good ones apart from bad ones, so that made-up tokens do not push the others
out. A revoked token is good for that time at most.
"""

from __future__ import annotations

import re
from base64 import b64encode
from collections import Counter
from hashlib import sha256
from math import inf
from typing import Any
from urllib.parse import quote_plus

import attrs
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from mcpserve.errors import IssuerUnavailable, Unproven
from mcpserve.policy.callers import Caller
from mcpserve.policy.tokens import Proof, TokenRules, read_claims
from mcpserve.service.fetching import RETRY_AFTER, Fetcher

MOST_QUESTIONS = 100
"""Questions that may be open at once."""

OF_ADDRESS = 20
"""Those of one address: who makes tokens up keeps nobody else from being asked about."""

MOST_WAITING = 1000
"""Requests that may wait for the answer to one question."""

TOLD = 60.0
"""Seconds between two times that the log says that there are no answers."""

_TOKEN = re.compile(rb"[A-Za-z0-9._~+/-]+=*")
_log = Logger()


@attrs.frozen(kw_only=True)
class Endpoint:
    """Where to ask.

    Args:
        url: The introspection endpoint.
        issuer: Whose it is.
        client: The client id with which to ask.
        secret: Its secret.
        ttl: Seconds for which an answer is remembered.
    """

    url: str
    issuer: str
    client: str
    secret: str = attrs.field(repr=False)
    ttl: float = 30.0

    @property
    def authorization(self) -> str:
        """The `Authorization` header. RFC 6749, 2.3.1: both parts are form-encoded first."""
        pair = f"{quote_plus(self.client)}:{quote_plus(self.secret)}"
        return f"Basic {b64encode(pair.encode('ascii')).decode('ascii')}"


class IntrospectedTokens:
    """Access tokens that their issuer is asked about. Implements `web.identity.Tokens`.

    Args:
        endpoint: Where to ask.
        rules: What tokens have to say.
        clock: Tells the time, in seconds since the epoch.
        fetcher: Asks.
        remembered: How many good answers are remembered, and how many bad ones.
    """

    def __init__(
        self, endpoint: Endpoint, rules: TokenRules, clock: IReactorTime, fetcher: Fetcher, remembered: int = 1024
    ) -> None:
        self._endpoint = endpoint
        self._rules = rules
        self._clock = clock
        self._fetcher = fetcher
        self._remembered = remembered
        self._good: dict[bytes, tuple[Caller, float]] = {}
        self._bad: dict[bytes, tuple[Unproven, float]] = {}
        self._asked: dict[bytes, list[Deferred[Caller]]] = {}
        self._of_address: Counter[str] = Counter()
        self._told = -inf

    def verify(self, token: bytes, address: str = "") -> Caller | Deferred[Caller]:
        """See `Tokens.verify`."""
        digest, now = sha256(token).digest(), self._clock.seconds()
        good = self._good.get(digest)
        if good is not None and now < good[1]:
            return good[0]
        bad = self._bad.get(digest)
        if bad is not None and now < bad[1]:
            # each raise would add to the traceback of what is kept
            raise bad[0].with_traceback(None)
        if not _TOKEN.fullmatch(token):
            raise Unproven("The token has characters that no token has")
        return self._ask(token, digest, address)

    def _ask(self, token: bytes, digest: bytes, address: str) -> Deferred[Caller]:
        waiting: Deferred[Caller] = Deferred()
        asked = self._asked.get(digest)
        if asked is not None and len(asked) < MOST_WAITING:
            asked.append(waiting)
            return waiting
        if asked is not None or len(self._asked) >= MOST_QUESTIONS or self._of_address[address] >= OF_ADDRESS:
            raise IssuerUnavailable("The issuer is asked about too many tokens at once", 1)
        self._asked[digest] = [waiting]
        self._of_address[address] += 1
        asking = Deferred.fromCoroutine(self._answer(token.decode("ascii")))
        asking.addBoth(self._answered, address)
        asking.addCallbacks(self._remember, self._refuse, callbackArgs=(digest,), errbackArgs=(digest,))
        return waiting

    def _answered(self, outcome: object, address: str) -> object:
        self._of_address[address] -= 1
        if not self._of_address[address]:
            del self._of_address[address]
        return outcome

    async def _answer(self, token: str) -> Proof:
        endpoint = self._endpoint
        form = {"token": token, "token_type_hint": "access_token"}
        try:
            status, answer = await self._fetcher.post(endpoint.url, form, {"Authorization": endpoint.authorization})
        except IssuerUnavailable as error:
            raise self._away(str(error)) from error
        if status != 200 or not isinstance(answer, dict):
            raise self._away(f"{endpoint.url} answered {status}")
        if answer.get("active") is not True:
            raise Unproven(f"The issuer {endpoint.issuer!r} says that the token is not active")
        claims: dict[str, Any] = {"iss": endpoint.issuer, **answer}
        return read_claims(claims, endpoint.issuer, self._rules, self._clock.seconds(), ends=False)

    def _away(self, problem: str) -> IssuerUnavailable:
        """What strangers are told; what is wrong, and where, is for the log."""
        issuer, now = self._endpoint.issuer, self._clock.seconds()
        if now - self._told >= TOLD:
            self._told = now
            _log.error("The issuer {issuer} can't be asked about tokens: {problem}", issuer=issuer, problem=problem)
        return IssuerUnavailable(f"The issuer {issuer!r} can't be asked about tokens now", RETRY_AFTER)

    def _remember(self, proof: Proof, digest: bytes) -> None:
        until = min(proof.until, self._clock.seconds() + self._endpoint.ttl)
        self._put(self._good, digest, (proof.caller, until))
        for waiting in self._asked.pop(digest):
            waiting.callback(proof.caller)

    def _refuse(self, failure: Failure, digest: bytes) -> None:
        problem = failure.value
        if not isinstance(problem, Unproven):
            _log.failure("A token could not be introspected", failure)
            problem = IssuerUnavailable("The token could not be checked", RETRY_AFTER)
        if not isinstance(problem, IssuerUnavailable):
            self._put(self._bad, digest, (problem, self._clock.seconds() + self._endpoint.ttl))
        for waiting in self._asked.pop(digest):
            waiting.errback(problem.with_traceback(None))

    def _put(self, kept: dict[bytes, Any], digest: bytes, value: object) -> None:
        kept.pop(digest, None)
        while len(kept) >= self._remembered:
            del kept[next(iter(kept))]
        kept[digest] = value
