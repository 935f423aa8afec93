"""Requests on their way to the server: as a rule straight to the agent, and through treq where cookies are kept.

treq takes a quarter of the time of a whole call, and all that it does which our requests need is cookies: redirects and
credentials are `Web`'s, and nothing is compressed. So it is asked from the first cookie on that a server sets.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from treq.client import HTTPClient
from treq.cookies import IndexableCookieJar
from twisted.internet.defer import Deferred, succeed
from twisted.python.failure import Failure
from twisted.web.http_headers import Headers
from twisted.web.iweb import IAgent, IBodyProducer, IResponse
from zope.interface import implementer

from mcpserve.client.agent import PoolAgent
from mcpserve.client.exchange import Fields
from mcpserve.client.place import Place

_FIELDS_KEPT = 64


class Cookies(IndexableCookieJar):
    """Cookies, as balancers that send a session to the same server want them."""

    def extract_cookies(self, response: Any, request: Any) -> None:
        """Keep what a response sets."""
        try:
            super().extract_cookies(response, request)
        except UnicodeError:
            # A cookie that is not ASCII is none. It is no reason to lose the answer.
            return


@implementer(IAgent)
class _Answered:
    """An agent that has the answer already: so treq sees an answer to what it was not asked for."""

    def __init__(self, response: IResponse) -> None:
        self._response = response

    def request(
        self, method: bytes, uri: bytes, headers: Headers | None = None, bodyProducer: IBodyProducer | None = None
    ) -> Deferred[IResponse]:
        """Nothing is sent."""
        return succeed(self._response)


class Asking:
    """Sends the requests of one client, and keeps the cookies that it is given.

    Args:
        agent: What speaks HTTP.
        reactor: That of the agent.
    """

    def __init__(self, agent: IAgent, reactor: Any) -> None:
        self._agent = agent
        self._reactor = reactor
        self._cookies: Cookies | None = None
        self._known: dict[tuple[tuple[str, str], ...], Fields] = {}

    def request(
        self, method: str, place: Place, headers: Mapping[str, str], body: IBodyProducer
    ) -> Deferred[IResponse]:
        """Send a request.

        Fires: With the response, when its head has come.
        Cancel: The connection is closed at once.
        """
        fields = self._fields(headers)
        if not isinstance(self._agent, PoolAgent):
            return _given_up_for_good(self._ask(method, place, fields.copy(), body))
        return self._ask(method, place, fields, body)

    def _ask(self, method: str, place: Place, fields: Headers, body: IBodyProducer) -> Deferred[IResponse]:
        if self._cookies is not None:
            return self._by_treq(self._agent, self._cookies, method, place, fields.copy(), body)
        asked = self._agent.request(method.encode("ascii"), place.wire, fields, body)
        return asked.addCallback(self._look, method, place)

    def _fields(self, headers: Mapping[str, str]) -> Headers:
        """The headers as they are sent. Most calls have the same as another one before."""
        key = tuple(headers.items())
        fields = self._known.get(key)
        if fields is None:
            if len(self._known) >= _FIELDS_KEPT:
                self._known.clear()
            fields = self._known[key] = Fields({name: [value] for name, value in key})
        return fields

    def _look(self, response: IResponse, method: str, place: Place) -> IResponse | Deferred[IResponse]:
        """Look whether this response sets the first cookie."""
        if not response.headers.hasHeader(b"set-cookie"):
            return response
        self._cookies = self._cookies or Cookies()
        return self._by_treq(_Answered(response), self._cookies, method, place, Headers(), None)

    def _by_treq(
        self, agent: IAgent, cookies: Cookies, method: str, place: Place, fields: Headers, body: IBodyProducer | None
    ) -> Deferred[IResponse]:
        asked: Deferred[Any] = HTTPClient(agent, cookies).request(
            method,
            place.encoded,
            headers=fields,
            data=body,
            allow_redirects=False,
            unbuffered=True,
            reactor=self._reactor,
        )
        return asked


def _given_up_for_good(asked: Deferred[IResponse]) -> Deferred[IResponse]:
    """The same, but cancelled it fails as cancelled.

    Other agents say of what was cancelled that its host is unknown, or that its connection broke off; that must not be
    taken for something that happened.
    """
    waiting = True

    def give_up(_: object) -> None:
        nonlocal waiting
        waiting = False
        asked.cancel()

    def tell(outcome: IResponse | Failure) -> None:
        if waiting:
            told.errback(outcome) if isinstance(outcome, Failure) else told.callback(outcome)

    told: Deferred[IResponse] = Deferred(give_up)
    asked.addBoth(tell)
    return told
