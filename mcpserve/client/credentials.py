"""What the client shows to a server that wants to know who calls; never to another server, never to a log."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Protocol

import attrs


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
        """The server refused. True to be asked for headers again and have the request repeated (three times at most)."""


class BearerToken:
    """A token that is known beforehand: `Authorization: Bearer ...`.

    Args:
        token: The token, printable ASCII without spaces. It is in no repr.

    Raises:
        ConfigurationError: The token can't stand in a header.
    """

    def __init__(self, token: str) -> None:
        raise NotImplementedError

    async def headers(self, request: RequestFacts) -> Mapping[str, str]:
        """The `Authorization` header."""
        raise NotImplementedError

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
        raise NotImplementedError

    async def headers(self, request: RequestFacts) -> Mapping[str, str]:
        """The header with the key."""
        raise NotImplementedError

    async def challenged(self, challenge: Challenge) -> bool:
        """There is no other key."""
        return False


def from_environment(environment: Mapping[str, str] = os.environ) -> Credentials | None:
    """The credentials that `MCPSERVE_TOKEN` (a bearer token) or `MCPSERVE_API_KEY` (`X-API-Key`) holds; None if neither.

    Raises:
        ConfigurationError: Both are set, or what is set can't stand in a header.
    """
    raise NotImplementedError
