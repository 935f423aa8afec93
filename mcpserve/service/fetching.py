"""Questions to authorization servers, by treq: JSON, bounded in size and time; no redirect is followed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson
import treq
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.defer import TimeoutError as DeadlineError
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure
from twisted.web.client import HTTPConnectionPool, ResponseDone, ResponseNeverReceived
from twisted.web.http import PotentialDataLoss
from twisted.web.http_headers import Headers
from twisted.web.iweb import IAgent

from mcpserve.errors import IssuerUnavailable

RETRY_AFTER = 5
"""Seconds after which a client may try again what an issuer did not answer."""

_ACCEPT = {"Accept": "application/json"}


class Fetcher:
    """Asks authorization servers.

    Args:
        reactor: Connects, and tells the time.
        timeout: Seconds for a whole answer.
        limit: Bytes of the largest answer.
        agent: What speaks HTTP, for tests; by default one that verifies certificates and keeps connections.
    """

    def __init__(
        self, reactor: Any, *, timeout: float = 5.0, limit: int = 512 * 1024, agent: IAgent | None = None
    ) -> None:
        self._reactor = reactor
        self._timeout = timeout
        self._limit = limit
        self._pool = HTTPConnectionPool(reactor, persistent=True)
        # an issuer closes its connections as it likes; `_once_more` tries again if one of them was stale
        self._pool.cachedConnectionTimeout = 30
        self._pool.retryAutomatically = False
        self._agent = agent

    async def get(self, url: str) -> tuple[int, Any]:
        """GET a JSON document.

        Returns:
            The status, and the document; None if the status is not 200.

        Raises:
            IssuerUnavailable: There is no answer in time, or it is no JSON, or too large.
        """
        return await self._fetch("GET", url, _ACCEPT, None)

    async def post(self, url: str, form: Mapping[str, str], headers: Mapping[str, str]) -> tuple[int, Any]:
        """POST a form. Returns and raises as `get`."""
        return await self._fetch("POST", url, {**_ACCEPT, **headers}, form)

    def close(self) -> Deferred[Any]:
        """Close the connections that are kept.

        Fires: when they are closed.
        """
        closed: Deferred[Any] = self._pool.closeCachedConnections()
        return closed

    async def _fetch(
        self, method: str, url: str, headers: Mapping[str, str], form: Mapping[str, str] | None
    ) -> tuple[int, Any]:
        asking = Deferred.fromCoroutine(self._once_more(method, url, headers, form))
        try:
            return await asking.addTimeout(self._timeout, self._reactor)
        except IssuerUnavailable:
            raise
        except Exception as error:
            # whatever Twisted, OpenSSL or the name resolver find wrong; the kind says enough, its text may be long
            kind = f"in {self._timeout:g} s" if _cancelled(error) else f"({type(_root(error)).__name__})"
            raise IssuerUnavailable(f"{url} gave no answer {kind}", RETRY_AFTER) from error

    async def _once_more(
        self, method: str, url: str, headers: Mapping[str, str], form: Mapping[str, str] | None
    ) -> tuple[int, Any]:
        try:
            return await self._once(method, url, headers, form)
        except ResponseNeverReceived as error:
            if _cancelled(error):
                raise
            return await self._once(method, url, headers, form)

    async def _once(
        self, method: str, url: str, headers: Mapping[str, str], form: Mapping[str, str] | None
    ) -> tuple[int, Any]:
        response = await treq.request(
            method,
            url,
            headers=Headers({name: [value] for name, value in headers.items()}),
            data=None if form is None else dict(form),
            allow_redirects=False,
            unbuffered=True,
            agent=self._agent,
            pool=self._pool,
            reactor=self._reactor,
        )
        body = _Body(self._limit)
        response.deliverBody(body)
        content = await body.whole
        if response.code != 200:
            return response.code, None
        try:
            return 200, orjson.loads(content)
        except orjson.JSONDecodeError as error:
            raise IssuerUnavailable(f"{url} did not answer with JSON", RETRY_AFTER) from error


class _Body(Protocol):
    def __init__(self, limit: int) -> None:
        self.whole: Deferred[bytes] = Deferred(lambda _: self._stop())
        self._limit = limit
        self._parts: list[bytes] = []
        self._size = 0

    def dataReceived(self, data: bytes) -> None:
        self._parts.append(data)
        self._size += len(data)
        if self._size > self._limit and not self.whole.called:
            self._stop()
            self.whole.errback(IssuerUnavailable(f"An issuer's answer is larger than {self._limit} bytes", RETRY_AFTER))

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        if self.whole.called:
            return
        if reason.check(ResponseDone, PotentialDataLoss):
            self.whole.callback(b"".join(self._parts))
        else:
            self.whole.errback(reason)

    def _stop(self) -> None:
        if self.transport is not None:
            self.transport.loseConnection()


def _root(error: BaseException) -> BaseException:
    """Twisted's client wraps what went wrong, and what went wrong with that."""
    reasons = getattr(error, "reasons", None)
    return _root(reasons[0].value) if reasons else error


def _cancelled(error: BaseException) -> bool:
    return isinstance(_root(error), CancelledError | DeadlineError)
