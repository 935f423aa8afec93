"""The stream on which a server of 2025-11-25 or before says what belongs to no request. It is a luxury: that it is not
offered, breaks or hangs never disturbs anything else. Spec: 2025-11-25, Transports, Listening for Messages.
"""

from __future__ import annotations

from collections.abc import Callable

import attrs
from twisted.internet.task import deferLater
from twisted.logger import Logger

from mcpserve.client.inflight import Work
from mcpserve.client.posting import STREAM, Endpoint, is_stream
from mcpserve.client.resuming import is_transient
from mcpserve.client.session import Session
from mcpserve.client.web import Answer
from mcpserve.errors import AnswerLost, BadAnswer, ClientClosed, ClientError, DeadlinePassed, Unreachable

log = Logger()


@attrs.define(eq=False)
class _Course:
    """How listening has gone so far, in one session."""

    session: Session
    since: float
    failures: int = 0
    offered: bool = False
    last_id: str | None = None
    retry_ms: int | None = None


class Overhearing:
    """Listens in the session of the moment, and comes back when the stream breaks off.

    Args:
        endpoint: The server.
        hear: Takes the data of an event. May raise BadAnswer.
        forgotten: Told that the server has forgotten the session.
    """

    def __init__(
        self, endpoint: Endpoint, hear: Callable[[bytes], None], forgotten: Callable[[Session], object]
    ) -> None:
        self._endpoint = endpoint
        self._hear = hear
        self._forgotten = forgotten
        self._work: Work | None = None
        self._course: _Course | None = None
        self._tired: tuple[Session, float] | None = None
        self._offered = False
        self._short_lived = 0

    def begin(self, session: Session) -> None:
        """Listen in a session, and no longer in the one before."""
        self.stop()
        self._course = course = _Course(session, self._endpoint.terms.clock.seconds())
        self._work = work = Work(self._listen(course))
        work.ended(self._ended)

    def stop(self) -> None:
        """Listen no more."""
        self._tired = self._course = None
        if self._work is not None:
            self._work.cancel()

    def nudge(self) -> None:
        """The server is well: if it was not when we gave up, and that is a while ago, listen again."""
        if self._tired is not None:
            session, since = self._tired
            if self._endpoint.terms.clock.seconds() - since >= self._endpoint.terms.retries.longest:
                self.begin(session)

    async def _listen(self, course: _Course) -> None:
        retries = self._endpoint.terms.retries
        # What is heard may be what stops this, and then there is nothing that waits and could be cancelled.
        while await self._once(course) and self._course is course:
            if course.failures > retries.attempts:
                self._tired = course.session, self._endpoint.terms.clock.seconds()
                self._deafened(AnswerLost(f"{self._endpoint.name} tells nothing outside of requests any more"))
                return
            delay = retries.delay(max(course.failures - 1, 0), self._endpoint.terms.random())
            if course.retry_ms is not None:
                delay = max(delay, course.retry_ms / 1000)
            await deferLater(self._endpoint.terms.clock, delay)

    async def _once(self, course: _Course) -> bool:
        """Connect and listen to the end; tell whether it is worth coming back."""
        endpoint = self._endpoint
        headers = {**course.session.headers, "Accept": STREAM}
        if course.last_id:
            headers["Last-Event-ID"] = course.last_id
        course.failures += 1
        try:
            answer = await endpoint.web.send("GET", endpoint.url, headers, None, endpoint.terms.timeouts)
        except (Unreachable, AnswerLost, DeadlinePassed):
            return True
        try:
            if is_stream(answer) and answer.status == 200:
                await self._follow(course, answer)
                return True
            return self._refused(course, answer)
        finally:
            answer.abort()

    async def _follow(self, course: _Course, answer: Answer) -> None:
        if course.offered and not course.last_id:
            self._endpoint.host.missed()
        course.offered = self._offered = True
        try:
            while (event := await answer.next_event()) is not None:
                course.failures = 0
                if event.type == "message":
                    self._heard(event.data)
        except AnswerLost:
            pass
        except DeadlinePassed:
            course.failures = 0  # Silence is no fault; the connection is renewed, in case that nobody is there.
        finally:
            if answer.last_event_id is not None:
                course.last_id = answer.last_event_id
                course.failures = 0
            if answer.retry_ms is not None:
                course.retry_ms = answer.retry_ms

    def _heard(self, data: bytes) -> None:
        try:
            self._hear(data)
        except BadAnswer as error:
            log.warn("The server said something that is not MCP, outside of all requests: {reason}", reason=str(error))

    def _refused(self, course: _Course, answer: Answer) -> bool:
        if is_transient(answer):
            return True
        if answer.status == 404 and course.offered:
            if self._is_worth_renewing(course):
                self._forgotten(course.session)
            else:
                self._deafened(AnswerLost(f"{self._endpoint.name} forgets its sessions"))
            return False
        if course.last_id:
            # What was said after this event is lost for us, but not what will be said.
            course.last_id = None
            return True
        self._deafened(AnswerLost(f"{self._endpoint.name} tells nothing outside of requests any more"))
        return False

    def _is_worth_renewing(self, course: _Course) -> bool:
        """Tell whether a session that is over may be followed by one that lasts; those without a call have no end."""
        retries, lasted = self._endpoint.terms.retries, self._endpoint.terms.clock.seconds() - course.since
        self._short_lived = self._short_lived + 1 if lasted < retries.longest else 0
        return self._short_lived <= retries.attempts

    def _deafened(self, error: ClientError) -> None:
        """Who listens has to know; but where there never was a stream, what is told comes in other ways, if at all."""
        if self._offered:
            self._endpoint.host.deaf(error)

    def _ended(self, error: BaseException | None) -> None:
        if isinstance(error, ClientError) and not isinstance(error, ClientClosed):
            self._deafened(error)
            log.info("No messages outside of requests from this server: {reason}", reason=str(error))
