"""The work behind a request, as tests of carriers need it."""

from __future__ import annotations

import attrs


@attrs.define
class Owner:
    """The work behind the stream; notes what it is told."""

    told: list[str] = attrs.Factory(list)

    def lost(self) -> None:
        """Note it."""
        self.told.append("lost")

    def withdrawn(self) -> None:
        """Note it."""
        self.told.append("withdrawn")

    def overrun(self) -> None:
        """Note it."""
        self.told.append("overrun")

    def paused(self) -> None:
        """Note it."""
        self.told.append("paused")

    def resumed(self) -> None:
        """Note it."""
        self.told.append("resumed")
