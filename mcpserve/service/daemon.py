"""The process: wires the rooms together, listens, reloads, and ends in an orderly way."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Collection, Sequence
from typing import Any, TextIO

from twisted.application.service import Service
from twisted.internet.defer import Deferred, DeferredList
from twisted.internet.interfaces import IListeningPort
from twisted.logger import Logger
from twisted.python.failure import Failure

from mcpserve.errors import ConfigurationError, StartError, StoreError
from mcpserve.features.catalog import Catalogs
from mcpserve.legacy.face import SessionFace
from mcpserve.legacy.handshake import Handshake
from mcpserve.legacy.http_sse import MESSAGES, STREAM, HttpSse, HttpSseLimits
from mcpserve.legacy.session import SessionLimits
from mcpserve.legacy.sessions import Sessions
from mcpserve.legacy.streams import ResumeLimits
from mcpserve.service import bounds, certificates
from mcpserve.service.gauges import Gauges
from mcpserve.service.greeting import greeting, where
from mcpserve.service.identity import Entrance
from mcpserve.service.listening import listen
from mcpserve.service.logs import Logs
from mcpserve.service.observers import Observers
from mcpserve.service.offer import Offer, pause
from mcpserve.service.operation import Operation
from mcpserve.service.settings import Settings
from mcpserve.service.signals import on_stop
from mcpserve.service.storage import MEMORY, storage
from mcpserve.service.systemd import Supervisor
from mcpserve.stores.events import EventLimits
from mcpserve.web.admission import Admission
from mcpserve.web.cors import Cors
from mcpserve.web.endpoint import Endpoint, answer_error, site_refusal
from mcpserve.web.response import StreamLimits, Turns
from mcpserve.web.routing import RoutedResource
from mcpserve.web.sight import Sight
from mcpserve.web.site import McpSite

_log = Logger()

FLUSH = 0.1
"""Seconds between the last word to the clients and the end of the process, for the words to leave."""


LATE = 2.5
"""Seconds that a connection which was let in at the last moment has for its request, and that for its answer."""

LOOK = 0.02
"""Seconds between two looks at whether something has ended."""

RESTART = 2.0
"""Seconds after which a client may find the next process. Clients try twice, so that half of a drain is enough."""


class Daemon(Service):
    """One server process.

    Args:
        reactor: What it runs on.
        settings: What the operator set.
        catalogs: What plugins bring, to begin with.
        logs: How it writes about requests.
        supervisor: Who started it, and wants to hear of it.
    """

    def __init__(
        self,
        reactor: Any,
        settings: Settings,
        catalogs: Catalogs,
        logs: Logs | None = None,
        supervisor: Supervisor | None = None,
    ) -> None:
        self._reactor = reactor
        self._settings = settings
        self._ports: list[IListeningPort] = []
        self._ops_ports: list[IListeningPort] = []
        self._certificates: list[certificates.Certificate] = []
        self._hurried = False
        self._logs = logs or Logs()
        self._problem: str | None = None
        self._storage = storage(reactor, settings.store)
        self._entrance = Entrance(reactor, settings, {STREAM: (MESSAGES,)} if settings.http_sse else {})
        self._observers = Observers(reactor, settings, self._logs)
        observer = self._observers.observer
        self.operation = Operation(reactor, settings, self._storage, self._entrance, supervisor)
        self.offer = Offer(reactor, settings, catalogs, self._storage.tasks, self._entrance.challenges, observer)
        self._observers.look_at(self.offer)
        turns = Turns(reactor, StreamLimits(keep_alive=settings.keep_alive, buffer=settings.stream_buffer))
        self.sessions = Sessions(reactor, session_limits(settings), self._storage.sessions)
        trusted = bounds.proxies(settings)
        admission = Admission(
            bounds.origins(settings), self._entrance.doorkeeper, Sight(trusted), bounds.rates(settings), reactor.seconds
        )
        self._legacy = legacy = SessionFace(
            self.offer.dispatcher, self.sessions, turns, self.offer.subscriptions, admission.again
        )
        endpoint = Endpoint(self.offer.dispatcher, admission, turns, legacy)
        handshake = Handshake(self.offer.dispatcher, self.offer.subscriptions)
        self.http_sse = HttpSse(handshake, admission, turns, http_sse_limits(settings), bounds.prefix(settings))
        others = {
            **self.operation.health.places(),
            **self._entrance.places(admission),
            **(self.http_sse.places() if settings.http_sse else {}),
        }
        cors = Cors(admission.origins, admission.check_origin, answer_error, settings.cors_credentials)
        resource = RoutedResource(endpoint.app, others=others, preflight=cors.preflight)
        self.site = McpSite(
            resource,
            clock=reactor,
            limits=bounds.http_limits(settings),
            refusal=site_refusal,
            crowd=bounds.crowd_limits(settings),
            proxies=trusted,
            dress=cors.headers,
            observer=observer,
        )
        self.site.noisy = False
        self.ops_site = self.operation.site(self._observers.tally) if settings.ops_listen else None
        gauges = Gauges(
            site=self.site,
            turns=turns,
            sessions=self.sessions,
            room=self.sessions.room,
            http_sse=self.http_sse,
            offer=self.offer,
            doorkeeper=self._entrance.doorkeeper,
        )
        self.operation.look_at(gauges)

    def privilegedStartService(self) -> None:
        """Listen while the process may still do so on ports below 1024; `twistd` calls this, `twist` does not."""
        super().privilegedStartService()  # type: ignore[no-untyped-call]
        self._listen()

    def startService(self) -> None:
        """Begin to serve.

        Raises:
            StartError: An endpoint can't be listened on, or the store can't be used.
        """
        super().startService()  # type: ignore[no-untyped-call]
        # not before: a daemon has become another process, perhaps of another user, by now
        try:
            self._restore()
            if not self._ports:
                self._listen()
            self.offer.start()
            self._entrance.start()
        except StoreError as error:
            raise StartError(str(error)) from error
        self._reactor.callWhenRunning(self._started)

    async def _stop(self) -> None:
        self.operation.stopping()
        await self._until(self._settings.drain_delay, lambda: not self._hurried)
        await _all_stopped(self._ports)
        self.site.drain()
        self._send_away()
        await self.offer.wind_up(self._settings.drain)
        # who came or was answered a moment before has a request on its way
        await self._until(LATE, lambda: not self._hurried and bool(self.site.expected or self.offer.calls.running))
        self.offer.hurry()
        await self._storage.written()
        self.sessions.suspend()
        self.http_sse.close_all(round(1000 * RESTART))
        await pause(self._reactor, FLUSH if self.site.connections else 0)
        await self._storage.close()
        self.offer.stop()
        await self._entrance.stop()
        await self._observers.stop()
        self.operation.stop()
        await _all_stopped(self._ops_ports)

    async def _until(self, seconds: float, goes_on: Callable[[], bool]) -> None:
        """Wait for so long at the most, while something goes on."""
        end = self._reactor.seconds() + seconds
        while self._reactor.seconds() < end and goes_on():
            await pause(self._reactor, min(LOOK, end - self._reactor.seconds()))

    def _restore(self) -> None:
        self._storage.open()
        restored = self._legacy.restore()
        if self._settings.store != MEMORY:
            _log.info("Sessions that go on from {store}: {sessions}", sessions=restored, store=self._settings.store)

    def _send_away(self) -> None:
        """The next process can go on with streams that are written down, if their clients come back to it; not yet.

        Where nothing is written down they come back to begin anew, and will find nobody before.
        """
        retry_ms = round(1000 * (RESTART + (self._settings.drain / 2 if self.offer.calls.running else 0)))
        for session in self.sessions:
            if self.sessions.journal is None:
                session.end_standalone(retry_ms)
            else:
                session.send_away(retry_ms)

    def stopService(self) -> Deferred[None]:
        """Stop accepting, let calls end for as long as `drain` says, cancel the rest, and go.

        Fires: when all is over.
        """
        super().stopService()  # type: ignore[no-untyped-call]
        return Deferred.fromCoroutine(self._stop())

    def _listen(self) -> None:
        for description in self._settings.listen:
            self._listen_on(description, self.site, self._ports)
        for description in self._settings.ops_listen:
            self._listen_on(description, self.ops_site, self._ops_ports)

    def _listen_on(self, description: str, site: Any, ports: list[IListeningPort]) -> None:
        try:
            listening = listen(self._reactor, description, site, self._certificates)
            listening.addCallbacks(ports.append, self._refused)
        except ConfigurationError as error:
            self._problem = str(error)
        if self._problem is not None:
            raise StartError(self._problem)

    def _refused(self, failure: Failure) -> None:
        """The endpoints that Twisted ships fail at once; one that fails later finds the process running already."""
        self._problem = str(failure.value)
        if self._reactor.running:
            _log.critical("{problem}", problem=self._problem)
            self._reactor.stop()

    def _started(self) -> None:
        self._take_signals()
        bounds.say_if_few_files(self._settings)
        self._observers.start(self.offer)
        asks = self._entrance.doorkeeper is not None
        catalogs, listen = self.offer.features.catalogs, self._settings.listen
        # Twisted has made sys.stdout a log by now; that of before is for the person who started the server
        if self._logs.for_machines or _is_nowhere(sys.__stdout__):
            urls = ", ".join(where(listen, self._ports))
            _log.info("mcpserve is ready with {counts}: {urls}", counts=catalogs.counted(), urls=urls)
        else:
            print(greeting(listen, self._ports, catalogs, asks=asks), file=sys.__stdout__, flush=True)
        self._serving()

    def _serving(self) -> None:
        self.operation.serving(f"Serving {self.offer.features.catalogs.counted()}")

    def _take_signals(self) -> None:
        on_stop(self._reactor, self._stop_or_hurry)
        if hasattr(signal, "SIGHUP"):
            signal.signal(signal.SIGHUP, self._on_hangup)

    def _on_hangup(self, number: int, frame: object) -> None:
        self._reactor.callFromThread(self.reload)

    def reload(self) -> None:
        """Read certificates, keys and plugins anew, as at SIGHUP; what is wrong with any leaves the old in place."""
        self.operation.reloading()
        certificates.renew(self._certificates)
        self._expel(self._entrance.reload())
        self.offer.reload()
        if self.running:
            self._serving()

    def _expel(self, gone: Collection[str]) -> None:
        """End what runs by keys that were revoked; of callers who have no other, sessions too."""
        for session in list(self.sessions) if gone else ():
            if session.owner in gone:
                self.sessions.close(session)
        self.site.expel(gone)

    def _stop_or_hurry(self) -> None:
        if self.running:
            self._reactor.stop()
        else:
            self._hurried = True
            self.offer.hurry()


def _is_nowhere(stream: TextIO | None) -> bool:
    """Tell whether nobody reads what is written there, as with a daemon."""
    try:
        return stream is None or os.path.samestat(os.fstat(stream.fileno()), os.stat(os.devnull))
    except (OSError, ValueError):
        return True


def session_limits(settings: Settings) -> SessionLimits:
    """The bounds of legacy sessions."""
    return SessionLimits(
        count=settings.max_sessions,
        of_caller=bounds.share(settings, settings.max_sessions, settings.max_sessions_of_caller),
        idle=settings.session_idle,
        lifetime=settings.session_lifetime,
        resume=ResumeLimits(
            grace=settings.resume_grace,
            events=EventLimits(count=settings.resume_events, size=settings.resume_size, age=settings.resume_age),
        ),
        memory=settings.resume_memory,
    )


def http_sse_limits(settings: Settings) -> HttpSseLimits:
    """The bounds of the streams of HTTP with SSE: each is a session."""
    of_caller = bounds.share(settings, settings.max_sessions, settings.max_sessions_of_caller)
    return HttpSseLimits(count=settings.max_sessions, of_caller=of_caller, lifetime=settings.session_lifetime)


async def _all_stopped(ports: Sequence[IListeningPort]) -> None:
    await DeferredList([_stopped(port) for port in ports], consumeErrors=True)


def _stopped(port: IListeningPort) -> Deferred[Any]:
    stopped = port.stopListening()
    return stopped if isinstance(stopped, Deferred) else Deferred.fromCoroutine(_nothing())


async def _nothing() -> None:
    return None
