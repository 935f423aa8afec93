"""An authorization server of the tests' own: real keys, real signatures; over HTTP on loopback, or asked directly."""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qs, urlsplit

import attrs
import jwt
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from twisted.internet.defer import Deferred
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET, Request

from mcpserve.errors import IssuerUnavailable

RSA_KEY = rsa.generate_private_key(65537, 2048)
OTHER_RSA_KEY = rsa.generate_private_key(65537, 2048)
EC_KEY = ec.generate_private_key(ec.SECP256R1())
ED_KEY = ed25519.Ed25519PrivateKey.generate()

RESOURCE = "http://127.0.0.1:8000/mcp"
_OF = {"RS": jwt.algorithms.RSAAlgorithm, "PS": jwt.algorithms.RSAAlgorithm, "ES": jwt.algorithms.ECAlgorithm}


def jwk(key: Any, algorithm: str, **members: Any) -> dict[str, Any]:
    """The public half of a key, as it is published."""
    of: Any = _OF.get(algorithm[:2], jwt.algorithms.OKPAlgorithm)
    row = {"use": "sig", "alg": algorithm, **of.to_jwk(key.public_key(), as_dict=True), **members}
    return {name: value for name, value in row.items() if value is not ... and name != "key_ops"}


@attrs.define
class Authority:
    """What it publishes, and the tokens that it makes.

    Args:
        url: Its issuer identifier.

    Attributes:
        keys: What it publishes, by key id.
        now: The time of its tokens.
        down: Whether it answers.
        asked: What it was asked for, in order.
        active: The answers of its introspection endpoint, by token.
    """

    url: str = "http://127.0.0.1:9000"
    keys: dict[str, tuple[Any, str]] = attrs.field(factory=lambda: {"r1": (RSA_KEY, "RS256")})
    now: float = 0.0
    down: bool = False
    asked: list[str] = attrs.field(factory=list)
    active: dict[str, Mapping[str, Any]] = attrs.field(factory=dict)
    jwks: Any = None
    metadata: Any = None
    credentials: tuple[str, str] = ("mcp", "s3cret/+")

    def token(
        self, kid: Any = "r1", *, key: Any = None, alg: str | None = None, head: Any = None, **claims: Any
    ) -> str:
        """A token; `...` as a claim takes it out."""
        known = self.keys.get(kid, (None, "RS256"))
        full = {"iss": self.url, "aud": RESOURCE, "sub": "ada", "iat": int(self.now), "exp": int(self.now) + 600}
        body = {name: value for name, value in {**full, **claims}.items() if value is not ...}
        headers = {"kid": kid, **(head or {})}
        headers = {name: value for name, value in headers.items() if value is not ... and value is not None}
        return jwt.encode(body, key or known[0], algorithm=alg or known[1], headers=headers)

    def document(self, path: str) -> Any:
        """What is at a path; None if nothing is."""
        if path == "/.well-known/oauth-authorization-server" + urlsplit(self.url).path:
            return self.metadata or {"issuer": self.url, "jwks_uri": f"{self.url}/jwks"}
        if path == urlsplit(self.url).path + "/jwks":
            return self.jwks or {"keys": [jwk(key, alg, kid=kid) for kid, (key, alg) in self.keys.items()]}
        return None

    def introspect(self, authorization: str | None, form: Mapping[str, str]) -> tuple[int, Any]:
        """RFC 7662."""
        expected = b64encode(b"mcp:s3cret%2F%2B").decode("ascii")
        if authorization != f"Basic {expected}" or form.get("token_type_hint") != "access_token":
            return 401, None
        return 200, self.active.get(form["token"], {"active": False})


@attrs.define
class FakeFetcher:
    """Asks an authority without a network. Answers wait for `answer()` if `waits` is set."""

    authority: Authority
    waits: bool = False
    waiting: list[tuple[Deferred[None], str]] = attrs.field(factory=list)

    async def get(self, url: str) -> tuple[int, Any]:
        """See `Fetcher.get`."""
        await self._reach(url)
        assert url.startswith(("http://127.0.0.1:9000", "https://")), url
        found = self.authority.document(urlsplit(url).path)
        return (404, None) if found is None else (200, found)

    async def post(self, url: str, form: Mapping[str, str], headers: Mapping[str, str]) -> tuple[int, Any]:
        """See `Fetcher.post`."""
        await self._reach(url)
        return self.authority.introspect(headers.get("Authorization"), form)

    async def _reach(self, url: str) -> None:
        self.authority.asked.append(url)
        if self.waits:
            answer: Deferred[None] = Deferred()
            self.waiting.append((answer, url))
            await answer
        if self.authority.down:
            raise IssuerUnavailable(f"{url} gave no answer (ConnectionRefusedError)", 5)

    def answer(self) -> None:
        """Let all questions have their answers."""
        while self.waiting:
            self.waiting.pop(0)[0].callback(None)


class AuthorityResource(Resource):
    """The authority over HTTP."""

    isLeaf = True

    def __init__(self, authority: Authority) -> None:
        super().__init__()
        self.authority = authority

    def render_GET(self, request: Request) -> Any:
        """Metadata and keys."""
        path = request.path.decode("ascii")
        self.authority.asked.append(path)
        if self.authority.down:
            request.transport.abortConnection()
            return NOT_DONE_YET
        found = self.authority.document(path)
        request.setResponseCode(404 if found is None else 200)
        request.setHeader("Content-Type", "application/json")
        return json.dumps(found).encode("utf-8")

    def render_POST(self, request: Request) -> Any:
        """Introspection."""
        form = {n: v[0] for n, v in parse_qs(request.content.read().decode("ascii")).items()}
        status, answer = self.authority.introspect(request.getHeader("authorization"), form)
        request.setResponseCode(status)
        return json.dumps(answer).encode("utf-8")
