"""A server feature that declares capabilities and does nothing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mcpserve.protocol.revisions import Revision
from mcpserve.server.dispatch import Method


class Offered:
    """A feature that only declares; each of its capabilities says `{"own": 1}`."""

    methods: Mapping[str, Method] = {}

    def __init__(self, *names: str) -> None:
        self.names = names

    def capabilities(self, revision: Revision) -> Mapping[str, Any]:
        """See `Feature`."""
        return {name: {"own": 1} for name in self.names}
