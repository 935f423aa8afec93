"""The protocol's revisions, and what differs between them.

Behaviour asks a revision for a trait, never for its date, so that no comparison of dates stands anywhere else.
Spec: Versioning (2026-07-28), Lifecycle, Version Negotiation (2025-11-25 and before).
"""

from __future__ import annotations

import attrs


@attrs.frozen(kw_only=True)
class Revision:
    """One revision of the protocol.

    Args:
        name: Its date, as it stands on the wire.
        modern: True when each request stands alone and carries its metadata; False when it needs a handshake.
        batches: JSON-RPC arrays are received.
        version_header: HTTP requests say it in `MCP-Protocol-Version`.
        priming_events: A resumable stream starts with an event that has an id and empty data.
        audio: Content blocks of type `audio` exist.
        resource_links: Content blocks of type `resource_link` exist.
        structured_content: Results may carry `structuredContent`.
        elicitation: `elicitation/create` exists.
        rich_forms: Elicitation forms may have titled choices and choices of several.
        url_elicitation: `elicitation/create` has a URL mode.
        elicitation_ids: In URL mode it has an id, and the error -32042 exists.
        sampling_tools: Sampling may use tools, and its messages may hold several blocks.
    """

    name: str
    modern: bool = False
    batches: bool = False
    version_header: bool = True
    priming_events: bool = False
    audio: bool = True
    resource_links: bool = True
    structured_content: bool = True
    elicitation: bool = True
    rich_forms: bool = True
    url_elicitation: bool = True
    elicitation_ids: bool = False
    sampling_tools: bool = True


V2025_11_25 = Revision(name="2025-11-25", priming_events=True, elicitation_ids=True)
V2025_06_18 = Revision(name="2025-06-18", rich_forms=False, url_elicitation=False, sampling_tools=False)
V2025_03_26 = attrs.evolve(
    V2025_06_18,
    name="2025-03-26",
    batches=True,
    version_header=False,
    resource_links=False,
    structured_content=False,
    elicitation=False,
)
V2024_11_05 = attrs.evolve(V2025_03_26, name="2024-11-05", batches=False, audio=False)
V2026_07_28 = Revision(name="2026-07-28", modern=True)

LEGACY: dict[str, Revision] = {r.name: r for r in (V2024_11_05, V2025_03_26, V2025_06_18, V2025_11_25)}
MODERN: dict[str, Revision] = {V2026_07_28.name: V2026_07_28}
LATEST_LEGACY = V2025_11_25


def negotiate(requested: str) -> Revision:
    """Choose the revision of a session.

    Args:
        requested: `params.protocolVersion` of `initialize`.

    Returns:
        The requested revision if it has a handshake and is known, else the latest that has one.

    Spec: Lifecycle, Version Negotiation: "If the server supports the requested protocol version, it MUST respond with
    the same version. Otherwise, the server MUST respond with another protocol version it supports."
    """
    return LEGACY.get(requested, LATEST_LEGACY)
