"""HTTP as the client sees it: a request, the head of its answer, and a body or events that are read at one's own pace.

Beneath it is an agent of ours (`mcpserve.client.agent`), as Twisted's takes longer than a whole call may; and treq, for
servers that set cookies (`mcpserve.client.asking`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import urljoin

from twisted.internet.defer import CancelledError, Deferred, succeed
from twisted.internet.error import ConnectError, ConnectionClosed, DNSLookupError
from twisted.internet.interfaces import IConsumer
from twisted.web.client import RequestTransmissionFailed, ResponseFailed
from twisted.web.iweb import IAgent, IBodyProducer
from zope.interface import implementer

from mcpserve.client.agent import PoolAgent
from mcpserve.client.answer import Answer, Inflow, Reading
from mcpserve.client.asking import Asking
from mcpserve.client.credentials import Challenge, Credentials, RequestFacts, checked, quotable, read_challenges
from mcpserve.client.deadline import Deadline
from mcpserve.client.exchange import AnswerBroken, NotConnected
from mcpserve.client.http1 import BadHttp, HeadTooLarge
from mcpserve.client.limits import Limits, Timeouts
from mcpserve.client.place import Place, place_of
from mcpserve.errors import (
    AnswerLost,
    AnswerTooLarge,
    BadAnswer,
    ClientClosed,
    ClientError,
    ConfigurationError,
    DeadlinePassed,
    Refused,
    Unauthorized,
    Unreachable,
)

__all__ = ["Answer", "Web"]

REDIRECTS = 5
"""How often one request is sent on."""
REPETITIONS = 3
"""How often one request is repeated for credentials that say that they can do better."""

_NO_HEADERS: Mapping[str, str] = {}
_PLACES_KEPT = 64
_UNREACHED = (NotConnected, ConnectError, DNSLookupError)
_LOST = (AnswerBroken, ConnectionClosed, ResponseFailed, RequestTransmissionFailed)
_EXCERPT = 16 * 1024
_QUOTED = 300


@implementer(IBodyProducer)
class _Sending:
    """A request on its way to its head: its body, its deadline, and why it ended if we ended it.

    Args:
        body: The body.
        deadline: Of the whole; started anew when the connection stands.
        head: Seconds for the head, once the connection stands.
    """

    def __init__(self, body: bytes, deadline: Deadline, head: float | None) -> None:
        self.length = len(body)
        self.problem: ClientError | None = None
        self.requested: Deferred[Any] | None = None
        self._body = body
        self._deadline = deadline
        self._head = head
        self.begun = False

    def startProducing(self, consumer: IConsumer) -> Deferred[None]:
        """The connection stands."""
        self.begun = True
        self._deadline.start("head", self._head)
        consumer.write(self._body)
        return succeed(None)

    def stop(self, problem: ClientError) -> None:
        """Give up."""
        self.problem = problem
        if self.requested is not None:
            self.requested.cancel()

    def stopProducing(self) -> None:
        """All was written."""

    pauseProducing = resumeProducing = stopProducing


class Web:
    """Sends requests to one server, over connections that are kept for the next ones.

    Args:
        reactor: Connects, and tells the time.
        timeouts: Those of requests that bring none.
        limits: How much is taken.
        credentials: Who is calling.
        headers: More headers for each request; they are treated as secret as credentials.
        agent: What speaks HTTP, for tests and for proxies; by default ours. One of ours is closed with
            this, another one's connections are its own.
        origin: A URL of the only origin that credentials and `headers` are shown to; by default that of the first
            request.

    Raises:
        ConfigurationError: There is something in `headers` that can't stand there, or `origin` is no URL.
    """

    def __init__(
        self,
        reactor: Any,
        *,
        timeouts: Timeouts,
        limits: Limits,
        credentials: Credentials | None = None,
        headers: Mapping[str, str] = _NO_HEADERS,
        agent: IAgent | None = None,
        origin: str | None = None,
    ) -> None:
        self._reactor = reactor
        self._timeouts = timeouts
        self._limits = limits
        self._credentials = credentials
        self._headers = checked(headers)
        self._origin = None if origin is None else place_of(origin).origin
        agent = agent or PoolAgent(reactor, idle=limits.connections)
        self._pool = agent if isinstance(agent, PoolAgent) else None
        self._asking = Asking(agent, reactor)
        self._places: dict[str, Place] = {}
        self._sending: set[_Sending] = set()
        self._inflows: set[Inflow] = set()
        self._closed = False

    async def send(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str],
        body: bytes | None = None,
        timeouts: Timeouts | None = None,
    ) -> Answer:
        """Send a request, and wait for the head of its answer.

        Redirects are followed within the origin if they keep the method (307, 308). A 401 or a 403 is shown to the
        credentials, and the request is repeated if they say so. Every other status is given back.

        Args:
            method: The HTTP method.
            url: An http or https URL.
            headers: `Accept`, `Content-Type`, and what else the caller wants to say.
            body: The body.
            timeouts: Other deadlines than usual: connect, head, and idle for the answer.

        Returns:
            The answer. It has to be read to its end or aborted.

        Cancel: The connection is closed at once.

        Raises:
            Unreachable: No connection came about; nothing was sent.
            AnswerLost: The connection broke off after something may have been sent, before the head had come.
            AnswerTooLarge: The head is larger than any head should be.
            BadAnswer: What came is not HTTP.
            DeadlinePassed: connect or head.
            Unauthorized: 401 or 403, after the credentials had their say.
            Refused: A redirect that is not followed.
            ClientClosed: `close` was called, before or meanwhile.
            ConfigurationError: The URL can't be asked.
        """
        place = self._place(url)
        if self._origin is None:
            self._origin = place.origin
        attempt, redirects = 1, 0
        while True:
            secrets = await self._secrets(method, place, attempt)
            answer = await self._exchange(method, place, {**secrets, **headers}, body or b"", timeouts)
            if answer.status in (401, 403):
                await self._plead(answer, place, secrets, attempt)
                attempt += 1
            elif answer.status in (301, 302, 303, 307, 308) and answer.header("location") is not None:
                redirects += 1
                place = self._redirected(answer, place, redirects)
            else:
                answer.secrets = tuple(secrets.values())
                return answer

    async def close(self) -> None:
        """Abort what is open and close every connection; nothing is left in the reactor. May be called again."""
        self._closed = True
        for sending in list(self._sending):
            sending.stop(_closed())
        for inflow in list(self._inflows):
            inflow.break_off(_closed())
        if self._pool is not None:
            await self._pool.close()

    # --- one exchange

    async def _exchange(
        self, method: str, place: Place, headers: Mapping[str, str], body: bytes, timeouts: Timeouts | None
    ) -> Answer:
        if self._closed:
            raise _closed()
        waits = timeouts or self._timeouts
        deadline = Deadline(self._reactor, lambda which, seconds: sending.stop(_too_late(place, which, seconds)))
        sending = _Sending(body, deadline, waits.head)
        self._sending.add(sending)
        answer: Answer | None = None
        try:
            requested = sending.requested = self._asking.request(method, place, headers, sending)
            if not sending.begun:
                deadline.start("connect", waits.connect)
            response = await requested
            answer = Answer(response, self._reading(place, deadline, waits.idle))
        except CancelledError:
            if sending.problem is None:
                raise
            raise sending.problem from None
        except (*_UNREACHED, *_LOST, BadHttp) as problem:
            raise sending.problem or _explained(problem, place) from problem
        finally:
            self._sending.discard(sending)
            if answer is None:
                deadline.end()
        return answer

    def _reading(self, place: Place, deadline: Deadline, idle: float | None) -> Reading:
        return Reading(
            limits=self._limits,
            deadline=deadline,
            idle=idle,
            where=place.name,
            opened=self._inflows.add,
            ended=self._inflows.discard,
        )

    # --- where to, and who

    def _place(self, url: str) -> Place:
        place = self._places.get(url)
        if place is None:
            if len(self._places) >= _PLACES_KEPT:
                self._places.clear()
            place = self._places[url] = place_of(url)
        return place

    def _redirected(self, answer: Answer, place: Place, redirects: int) -> Place:
        """Where to go on, if the same request may be made there."""
        answer.abort()
        try:
            target = place_of(urljoin(place.url, answer.header("location") or ""))
        except (ConfigurationError, ValueError):
            message = f"{place.name} answered {answer.status}: it sends us where nothing can be asked"
            raise Refused(message, answer.status) from None
        if target.origin != place.origin or answer.status not in (307, 308):
            raise Refused(f"{place.name} answered {answer.status}: it sends us on to {target.name}", answer.status)
        if redirects > REDIRECTS:
            raise Refused(f"{place.name} sends us on and on", answer.status)
        return target

    async def _secrets(self, method: str, place: Place, attempt: int) -> Mapping[str, str]:
        """What is shown to the client's own server only."""
        if place.origin != self._origin:
            return _NO_HEADERS
        if self._credentials is None:
            return self._headers
        facts = RequestFacts(method=method, url=place.url, attempt=attempt)
        return {**self._headers, **await self._credentials.headers(facts)}

    async def _plead(self, answer: Answer, place: Place, secrets: Mapping[str, str], attempt: int) -> None:
        """Return if the request shall be repeated."""
        said = _quoted(answer, await answer.beginning(_EXCERPT, self._timeouts.close), secrets)
        values = tuple(answer.headers("www-authenticate"))
        if self._credentials is not None and place.origin == self._origin and attempt <= REPETITIONS:
            challenge = Challenge(
                status=answer.status, url=place.url, values=values, schemes=read_challenges(values), attempt=attempt
            )
            if await self._credentials.challenged(challenge):
                return
        raise Unauthorized(f"{place.name} answered {answer.status}{said}", answer.status, values)


def _quoted(answer: Answer, body: bytes, secrets: Mapping[str, str]) -> str:
    """What the server said with a refusal, for an error message: a line of text without our secrets in it."""
    if answer.media_type not in ("application/json", "text/plain") or not body.strip():
        return ""
    printable = quotable(body, secrets.values())
    return ": " + (printable if len(printable) <= _QUOTED else printable[:_QUOTED] + "...")


def _explained(problem: Exception, place: Place) -> ClientError:
    if isinstance(problem, HeadTooLarge):
        return AnswerTooLarge(f"{problem}, from {place.name}")
    if isinstance(problem, BadHttp):
        return BadAnswer(f"{problem}, from {place.name}")
    why = str(problem) or type(problem).__name__
    if isinstance(problem, _UNREACHED):
        return Unreachable(f"{place.name} can't be reached: {why}")
    return AnswerLost(f"The connection to {place.name} broke off before it answered: {why}")


def _too_late(place: Place, which: str, seconds: float) -> DeadlinePassed:
    if which == "connect":
        return DeadlinePassed(f"There was no connection to {place.name} within {seconds:g} seconds", which)
    return DeadlinePassed(f"{place.name} did not begin to answer within {seconds:g} seconds", which)


def _closed() -> ClientClosed:
    return ClientClosed("The client is closed")
