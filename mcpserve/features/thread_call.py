"""The call as a blocking tool in a thread sees it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NoReturn

from mcpserve.features.call import Call
from mcpserve.features.threads import Threads
from mcpserve.protocol.types import LogLevel

_READABLE = frozenset(
    {
        "caller",
        "client_capabilities",
        "client_info",
        "clock",
        "closed",
        "meta",
        "paused",
        "protocol_version",
        "tool",
        "trace",
    }
)


class ThreadCall:
    """The call as a blocking tool in a thread sees it: the same words, carried to the reactor's thread.

    What can't be said, as a number that is not finite, makes the call fail.

    Attributes:
        cancelled: True when the result is no longer wanted; a long loop should look at it.
    """

    def __init__(self, call: Call, threads: Threads) -> None:
        self._call = call
        self._threads = threads
        self.cancelled = False
        call.on_cancel(self._cancel)

    def progress(self, value: float, total: float | None = None, message: str | None = None) -> None:
        """See `Call.progress`."""
        self._say(self._call.progress, value, total, message)

    def log(self, level: LogLevel, data: Any, logger: str | None = None) -> None:
        """See `Call.log`."""
        self._say(self._call.log, level, data, logger)

    def on_cancel(self, f: Callable[[], object]) -> None:
        """See `Call.on_cancel`; `f` is called in the reactor's thread."""
        self._say(self._call.on_cancel, f)

    def close_stream(self, retry_ms: int | None = None) -> None:
        """See `Call.close_stream`."""
        self._say(self._call.close_stream, retry_ms)

    def sleep(self, seconds: float) -> NoReturn:
        """Not for threads."""
        raise RuntimeError("call.sleep is for async tools; in a thread use time.sleep and look at call.cancelled")

    def __getattr__(self, name: str) -> Any:
        if name not in _READABLE:
            raise AttributeError(f"call.{name} is not for threads: it belongs to the reactor's thread")
        return getattr(self._call, name)

    def _say(self, f: Callable[..., object], *args: object) -> None:
        self._threads.call_in_reactor(self._call._guarded, f, args)

    def _cancel(self) -> None:
        self.cancelled = True
