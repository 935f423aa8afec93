"""An authorization server on loopback, in a thread: what clients need to get a token, and servers to check it.

Whoever asks is let in: there is no user. What was asked of it is kept, for the tests to look at.
"""

from __future__ import annotations

import hashlib
import json
import threading
import time
from base64 import urlsafe_b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import attrs
import jwt
from cryptography.hazmat.primitives.asymmetric import ec


@attrs.define
class Authority:
    """What it knows.

    Attributes:
        url: Its issuer identifier.
        asked: The paths that it was asked for.
        tokens: The forms of its token requests.
        keys: Its private keys, by id; the last one signs.
        granted: The scope of its tokens; what was asked for, by default.
    """

    url: str = ""
    asked: list[str] = attrs.field(factory=list)
    tokens: list[dict[str, str]] = attrs.field(factory=list)
    keys: dict[str, Any] = attrs.field(factory=lambda: {"k1": ec.generate_private_key(ec.SECP256R1())})
    codes: dict[str, dict[str, str]] = attrs.field(factory=dict)
    granted: str | None = None

    def token(self, **claims: Any) -> str:
        """An access token."""
        kid, key = list(self.keys.items())[-1]
        now = int(time.time())
        body = {"iss": self.url, "sub": "ada", "iat": now, "exp": now + 600, **claims}
        return jwt.encode(body, key, algorithm="ES256", headers={"kid": kid, "typ": "at+jwt"})

    def metadata(self) -> dict[str, Any]:
        """RFC 8414."""
        return {
            "issuer": self.url,
            "authorization_endpoint": f"{self.url}/authorize",
            "token_endpoint": f"{self.url}/token",
            "registration_endpoint": f"{self.url}/register",
            "jwks_uri": f"{self.url}/jwks",
            "response_types_supported": ["code"],
            "grant_types_supported": ["authorization_code"],
            "token_endpoint_auth_methods_supported": ["none"],
            "code_challenge_methods_supported": ["S256"],
            "authorization_response_iss_parameter_supported": True,
        }

    def jwks(self) -> dict[str, Any]:
        """RFC 7517."""
        of = jwt.algorithms.ECAlgorithm
        return {
            "keys": [
                {**of.to_jwk(key.public_key(), as_dict=True), "kid": kid, "use": "sig", "alg": "ES256"}
                for kid, key in self.keys.items()
            ]
        }

    def authorize(self, query: dict[str, str]) -> str:
        """Where the browser is sent."""
        code = f"code-{len(self.codes)}"
        self.codes[code] = query
        back = {"code": code, "state": query["state"], "iss": self.url}
        return f"{query['redirect_uri']}?{urlencode(back)}"

    def grant(self, form: dict[str, str]) -> dict[str, Any]:
        """A token for a code."""
        self.tokens.append(form)
        asked = self.codes.pop(form["code"])
        digest = hashlib.sha256(form["code_verifier"].encode("ascii")).digest()
        assert urlsafe_b64encode(digest).rstrip(b"=").decode("ascii") == asked["code_challenge"]
        scope = asked.get("scope", "") if self.granted is None else self.granted
        token = self.token(aud=form["resource"], scope=scope)
        return {"access_token": token, "token_type": "Bearer", "expires_in": 600, "scope": scope}


class _Handler(BaseHTTPRequestHandler):
    server: Any

    def do_GET(self) -> None:
        authority, parts = self.server.authority, urlsplit(self.path)
        authority.asked.append(parts.path)
        if parts.path == "/.well-known/oauth-authorization-server":
            self._json(200, authority.metadata())
        elif parts.path == "/jwks":
            self._json(200, authority.jwks())
        elif parts.path == "/authorize":
            location = authority.authorize({name: values[0] for name, values in parse_qs(parts.query).items()})
            self._json(302, None, location)
        else:
            self._json(404, None)

    def do_POST(self) -> None:
        authority = self.server.authority
        authority.asked.append(self.path)
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.path == "/register":
            self._json(201, {**json.loads(body), "client_id": "the-client"})
        elif self.path == "/token":
            self._json(200, authority.grant({n: v[0] for n, v in parse_qs(body.decode("ascii")).items()}))
        else:
            self._json(404, None)

    def _json(self, status: int, document: Any, location: str | None = None) -> None:
        body = json.dumps(document).encode("utf-8")
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        if location is not None:
            self.send_header("Location", location)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *arguments: Any) -> None:
        """Say nothing."""


@contextmanager
def authority() -> Iterator[Authority]:
    """Run one on a port of its own."""
    found = Authority()
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    server.authority = found  # type: ignore[attr-defined]
    found.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield found
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
