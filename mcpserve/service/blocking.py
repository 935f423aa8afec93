"""Who holds the reactor up: a thread asks it for a sign of life now and then, and looks where it is when none comes.

While a function of a plugin computes or waits, nobody else is served: no other call, no keep-alive, no health. Which
function it is can be seen only while it lasts, and only from another thread. Looking costs two turns of the reactor
for each span of `after`, and nothing on the way of a request.
"""

from __future__ import annotations

import sys
import time
import traceback
from collections.abc import Callable, Iterator
from inspect import unwrap
from threading import Event, Thread, main_thread
from types import CodeType, FrameType
from typing import Any

import attrs
from twisted.logger import Logger

from mcpserve.features.catalog import Catalogs

_log = Logger()

_DEPTH = 12
"""Lines of the stack that are logged."""

USUAL = 1.0
"""Seconds between two signs of life, if nobody is to be told of a reactor that is blocked."""


@attrs.define
class Watcher:
    """Watches the reactor.

    Args:
        reactor: What is watched; its `callFromThread` is used.
        after: Seconds after which it counts as blocked; 0 for never.
        suspect: Names what the reactor is at, from the innermost frame of its thread, as in "the tool crunch".
        waited: Called in the reactor's thread, with the seconds that a sign of life has taken.
        clock: Gives the time in seconds.
        thread: The number of the reactor's thread.
    """

    reactor: Any
    after: float
    suspect: Callable[[FrameType], str]
    waited: Callable[[float], object] = lambda seconds: None
    clock: Callable[[], float] = time.monotonic
    thread: int = attrs.field(factory=lambda: main_thread().ident or 0)
    _over: Event = attrs.field(factory=Event, init=False)
    _alive: Event = attrs.field(factory=Event, init=False)

    def start(self) -> None:
        """Begin to watch."""
        Thread(target=self._watch, name="blocked", daemon=True).start()

    def stop(self) -> None:
        """Watch no more."""
        self._over.set()
        self._alive.set()

    def _watch(self) -> None:
        interval = self.after / 2 if self.after else USUAL
        while not self._over.wait(interval):
            asked = self.clock()
            self._alive.clear()
            self.reactor.callFromThread(self._beat, asked)
            if not self._alive.wait(self.after or None):
                self._tell(asked)

    def _beat(self, asked: float) -> None:
        self._alive.set()
        self.waited(self.clock() - asked)

    def _tell(self, asked: float) -> None:
        frame = sys._current_frames().get(self.thread)
        if frame is None or self._over.is_set():
            return
        _log.warn(
            "{suspect} has blocked the reactor for more than {after:g} s (blocked_after): nobody else is served. "
            "It is at:\n{stack}",
            suspect=_capital(self.suspect(frame)),
            after=self.after,
            stack="".join(traceback.format_stack(frame)[-_DEPTH:]).rstrip("\n"),
        )
        del frame
        self._alive.wait()
        if not self._over.is_set():
            _log.warn("The reactor goes on after {seconds:.1f} s", seconds=self.clock() - asked)


def suspect(catalogs: Catalogs, frame: FrameType | None) -> str:
    """What of the things that are served the reactor is at.

    Args:
        catalogs: What is served.
        frame: The innermost frame of the reactor's thread.

    Returns:
        The tool, prompt or resource whose function, or a function within that, is in the stack; or else the plugin; or
        else "something".
    """
    served = {code: f"the {kind} {item.name}" for kind, item, code in _served(catalogs)}
    inner = {(code.co_filename, f"{code.co_qualname}.<locals>."): what for code, what in served.items()}
    files = {code.co_filename for code in served}
    seen = [] if frame is None else [step.f_code for step, _ in traceback.walk_stack(frame)]
    for code in seen:
        if code in served:
            return served[code]
        for (name, start), what in inner.items():
            if code.co_filename == name and code.co_qualname.startswith(start):
                return what
    plugin = next((code for code in seen if code.co_filename in files), None)
    return "something" if plugin is None else f"{plugin.co_qualname} in {plugin.co_filename}"


def _served(catalogs: Catalogs) -> Iterator[tuple[str, Any, CodeType]]:
    for kind, catalog in catalogs.kinds():
        for item in catalog:
            function = getattr(item, "function", None)
            code = getattr(unwrap(function), "__code__", None) if callable(function) else None
            if isinstance(code, CodeType):
                yield kind, item, code


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]
