"""Signals that ask the process to stop."""

from __future__ import annotations

import signal
from collections.abc import Callable
from typing import Any


def on_stop(reactor: Any, stop: Callable[[], object]) -> None:
    """Call `stop()` in the reactor's thread at each SIGTERM and each Ctrl-C, in place of what Twisted does.

    Twisted ends by the signal itself after an orderly stop; a server that was asked to stop exits with 0. To be called
    while the reactor runs, as it takes the signals when it starts.
    """
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda number, frame: reactor.callFromThread(stop))
