"""What only the garbage collector can find: cycles that something of ours is part of."""

from __future__ import annotations

import gc
from collections.abc import Callable


def cycles_left_by(work: Callable[[], object], times: int = 10) -> list[str]:
    """The types of our objects that are part of a cycle after `work` was done so many times.

    Only ours: what runs beside a test, such as observers of the log, makes cycles of its own now and then.
    """
    work()
    gc.collect()
    gc.disable()
    try:
        for _ in range(times):
            work()
        gc.set_debug(gc.DEBUG_SAVEALL)
        gc.collect()
        return [kind.__qualname__ for kind in map(type, gc.garbage) if kind.__module__.startswith("mcpserve")]
    finally:
        gc.set_debug(0)
        gc.garbage.clear()
        gc.enable()
