"""The first words on a connection that carries everything: which revision is spoken, and with whom.

    what came of server/discover                       what is done
    a DiscoverResult with a version of ours            it is modern
    a DiscoverResult without                           initialize
    -32022 that names a version of ours                server/discover with that one, once
    -32022 that names none with a handshake            RemoteError
    any other error, any other result                  initialize
    silence for `PROBE` seconds                        initialize too, and whichever succeeds
    the server is gone                                 `Died`: initialize on a new connection

Spec: 2026-07-28, stdio, Backward Compatibility; 2025-11-25, Lifecycle, Initialization.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import attrs
from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from mcpserve.client.conversation import Host, Outgoing, ServerDescription
from mcpserve.client.dressing import modern_meta
from mcpserve.client.flight import Bounds, Flight
from mcpserve.client.link import Link
from mcpserve.client.messages import UNSUPPORTED_VERSION, error_code, names, supported_versions
from mcpserve.client.posting import remote_error
from mcpserve.client.session import described
from mcpserve.errors import AnswerLost, BadAnswer, ClientClosed
from mcpserve.protocol import metadata, wire
from mcpserve.protocol.jsonrpc import Response
from mcpserve.protocol.revisions import LATEST_LEGACY, LEGACY, MODERN, V2026_07_28, Revision

PROBE = 5.0
"""Seconds that a server may take to answer server/discover, before it is offered initialize as well."""


class Died(AnswerLost):
    """The server went away when it was asked for what it does not know; some servers do."""


@attrs.frozen(kw_only=True)
class Handshake:
    """How to begin.

    Args:
        host: Who we are.
        bounds: How long it may take.
        transport: What `ServerDescription` calls it.
        revision: The only revision to speak; None to find out.
        probes: Ask for the era; otherwise it is one with a handshake.
    """

    host: Host
    bounds: Bounds
    transport: str
    revision: Revision | None = None
    probes: bool = True

    async def shake(self, link: Link) -> ServerDescription:
        """Find out what is spoken, and agree on it.

        Raises:
            Died: The server went away at server/discover, and may speak a revision with a handshake.
            RemoteError: It refused.
            BadAnswer: What it answered is not MCP.
            DeadlinePassed: It answered nothing.
            ClientError: The connection is gone.
        """
        if self.revision is not None and self.revision.modern:
            found = await self._only_discover(link, self.revision)
        elif self.revision is not None or not self.probes:
            found = await self._only_initialize(link)
        else:
            found = await self._probe(link)
        link.agree(found.revision)
        if not found.revision.modern:
            # "the client MUST send an initialized notification to indicate it is ready" (Lifecycle)
            sent = link.notify("notifications/initialized", {})
            if sent is not None:
                await sent
        return found

    async def _only_discover(self, link: Link, revision: Revision) -> ServerDescription:
        result = _result(await self._ask_discover(link, revision).wait())
        if not isinstance(result, dict) or "supportedVersions" not in result:
            raise BadAnswer(f"The answer of {link.peer} to server/discover is no DiscoverResult")
        return self._described(revision, result)

    async def _only_initialize(self, link: Link) -> ServerDescription:
        return self._session(link, _result(await self._ask_initialize(link).wait()))

    async def _probe(self, link: Link) -> ServerDescription:
        revision = V2026_07_28
        for _ in range(2):
            discover = self._ask_discover(link, revision)
            await self._within(PROBE, discover)
            if link.gone is not None:
                raise Died(str(link.gone))
            if not discover.done:
                return await self._both(link, discover)
            better = _better(discover.response)
            if better is None:
                break
            revision = better
        found = self._modern(discover)
        return found if found is not None else await self._only_initialize(link)

    async def _both(self, link: Link, discover: _Asked) -> ServerDescription:
        """It is slow to start, or does not answer what it does not know: it may still answer either."""
        initialize = self._ask_initialize(link)
        await self._within(self.bounds.terms.timeouts.head, initialize, discover)
        if link.gone is not None:
            raise Died(str(link.gone))
        if discover.done and not initialize.done:
            # Its answers come in order, so this one is not far.
            await self._within(PROBE, initialize)
        if initialize.response is not None and initialize.response.error is None:
            return self._session(link, initialize.response.result)
        found = self._modern(discover)
        if found is None and _refused_with(initialize.response) == UNSUPPORTED_VERSION:
            return await self._only_discover(link, V2026_07_28)
        return found if found is not None else self._session(link, _result(await initialize.wait()))

    def _modern(self, discover: _Asked) -> ServerDescription | None:
        """What a modern server says of itself; None if it is none.

        Raises:
            RemoteError: It is modern, and speaks nothing that we do.
        """
        response = discover.response
        if response is None:
            return None
        if response.error is not None:
            versions = supported_versions(response.error)
            modern = error_code(response.error) == UNSUPPORTED_VERSION and versions
            if modern and not any(name in LEGACY for name in versions):
                raise remote_error(response.error)
            return None
        result = response.result
        spoken = names(result.get("supportedVersions")) if isinstance(result, dict) else ()
        ours = [MODERN[name] for name in spoken if name in MODERN]
        return self._described(max(ours, key=lambda one: one.name), result) if ours else None

    def _session(self, link: Link, result: Any) -> ServerDescription:
        version = result.get("protocolVersion") if isinstance(result, dict) else None
        # "If the client does not support the version in the server's response, it SHOULD disconnect." (Lifecycle)
        if not isinstance(version, str) or version not in LEGACY:
            raise BadAnswer(f"{link.peer} answered initialize with the unknown version {str(version)[:32]!r}")
        if self.revision is not None and version != self.revision.name:
            raise BadAnswer(f"{link.peer} speaks {version}, not {self.revision.name}")
        return self._described(LEGACY[version], result)

    def _described(self, revision: Revision, result: Mapping[str, Any]) -> ServerDescription:
        info = result.get("serverInfo")
        if revision.modern:
            meta = result.get("_meta")
            info = meta.get(metadata.SERVER_INFO) if isinstance(meta, dict) else None
        return attrs.evolve(described(result, revision, info), transport=self.transport)

    def _ask_discover(self, link: Link, revision: Revision) -> _Asked:
        return self._ask(link, "server/discover", {"_meta": modern_meta(self.host, revision)})

    def _ask_initialize(self, link: Link) -> _Asked:
        revision = LATEST_LEGACY if self.revision is None else self.revision
        params = {
            "protocolVersion": revision.name,
            "capabilities": self.host.capabilities,
            "clientInfo": wire.implementation(self.host.implementation),
        }
        return self._ask(link, "initialize", params)

    def _ask(self, link: Link, method: str, params: Mapping[str, Any]) -> _Asked:
        flight = Flight(Outgoing(method=method, params=params), self.bounds, link)
        link.start(flight)
        return _Asked(flight)

    def _within(self, seconds: float | None, *asked: _Asked) -> Deferred[None]:
        """Fires when one of them is done, or when the time is over; they go on."""
        done: Deferred[None] = Deferred()
        timer = None if seconds is None else self.bounds.terms.clock.callLater(seconds, done.callback, None)

        def first() -> None:
            if not done.called:
                done.callback(None)

        def stop(result: Any) -> Any:
            if timer is not None and timer.active():
                timer.cancel()
            return result

        done.addBoth(stop)
        for one in asked:
            one.when_done(first)
        return done


class _Asked:
    """A request of the handshake, and its outcome once it is there."""

    def __init__(self, flight: Flight) -> None:
        self.response: Response | None = None
        self.error: BaseException | None = None
        self._told: list[Callable[[], object]] = []
        Deferred.fromCoroutine(_response(flight)).addCallbacks(self._answered, self._failed)

    @property
    def done(self) -> bool:
        """True when the response is there, or will never be."""
        return self.response is not None or self.error is not None

    def when_done(self, told: Callable[[], object]) -> None:
        """Call it when this is done; now, if it is."""
        if self.done:
            told()
        else:
            self._told.append(told)

    async def wait(self) -> Response:
        """The response. Raises what came instead of it."""
        if not self.done:
            done: Deferred[None] = Deferred()
            self.when_done(lambda: None if done.called else done.callback(None))
            await done
        if self.response is None:
            raise self.error or ClientClosed("The connection is closed")
        return self.response

    def _answered(self, response: Response) -> None:
        self.response = response
        self._tell()

    def _failed(self, failure: Failure) -> None:
        self.error = failure.value
        self._tell()

    def _tell(self) -> None:
        told, self._told = self._told, []
        for one in told:
            one()


async def _response(flight: Flight) -> Response:
    while True:
        message = await flight.receive()
        if isinstance(message, Response):
            return message


def _result(response: Response) -> Any:
    if response.error is not None:
        raise remote_error(response.error)
    return response.result


def _refused_with(response: Response | None) -> int | None:
    return None if response is None else error_code(response.error)


def _better(response: Response | None) -> Revision | None:
    """The revision that a server wants instead, if we speak it without a handshake."""
    if response is None or response.error is None or _refused_with(response) != UNSUPPORTED_VERSION:
        return None
    return next((MODERN[name] for name in supported_versions(response.error) if name in MODERN), None)
