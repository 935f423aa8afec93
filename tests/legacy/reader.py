"""A client that reads all that a stream says, in the place of a response."""

from __future__ import annotations

from typing import Any

import attrs

from mcpserve.web.facts import BOTH, Accept


@attrs.define
class Reader:
    """Stands in for a `ResponseWriter` whose client is always there and never behind; keeps nothing."""

    accept: Accept = BOTH
    listener: Any = None
    preamble: bytes = b""
    hold: Any = None
    streaming: bool = False
    behind: bool = False

    def open(self, first: bytes = b"") -> None:
        """Read the head."""
        self.streaming = True

    def send(self, event: bytes, replaceable: bool = False) -> None:
        """Read an event."""
        self.streaming = True

    def end(self, last: bytes = b"") -> None:
        """Read the last event."""
        self.listener = None
