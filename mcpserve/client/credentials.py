"""What the client shows to a server that wants to know who calls; never to another server, never to a log."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Protocol

import attrs

from mcpserve.errors import ConfigurationError

_TOKEN = r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+"
_NAME = re.compile(_TOKEN)
_WORD = re.compile(r"[!-~]+")
_LINE = re.compile(r"[!-~](?:[ -~]*[!-~])?")
_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
_ESCAPED = re.compile(r"\\(.)", re.DOTALL)
_PART = re.compile(
    rf"""[\s,]*(?:
        (?P<name>{_TOKEN})\s*=\s*(?:"(?P<quoted>(?:[^"\\]|\\.)*)"|(?P<plain>{_TOKEN}))\s*(?=,|$)
        | (?P<scheme>{_TOKEN})(?:\s+(?P<token>[A-Za-z0-9\-._~+/]+=*)\s*(?=,|$))?(?=[\s,]|$)
    )""".replace("#", r"\#"),
    re.VERBOSE,
)
_TELLING = 6
"""Shorter secrets than this are words, too."""
_EXCERPT = 16 * 1024


@attrs.frozen(kw_only=True)
class RequestFacts:
    """The request that headers are wanted for.

    Args:
        method: The HTTP method.
        url: Where it goes.
        attempt: 1 for the first time that it is sent, one more after each challenge that was met.
    """

    method: str
    url: str
    attempt: int


@attrs.frozen
class Scheme:
    """One challenge of a `WWW-Authenticate` header.

    Args:
        name: The scheme, in lower case: "bearer".
        params: Its parameters; the names in lower case.
        token: What stands there instead of parameters, if it does (token68).

    Spec: RFC 9110, section 11.
    """

    name: str
    params: Mapping[str, str]
    token: str | None = None


@attrs.frozen(kw_only=True)
class Challenge:
    """A refusal for want of (better) credentials.

    Args:
        status: 401 or 403.
        url: What was asked for.
        values: The values of `WWW-Authenticate`, as they came.
        schemes: The same, read.
        attempt: Which attempt was refused; 1 is the first.
    """

    status: int
    url: str
    values: Sequence[str]
    schemes: Sequence[Scheme]
    attempt: int


class Credentials(Protocol):
    """Who is calling; shown with each request, and asked again when the server is not content."""

    async def headers(self, request: RequestFacts) -> Mapping[str, str]:
        """The headers to send with this request. They go to the origin of the client and to no other one."""

    async def challenged(self, challenge: Challenge) -> bool:
        """The server refused. True: ask for headers again, and repeat the request; this is done three times at most."""


class BearerToken:
    """A token that is known beforehand: `Authorization: Bearer ...`.

    Args:
        token: The token, printable ASCII without spaces. It is in no repr.

    Raises:
        ConfigurationError: The token can't stand in a header.
    """

    def __init__(self, token: str) -> None:
        self._headers = {"Authorization": f"Bearer {_fit(token, 'token', _WORD)}"}

    async def headers(self, request: RequestFacts) -> Mapping[str, str]:
        """The `Authorization` header."""
        return self._headers

    async def challenged(self, challenge: Challenge) -> bool:
        """There is no other token."""
        return False


class ApiKey:
    """A key in a header of its own.

    Args:
        key: The key, printable ASCII. It is in no repr.
        header: The name of the header.

    Raises:
        ConfigurationError: The key or the name can't stand in a header.
    """

    def __init__(self, key: str, header: str = "X-API-Key") -> None:
        if _NAME.fullmatch(header) is None:
            raise ConfigurationError(f"{header!r} is no name of a header")
        self._headers = {header: _fit(key, "key", _LINE)}

    async def headers(self, request: RequestFacts) -> Mapping[str, str]:
        """The header with the key."""
        return self._headers

    async def challenged(self, challenge: Challenge) -> bool:
        """There is no other key."""
        return False


def from_environment(environment: Mapping[str, str] = os.environ) -> Credentials | None:
    """The credentials that the environment holds, if any: `MCPSERVE_TOKEN`, a bearer token, or `MCPSERVE_API_KEY`.

    A key is sent as `X-API-Key`. A variable that is empty counts as not set.

    Raises:
        ConfigurationError: Both are set, or what is set can't stand in a header.
    """
    token, key = environment.get("MCPSERVE_TOKEN"), environment.get("MCPSERVE_API_KEY")
    if token and key:
        raise ConfigurationError(
            "MCPSERVE_TOKEN and MCPSERVE_API_KEY are both set: which one is meant? Unset the other"
        )
    if token:
        return BearerToken(token)
    return ApiKey(key) if key else None


def checked(headers: Mapping[str, str]) -> dict[str, str]:
    """Headers of the user, if they can be sent as they are.

    Raises:
        ConfigurationError: They can't. The value is not shown.
    """
    for name, value in headers.items():
        if _NAME.fullmatch(name) is None:
            raise ConfigurationError(f"{name!r} is no name of a header")
        if _CONTROL.search(value) is not None:
            raise ConfigurationError(f"There is a character in the header {name} that may not be there")
    return dict(headers)


def hidden(text: str, secrets: Iterable[str]) -> str:
    """Take secrets out of a text that a server wrote; the values of headers, with or without the scheme before them."""
    parts = {part for secret in secrets for part in (secret, secret.partition(" ")[2]) if len(part) >= _TELLING}
    if not parts:
        return text
    # The longest first, and all at once, so that nothing is looked for in what was put there instead.
    return re.sub("|".join(re.escape(part) for part in sorted(parts, key=len, reverse=True)), "[secret]", text)


def quotable(body: bytes, secrets: Iterable[str]) -> str:
    """What a server wrote, as it may stand in a message of ours: one line, without our secrets and what steers."""
    text = " ".join(hidden(body[:_EXCERPT].decode("utf-8", "replace"), secrets).split())
    return "".join(character for character in text if character.isprintable())


def read_challenges(values: Iterable[str]) -> tuple[Scheme, ...]:
    """Read the values of `WWW-Authenticate`, as far as they can be understood. Spec: RFC 9110, section 11.6.1."""
    schemes: list[Scheme] = []
    for value in values:
        schemes.extend(_challenges_in(value))
    return tuple(schemes)


def _challenges_in(value: str) -> list[Scheme]:
    found: list[tuple[str, dict[str, str], str | None]] = []
    at = 0
    while (match := _PART.match(value, at)) is not None:
        at = match.end()
        if match["scheme"] is not None:
            found.append((match["scheme"].lower(), {}, match["token"]))
        elif found:
            quoted = match["quoted"]
            plain = match["plain"] if quoted is None else _ESCAPED.sub(r"\1", quoted)
            found[-1][1].setdefault(match["name"].lower(), plain)
    return [Scheme(name, params, token) for name, params, token in found]


def _fit(secret: str, what: str, pattern: re.Pattern[str]) -> str:
    # The secret itself stays out of the message.
    if pattern.fullmatch(secret) is None:
        raise ConfigurationError(
            f"The {what} can't stand in a header: it is empty, or there is a character that may not"
        )
    return secret
