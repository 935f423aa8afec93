"""What each request says about itself and its client, in the way of its revision."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mcpserve.client.conversation import Host, Outgoing
from mcpserve.protocol import metadata, wire
from mcpserve.protocol.revisions import Revision


def dressed(outgoing: Outgoing, host: Host, revision: Revision, token: int) -> Mapping[str, Any]:
    """The params of a request, with the metadata that its revision wants. Spec: 2026-07-28, Overview, `_meta`."""
    meta: dict[str, Any] = {}
    if outgoing.progress:
        meta["progressToken"] = token
    if revision.modern:
        meta |= modern_meta(host, revision)
    if not meta:
        return outgoing.params
    return {**outgoing.params, "_meta": {**outgoing.params.get("_meta", {}), **meta}}


def modern_meta(host: Host, revision: Revision) -> dict[str, Any]:
    """What each request of 2026-07-28 says about its client."""
    meta: dict[str, Any] = {
        metadata.PROTOCOL_VERSION: revision.name,
        metadata.CLIENT_INFO: wire.implementation(host.implementation),
        metadata.CLIENT_CAPABILITIES: host.capabilities,
    }
    if host.log_level is not None:
        meta[metadata.LOG_LEVEL] = host.log_level
    return meta
