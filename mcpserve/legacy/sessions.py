"""All sessions of a server: how they begin, are found, and end.

Spec: 2025-11-25, Transports, Session Management; Lifecycle.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Mapping
from typing import Any

from twisted.internet.interfaces import IDelayedCall, IReactorTime

from mcpserve.errors import Busy, Refusal
from mcpserve.features.timing import TimingWheel
from mcpserve.legacy.handshake import details
from mcpserve.legacy.session import Session, SessionLimits, recalled
from mcpserve.legacy.streams import Keeping
from mcpserve.policy.callers import ANONYMOUS, Caller
from mcpserve.policy.capacity import Places
from mcpserve.protocol.revisions import Revision
from mcpserve.stores.events import EventRoom
from mcpserve.stores.sessions import Journal, StoredSession

DETAILS_COST = 25
"""Bytes of memory for a byte of JSON, at the most: it is kept as Python objects."""

UNUSED = 2.0
"""Seconds after which a session may make room for another, if nothing came after its initialize."""

EXPIRY = 1.0
"""Seconds between two looks at which sessions have expired, when there is no room."""

_USUAL = SessionLimits()


class Sessions:
    """All sessions of one server.

    Args:
        clock: For their ages; owned by the caller.
        limits: How many, and for how long.
        journal: Where they are written down for the next process, if they are.

    Attributes:
        room: The memory that their streams share.
        journal: Where they are written down.
    """

    def __init__(self, clock: IReactorTime, limits: SessionLimits = _USUAL, journal: Journal | None = None) -> None:
        self._clock = clock
        self._limits = limits
        self.journal = journal
        self.room = EventRoom(limits.memory)
        self._keeping = Keeping(wheel=TimingWheel(clock), limits=limits.resume, room=self.room, journal=journal)
        self._sessions: dict[str, Session] = {}
        self._unused: dict[str, Session] = {}
        self._places = Places("sessions", "max_sessions", limits.count, limits.of_caller)
        self._cost = 0
        self._looked = -EXPIRY
        self._sweep_call: IDelayedCall | None = None

    def __len__(self) -> int:
        return len(self._sessions)

    def __iter__(self) -> Iterator[Session]:
        return iter(list(self._sessions.values()))

    def open(
        self,
        revision: Revision,
        client_info: Mapping[str, Any],
        capabilities: Mapping[str, Any],
        caller: Caller = ANONYMOUS,
    ) -> Session:
        """Begin a session.

        Raises:
            Busy: There are too many, of this caller or in total.
        """
        cost = DETAILS_COST * details(client_info, capabilities)
        self._make_room(cost, caller.party)
        now = self._clock.seconds()
        session = Session(
            # "SHOULD be globally unique and cryptographically secure", in visible ASCII
            id=secrets.token_urlsafe(24),
            owner=caller.name,
            party=caller.party,
            revision=revision,
            client_info=client_info,
            capabilities=capabilities,
            created=now,
            last_used=now,
            cost=cost,
            limits=self._limits,
            keeping=self._keeping,
        )
        session.begin()
        self._add(session)
        self._unused[session.id] = session
        return session

    def get(self, session_id: str, owner: str | None = None) -> Session:
        """Find a session; using it keeps it alive.

        Args:
            session_id: What the client calls it.
            owner: Who asks. A session of somebody else is as unknown as one that never was.

        Raises:
            Refusal: 404. Spec: "The server MAY terminate the session at any time, after which it MUST respond to
                requests containing that session ID with HTTP 404 Not Found."
        """
        session = self._sessions.get(session_id)
        now = self._clock.seconds()
        if session is not None and session.expired(now):
            self.close(session)
            session = None
        if session is None or session.owner != owner:
            raise Refusal(404, "This session is unknown or has ended; send initialize to begin another")
        session.last_used = now
        if self._unused:
            self._unused.pop(session_id, None)
        return session

    def close(self, session: Session) -> None:
        """End a session, its streams and its calls."""
        known = self._sessions.pop(session.id, None)
        self._unused.pop(session.id, None)
        session.close()
        if known is not None:
            self._places.give_back(session.party)
            self._cost -= session.cost
            if self.journal is not None:
                self.journal.close_session(session.key)
        if not self._sessions:
            self._stop_sweep()

    def close_all(self) -> None:
        """End all sessions."""
        for session in self:
            self.close(session)

    def restore(self) -> int:
        """Go on with the sessions that another process has written down.

        Returns:
            How many there are.

        Raises:
            StoreError: They can't be read.
        """
        if self.journal is None:
            return 0
        self.journal.on_rewrite(lambda: (session.stored for session in self))
        for stored in self.journal.load():
            session = self._recalled(stored)
            if session is None:
                self.journal.close_session(stored.key)
            else:
                self._add(session)
        return len(self)

    def suspend(self) -> None:
        """The process ends. Sessions that are written down wait for the next one; others are over."""
        if self.journal is None:
            self.close_all()
        for session in self:
            session.suspend()
        self._stop_sweep()

    def _recalled(self, stored: StoredSession) -> Session | None:
        assert self.journal is not None
        now, limits = self._clock.seconds(), self._limits
        cost = DETAILS_COST * details(stored.client_info, stored.capabilities)
        over = now - stored.created >= limits.lifetime or now - stored.last_used >= limits.idle
        if over or self._full(cost):
            return None
        return recalled(stored, cost, limits, self._keeping, self.journal.numbers)

    def _full(self, cost: int) -> bool:
        return len(self._sessions) >= self._limits.count or self._cost + cost > self._limits.details

    def _make_room(self, cost: int, party: str) -> None:
        """Let go of what has expired, and then of a session that nobody has used, if there is no room for one more.

        A flood of initializes without more thus makes room for itself, and for everybody else.
        """
        if self._full(cost) or not self._places.room(party):
            self._expire_again()
        if not self._places.room(party):
            self._drop_unused(party)
        while self._full(cost) and self._drop_unused(None):
            pass
        self._places.check(party)
        if self._full(cost):
            raise Busy(503, "This server has too many sessions (max_sessions); try again later", 60)

    def _expire_again(self) -> None:
        """Not for each of many that find no room: looking at all sessions takes a while."""
        now = self._clock.seconds()
        if now - self._looked >= EXPIRY:
            self._expire()

    def _drop_unused(self, party: str | None) -> bool:
        """Close the oldest session that was never used, of this party or of any; False if there is none."""
        limit = self._clock.seconds() - UNUSED
        for session in self._unused.values():
            if session.created > limit:
                return False
            if party is None or session.party == party:
                self.close(session)
                return True
        return False

    def _add(self, session: Session) -> None:
        self._places.add(session.party)
        self._sessions[session.id] = session
        self._cost += session.cost
        if self._sweep_call is None:
            self._sweep_call = self._clock.callLater(self._sweep_interval, self._sweep)

    def _stop_sweep(self) -> None:
        if self._sweep_call is not None:
            self._sweep_call.cancel()
            self._sweep_call = None

    @property
    def _sweep_interval(self) -> float:
        return min(60.0, self._limits.idle / 2, self._limits.resume.events.age / 4)

    def _sweep(self) -> None:
        self._sweep_call = self._clock.callLater(self._sweep_interval, self._sweep)
        self._expire()

    def _expire(self) -> None:
        now = self._looked = self._clock.seconds()
        self.room.sweep(now)
        for session in self:
            if session.expired(now):
                self.close(session)
            else:
                session.keep()
        if self.journal is not None:
            self.journal.tidy()
