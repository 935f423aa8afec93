"""The client of Twisted, as other threads ask it: what they want is done in the thread of its reactor."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from concurrent.futures import CancelledError
from typing import Any, Self, TypeVar, cast

from twisted.internet import defer
from twisted.internet.threads import deferToThreadPool
from twisted.logger import Logger

from mcpserve.client.calls import ToolStream
from mcpserve.client.client import Client
from mcpserve.client.looping import DaemonThreads
from mcpserve.client.thread import ReactorThread, own, wait
from mcpserve.client.values import Notice
from mcpserve.client.ways import OnNotice

H = TypeVar("H")
_log = Logger()
_LEFT: list[Callable[[], Any]] = []

_ANSWERING = 8
"""How many calls of one handler may be at work at once."""
_UNHEARD = 1000
"""How many notices may wait for an `on_notice` that is slow."""


class Threaded(Client):
    """A client whose handlers are plain functions, and run in threads: they may wait, and use the client."""

    thread: ReactorThread | None = None

    def wait(self, function: Callable[[], Any]) -> Any:
        """Call something where the reactor runs, and wait for what comes of it."""
        try:
            return wait(self._reactor, self._alive, function)
        except defer.CancelledError:
            raise CancelledError("It was cancelled in another thread") from None

    def let(self, function: Callable[[], Any]) -> None:
        """The same without waiting, if there is anybody left to do it."""
        if self._alive():
            self._reactor.callFromThread(function)
        else:
            # It may be about connections that a parent process goes on to use: it must not be tidied up here.
            _LEFT.append(function)

    def call(
        self,
        name: str,
        arguments: Mapping[str, Any] | None = None,
        *,
        progress: bool,
        timeout: float | None = None,
        meta: Mapping[str, Any] | None = None,
    ) -> ToolStream:
        """As `stream_tool`; the server is asked for progress or not."""
        return ToolStream(
            self._line.tool(name, arguments, progress=progress, timeout=timeout, meta=meta), self._host.heard
        )

    async def open(self) -> Self:
        await super().open()
        if self.thread is not None:
            self.thread.open.add(self)
        return self

    async def close(self) -> None:
        if self.thread is not None:
            self.thread.open.discard(self)
        await super().close()

    def _alive(self) -> bool:
        return bool(self._reactor.running) if self.thread is None else self.thread.alive

    def _usual_reactor(self) -> Any:
        self.thread = own()
        return self.thread.reactor

    def _handler(self, handler: H) -> H:
        if inspect.iscoroutinefunction(handler):
            raise TypeError("Handlers of this client are plain functions; for coroutines there is mcpserve.client.aio")
        return handler if handler is None else self._in_threads(handler, DaemonThreads(_ANSWERING))

    def _ear(self, ear: OnNotice | None) -> OnNotice | None:
        if ear is None:
            return None
        threads = DaemonThreads(1)
        tell = self._in_threads(ear, threads)

        def heard(notice: Notice) -> None:
            if len(threads) < _UNHEARD:
                return tell(notice)
            _log.warn("on_notice is far behind: a notice was left out")

        return heard

    def _in_threads(self, handler: H, threads: DaemonThreads) -> H:
        def later(*question: Any) -> Any:
            return deferToThreadPool(self._reactor, cast(Any, threads), cast(Any, handler), *question)

        return cast(H, later)
