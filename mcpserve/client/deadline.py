"""One deadline at a time of something that goes through several: a delayed call that is moved, not made anew."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.interfaces import IDelayedCall

_ROUNDING = 1e-6


class Deadline:
    """Waits for one thing after the other, each for as long as it may take.

    To put it off costs nothing but a look at the clock: when the delayed call comes too early, it goes on waiting.

    Args:
        clock: Tells the time, and calls.
        passed: Called with what was waited for, and for how many seconds, when it took too long.
    """

    def __init__(self, clock: Any, passed: Callable[[str, float], None]) -> None:
        self.passed = passed
        self._clock = clock
        self._which = ""
        self._seconds: float | None = None
        self._due = 0.0
        self._call: IDelayedCall | None = None

    def start(self, which: str, seconds: float | None) -> None:
        """Wait for something else from now on; None to wait for ever."""
        self._which, self._seconds = which, seconds
        if seconds is None:
            self.stop()
            return
        self._due = self._clock.seconds() + seconds
        if self._call is None:
            self._call = self._clock.callLater(seconds, self._look)
        elif self._call.getTime() > self._due:
            self._call.reset(seconds)

    def touch(self) -> None:
        """There was a sign of life: begin again to wait for the next one. Only "idle" can be put off so."""
        if self._seconds is not None and self._which == "idle":
            self._due = self._clock.seconds() + self._seconds

    def stop(self) -> None:
        """Wait no more."""
        self._seconds = None
        if self._call is not None:
            self._call.cancel()
            self._call = None

    def end(self) -> None:
        """Wait no more, for good; whoever was to be told is let go, so that no garbage collector has to find them."""
        self.stop()
        self.passed = _nobody

    def _look(self) -> None:
        self._call = None
        seconds = self._seconds
        if seconds is None:
            return
        left = self._due - self._clock.seconds()
        if left > _ROUNDING:
            self._call = self._clock.callLater(left, self._look)
            return
        self._seconds = None
        self.passed(self._which, seconds)


def _nobody(which: str, seconds: float) -> None:
    """There is nobody to tell any more."""
