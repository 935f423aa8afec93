"""The door: may this request come in, and whose is it? Asked before anything else of the request counts.

    Host and Origin     421, 403                `policy.origins`
    how often           429                     `policy.rates`, by address first, then by caller
    who it is           400, 401, 403, 503      an `Identity`, if callers have to say so: `web.identity`

Spec: 2026-07-28, Streamable HTTP, Security & Endpoint; Authorization.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import attrs
from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from mcpserve.errors import ProtocolError, Refusal
from mcpserve.policy.callers import ANONYMOUS, Caller
from mcpserve.policy.origins import Origins
from mcpserve.policy.proxies import Seen, group
from mcpserve.policy.rates import Rates
from mcpserve.web.facts import joined
from mcpserve.web.request import McpRequest
from mcpserve.web.sight import Sight, ignored

_REMEMBERED = 1024

Work = Callable[[McpRequest, Caller], object]
Refuse = Callable[[McpRequest, ProtocolError], object]


class Identity(Protocol):
    """Finds out who is calling."""

    def identify(self, request: McpRequest) -> Caller | Deferred[Caller]:
        """Name the caller by the credential that the request shows.

        Returns:
            Who it is, with a name; later, where somebody else has to be asked first.

        Raises:
            Refusal: There is no credential, or it proves nothing; the Deferred fails with it as well.
        """


@attrs.frozen
class Admitted:
    """What was found out about a request that was let in, and holds for all of its connection that say the same.

    Args:
        door: Who let it in.
        host: Its Host.
        origin: Its Origin.
        seen: Where it came from.
        caller: Whose it was.
    """

    door: Admission
    host: bytes | None
    origin: bytes | None
    seen: Seen
    caller: Caller


@attrs.define
class Admission:
    """Who is let in.

    Args:
        origins: By Host and Origin.
        identity: By who they are. None lets everybody in, and nobody has a name.
        sight: Where they come from.
        rates: How often.
        clock: Gives the time for that.
    """

    origins: Origins
    identity: Identity | None = None
    sight: Sight = attrs.field(factory=Sight)
    rates: Rates = attrs.field(factory=Rates)
    clock: Callable[[], float] = lambda: 0.0
    _known: dict[tuple[str | None, str | None], tuple[Caller, Caller]] = attrs.field(factory=dict, init=False)
    _rated: bool = attrs.field(init=False)
    _alike: bool = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self._rated = bool(self.rates)
        # where nobody counts, no proxy tells and nobody is asked who he is, the requests of a connection are alike
        self._alike = not self._rated and not self.sight.proxies

    def admit(self, request: McpRequest) -> Caller | Deferred[Caller]:
        """Let a request in.

        Returns:
            Whose it is; where somebody else has to be asked first, later.

        Raises:
            ProtocolError: It is not let in; the Deferred fails with it as well.
        """
        if self._alike and self.identity is None:
            return self._admit_alike(request)
        self.check_origin(request)
        address, now = request.seen.address, 0.0
        if self._rated:
            now = self.clock()
            self.rates.take_by_address(group(address), now)
        if self.identity is None:
            return self._placed(ANONYMOUS, address)
        caller = self.identity.identify(request)
        if isinstance(caller, Deferred):
            return caller.addCallback(self._counted, address, now)
        return self._counted(caller, address, now)

    def _admit_alike(self, request: McpRequest) -> Caller:
        channel, fields = request.channel, request.fields
        host, origin = fields.get(b"host"), fields.get(b"origin")
        last = None if channel is None or request.repeated else channel.admitted
        if last is not None and last.host == host and last.origin == origin and last.door is self:
            request.seen = last.seen
            return last.caller
        self.check_origin(request)
        caller = self._placed(ANONYMOUS, request.seen.address)
        if channel is not None and not request.repeated:
            channel.admitted = Admitted(self, host, origin, request.seen, caller)
        return caller

    def again(self, caller: Caller) -> None:
        """Count one more request that came in together with one that was let in: a further element of a batch.

        Raises:
            Busy: 429, there were too many.
        """
        now = self.clock()
        self.rates.take_by_address(group(caller.address), now)
        self.rates.take_by_caller(caller.name, now)

    def check_origin(self, request: McpRequest) -> None:
        """Let a request near, whoever it is of: all that there is to check for what everybody may read.

        Raises:
            Refusal: 421 or 403.
        """
        seen = request.seen = self.sight.see(request)
        try:
            self.origins.check(seen.host, joined(request, b"origin"))
        except Refusal as refusal:
            raise Refusal(refusal.status, refusal.message + ignored(request, seen), refusal.headers) from None

    def _counted(self, caller: Caller, address: str | None, now: float) -> Caller:
        self.rates.take_by_caller(caller.name, now)
        return self._placed(caller, address)

    def _placed(self, caller: Caller, address: str | None) -> Caller:
        """The caller together with the address; remembered, as both come again and again."""
        key = (caller.name, address)
        known = self._known.get(key)
        if known is not None and known[0] is caller:
            return known[1]
        if len(self._known) >= _REMEMBERED:
            self._known.clear()
        placed = attrs.evolve(caller, address=address)
        self._known[key] = (caller, placed)
        return placed

    def pass_on(self, request: McpRequest, work: Work, refuse: Refuse) -> None:
        """Do something with a request that is let in; it may wait at the door for a while.

        Args:
            request: The request. If its client leaves while it waits, nothing more is done.
            work: Called with the request and the caller; may raise ProtocolError.
            refuse: Called with the request and what is wrong with it.

        Raises:
            Exception: What `work` raises beside ProtocolError, if nothing had to wait.
        """
        try:
            caller = self.admit(request)
            if isinstance(caller, Caller):
                request.caller = caller
                work(request, caller)
                return
        except ProtocolError as error:
            refuse(request, error)
            return
        caller.addBoth(request.hold())
        caller.addCallback(lambda found: None if request.lost else _go_on(request, found, work))
        caller.addErrback(_refused, request, refuse)
        caller.addErrback(lambda failure: request.processingFailed(failure))


def _refused(failure: Failure, request: McpRequest, refuse: Refuse) -> None:
    failure.trap(ProtocolError)
    error = failure.value
    assert isinstance(error, ProtocolError)
    refuse(request, error)


def _go_on(request: McpRequest, caller: Caller, work: Work) -> object:
    request.caller = caller
    return work(request, caller)
